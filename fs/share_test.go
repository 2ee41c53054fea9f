package fs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copyRange copies with copy_file_range(2) until n bytes are copied or the source ends.
func copyRange(in, out *os.File, off, at int64, n int) (copied int, err error) {
	for copied < n {
		from, to := off+int64(copied), at+int64(copied)
		k, err := unix.CopyFileRange(int(in.Fd()), &from, int(out.Fd()), &to, n-copied, 0)
		if err != nil || k == 0 {
			return copied, err
		}
		copied += k
	}
	return copied, nil
}

// TestShare copies a stored file while nobody can read its content: what is
// copied is where it lies. All else is copied byte by byte.
func TestShare(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_PASS=off") // content of files that the kernel writes by itself cannot be shared
	text := content(1, 3_000_000)
	must(t, os.WriteFile(d.path("a"), text, 0o644))
	d.do("publish")
	d.do("certify")
	d.do("evict")
	dropCache(t, d.path("a"))
	staged := d.do("staged")
	d.do("blobs broken")
	in, err := os.Open(d.path("a"))
	must(t, err)
	defer in.Close()
	whole, err := os.OpenFile(d.path("whole"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	defer whole.Close()
	if n, err := copyRange(in, whole, 0, 0, 1<<30); n != len(text) || err != nil {
		t.Fatalf("copied %d bytes, %v", n, err)
	}
	parts, err := os.OpenFile(d.path("parts"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	defer parts.Close()
	var want []byte
	for _, r := range []struct{ off, at, n int64 }{{0, 0, 1000}, {1000, 1000, 1 << 20}, {5, 1 << 21, 77777}, {2_999_000, 1<<21 + 77777, 5000}} {
		n, err := copyRange(in, parts, r.off, r.at, int(r.n))
		if err != nil || int64(n) != min(r.n, int64(len(text))-r.off) {
			t.Fatalf("%+v: copied %d bytes, %v", r, n, err)
		}
		want = append(want, make([]byte, r.at-int64(len(want)))...)
		want = append(want, text[r.off:r.off+int64(n)]...)
	}
	if got := d.do("staged"); got != staged {
		t.Errorf("staging holds %s files, held %s: bytes were copied", got, staged)
	}
	for name, size := range map[string]int{"whole": len(text), "parts": len(want)} {
		if info, err := os.Stat(d.path(name)); err != nil || info.Size() != int64(size) {
			t.Errorf("%s has %d bytes, want %d, %v", name, info.Size(), size, err)
		}
	}
	d.kill()
	d.mount()
	d.do("publish")
	d.do("certify")
	for name, content := range map[string][]byte{"a": text, "whole": text, "parts": want} {
		if got, err := os.ReadFile(d.path(name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
	if problems := d.do("check"); problems != "" {
		t.Error(problems)
	}
}

// TestShareWithStoredEmpty copies into a file that is stored, empty: it is no new
// one, so that bytes are copied, and a kill has to leave them.
func TestShareWithStoredEmpty(t *testing.T) {
	d := newDrive(t)
	text := content(1, 300_000)
	must(t, os.WriteFile(d.path("a"), text, 0o644))
	must(t, os.WriteFile(d.path("b"), nil, 0o644))
	d.do("publish")
	d.do("certify")
	in, err := os.Open(d.path("a"))
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(d.path("b"), os.O_RDWR, 0)
	must(t, err)
	defer out.Close()
	if n, err := copyRange(in, out, 1000, 0, 77_824); n != 77_824 || err != nil {
		t.Fatalf("copied %d bytes, %v", n, err)
	}
	d.kill()
	d.mount()
	if got, err := os.ReadFile(d.path("b")); err != nil || !bytes.Equal(got, text[1000:78_824]) {
		t.Errorf("%d bytes after a kill, %v", len(got), err)
	}
}

// TestShareRefused copies what cannot be shared, and what may not be copied.
func TestShareRefused(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_PASS=off") // content of files that the kernel writes by itself cannot be shared
	text := content(1, 100_000)
	must(t, os.WriteFile(d.path("a"), text, 0o644))
	in, err := os.OpenFile(d.path("a"), os.O_RDWR, 0)
	must(t, err)
	defer in.Close()
	if n, err := copyRange(in, in, 0, 10, 1000); n != 0 || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("onto itself: %d, %v", n, err)
	}
	if n, err := copyRange(in, in, 0, 200_000, 1000); n != 1000 || err != nil {
		t.Errorf("in one file: %d, %v", n, err)
	}
	if n, err := copyRange(in, in, 300_000, 400_000, 1000); n != 0 || err != nil {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	must(t, in.Truncate(100_000))
	check := func(what string) {
		t.Helper()
		if got, err := os.ReadFile(d.path("b")); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
		must(t, os.Remove(d.path("b")))
	}
	for _, state := range []string{"dirty", "queued", "published", "certified", "written since", "over another"} {
		out, err := os.Create(d.path("b"))
		must(t, err)
		switch state {
		case "queued":
			must(t, in.Sync())
		case "published":
			d.do("publish")
		case "certified":
			d.do("certify")
		case "written since":
			text = slices.Concat([]byte("new"), text[3:])
			_, err := in.WriteAt([]byte("new"), 0)
			must(t, err)
		case "over another":
			d.do("publish")
			d.do("certify")
			_, err := out.Write(content(2, 50_000))
			must(t, err)
		}
		if n, err := copyRange(in, out, 0, 0, 1<<20); n != len(text) || err != nil {
			t.Errorf("%s: %d, %v", state, n, err)
		}
		must(t, out.Close())
		check(state)
	}
}

// TestShares does random things to some files, copies ranges from one to
// another, and compares them with slices of bytes.
func TestShares(t *testing.T) {
	steps := 250
	if os.Getenv("WALFS_SOAK") != "" {
		steps = 10000
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WALFS_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	s := &sharers{t: t, d: newDrive(t, "WALFS_TEST_PASS=off"), rng: rand.New(rand.NewPCG(seed, 3)), live: map[string][]byte{}}
	for range steps {
		s.step()
	}
	s.d.do("publish")
	s.d.do("certify")
	s.verify()
	if problems := s.d.do("check"); problems != "" {
		t.Error(problems)
	}
}

type sharers struct {
	t    *testing.T
	d    *drive
	rng  *rand.Rand
	live map[string][]byte
	did  []string
}

func (s *sharers) name() string { return string(rune('a' + s.rng.IntN(5))) }

func (s *sharers) step() {
	s.t.Helper()
	name, did := s.name(), ""
	switch r := s.rng.IntN(100); {
	case r < 20:
		did = s.write(name)
	case r < 55:
		did = s.copy(s.name(), name)
	case r < 60:
		did = "truncate " + name
		if live, ok := s.live[name]; ok {
			n := s.rng.IntN(len(live) + 10000)
			s.live[name] = append(live[:min(len(live), n):min(len(live), n)], make([]byte, max(0, n-len(live)))...)
			must(s.t, os.Truncate(s.d.path(name), int64(n)))
		}
	case r < 68:
		did = "remove " + name
		if _, ok := s.live[name]; ok {
			must(s.t, os.Remove(s.d.path(name)))
			delete(s.live, name)
		}
	case r < 78:
		did = "publish"
		s.d.do("publish")
	case r < 88:
		did = "certify"
		s.d.do("publish")
		s.d.do("certify")
	case r < 96:
		did = "evict"
		s.d.do("evict")
	default:
		did = "kill"
		s.d.kill()
		s.d.mount()
	}
	s.did = append(s.did, did)
	s.verify()
}

func (s *sharers) write(name string) string {
	off, p := s.rng.IntN(300_000), content(s.rng.Uint64(), 1+s.rng.IntN(100_000))
	live := s.live[name]
	live = append(live[:len(live):len(live)], make([]byte, max(0, off+len(p)-len(live)))...)
	copy(live[off:], p)
	s.live[name] = live
	f, err := os.OpenFile(s.d.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	must(s.t, err)
	_, err = f.WriteAt(p, int64(off))
	must(s.t, errors.Join(err, f.Close()))
	return fmt.Sprintf("write %s %d+%d", name, off, len(p))
}

// copy copies ranges of one file to another, which is often new.
func (s *sharers) copy(from, to string) string {
	src, ok := s.live[from]
	if !ok || from == to {
		return "nothing"
	}
	in, err := os.Open(s.d.path(from))
	must(s.t, err)
	defer in.Close()
	if s.rng.IntN(4) > 0 {
		_ = os.Remove(s.d.path(to))
		delete(s.live, to)
	}
	out, err := os.OpenFile(s.d.path(to), os.O_RDWR|os.O_CREATE, 0o600)
	must(s.t, err)
	defer out.Close()
	dst, did := s.live[to], "copy "+from+" "+to
	off, at, n := 0, len(dst), len(src)
	for range 1 + s.rng.IntN(3) {
		if s.rng.IntN(2) == 0 {
			off, n = s.rng.IntN(len(src)+1), 1+s.rng.IntN(200_000)
			at = len(dst) + s.rng.IntN(20_000) - 1000*s.rng.IntN(2)
			at = max(0, at)
		}
		n = min(n, len(src)-off)
		k, err := copyRange(in, out, int64(off), int64(at), n)
		if err != nil || k != n {
			s.t.Fatalf("%s: copied %d of %d, %v", did, k, n, err)
		}
		if n > 0 {
			dst = append(dst[:len(dst):len(dst)], make([]byte, max(0, at+n-len(dst)))...)
			copy(dst[at:], src[off:off+n])
		}
		did += fmt.Sprintf(" %d+%d>%d", off, n, at)
		at = len(dst)
		if s.rng.IntN(6) == 0 {
			s.d.do("publish")
		}
	}
	s.live[to] = dst
	return did
}

func (s *sharers) verify() {
	s.t.Helper()
	for name, want := range s.live {
		if s.rng.IntN(3) == 0 {
			dropCache(s.t, s.d.path(name))
		}
		if got, err := os.ReadFile(s.d.path(name)); err != nil || !bytes.Equal(got, want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			s.t.Fatalf("%s has %d bytes, want %d; first difference at %d; %v\n%q", name, len(got), len(want), at, err, s.did[max(0, len(s.did)-30):])
		}
	}
}
