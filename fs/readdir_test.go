package fs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// direntHead is the length in bytes of what stands before a name.
// Source: struct linux_dirent64 in getdents(2).
const direntHead = 19

// listed is an entry of a directory, and the offset behind it.
type listed struct {
	name string
	off  int64
}

// getdents reads as many entries as fit into size bytes.
func getdents(t *testing.T, fd, size int) []listed {
	t.Helper()
	buf := make([]byte, size)
	n, err := unix.Getdents(fd, buf)
	must(t, err)
	var list []listed
	for b := buf[:n]; len(b) > 0; {
		length := binary.NativeEndian.Uint16(b[16:])
		name, _, _ := bytes.Cut(b[direntHead:length], []byte{0})
		list = append(list, listed{string(name), int64(binary.NativeEndian.Uint64(b[8:]))})
		b = b[length:]
	}
	return list
}

func getAllDents(t *testing.T, fd, size int) (all []listed) {
	t.Helper()
	for {
		list := getdents(t, fd, size)
		if len(list) == 0 {
			return all
		}
		all = append(all, list...)
	}
}

// TestReaddirSeeks reads a directory from everywhere with buffers of all
// sizes: after each offset comes what came after it at first.
func TestReaddirSeeks(t *testing.T) {
	const files, rounds, reads = 300, 20, 120
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	d := newDrive(t)
	must(t, os.Mkdir(d.path("dir"), 0o755))
	for i := range files {
		must(t, os.WriteFile(d.path("dir", fmt.Sprint(i, strings.Repeat("n", rng.IntN(200)))), nil, 0o644))
	}
	sizes := []int{280, 300, 600, 1500, 4096, 5000, 9000, 32768}
	for round := range rounds {
		// The kernel asks us only while it has no whole list that is up to date.
		must(t, os.WriteFile(d.path("dir", fmt.Sprint("new", round)), nil, 0o644))
		dir, err := os.Open(d.path("dir"))
		must(t, err)
		defer dir.Close()
		fd := int(dir.Fd())
		all := getAllDents(t, fd, sizes[round%len(sizes)])
		if len(all) != files+round+3 {
			t.Fatalf("buffers of %d bytes: %d entries, want %d", sizes[round%len(sizes)], len(all), files+round+3)
		}
		must(t, os.WriteFile(d.path("dir", "touched"), nil, 0o644))
		must(t, os.Remove(d.path("dir", "touched")))
		checkSeeks(t, rng, fd, all, sizes, reads)
		must(t, dir.Close())
	}
}

// checkSeeks seeks to offsets behind entries, and reads some buffers there.
func checkSeeks(t *testing.T, rng *rand.Rand, fd int, all []listed, sizes []int, reads int) {
	t.Helper()
	at := 0
	for i := range reads {
		if i == 0 || rng.IntN(3) == 0 {
			at = rng.IntN(len(all))
			if i == 0 || rng.IntN(8) == 0 {
				at = 0
			}
			off := int64(0)
			if at > 0 {
				off = all[at-1].off
			}
			_, err := unix.Seek(fd, off, unix.SEEK_SET)
			must(t, err)
		}
		size := sizes[rng.IntN(len(sizes))]
		got := getdents(t, fd, size)
		if len(got) == 0 && at < len(all) {
			t.Fatalf("read %d: end of directory behind entry %d of %d", i, at, len(all))
		}
		for k, e := range got {
			if at+k >= len(all) || e != all[at+k] {
				t.Fatalf("read %d, %d bytes: entry %d behind %d is %v", i, size, k, at, e)
			}
		}
		at += len(got)
	}
}

// TestReaddirEnds renames what it lists, and has files made beside it: the
// listing ends with what was there when it began.
func TestReaddirEnds(t *testing.T) {
	const files = 200
	d := newDrive(t)
	for _, size := range []int{300, 4096, 32768} {
		dir := d.path(fmt.Sprint(size))
		must(t, os.Mkdir(dir, 0o755))
		for i := range files {
			must(t, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o644))
		}
		f, err := os.Open(dir)
		must(t, err)
		defer f.Close()
		for listing := range 2 { // the second one after rewinddir
			_, err := f.Seek(0, 0)
			must(t, err)
			seen := map[string]int{}
			for count := 0; ; {
				list := getdents(t, int(f.Fd()), size)
				for _, e := range list {
					seen[e.name]++
					if e.name != "." && e.name != ".." {
						must(t, os.Rename(dir+"/"+e.name, dir+"/"+e.name+"n"))
					}
				}
				if count += len(list); len(list) == 0 {
					break
				} else if count > 2*files {
					t.Fatalf("buffers of %d bytes, listing %d: no end after %d entries", size, listing, count)
				}
			}
			if len(seen) != files+2 {
				t.Errorf("buffers of %d bytes, listing %d: %d names, want %d", size, listing, len(seen), files+2)
			}
		}
	}
}
