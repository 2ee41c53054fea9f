package sui

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

func openJournal(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := OpenJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func put(t *testing.T, j *Journal, r *record) {
	t.Helper()
	if err := j.append(r); err != nil {
		t.Fatal(err)
	}
}

func signed(n byte) *record {
	return &record{Kind: recordSigned, Tx: chain.TxID{n}, Owner: chain.Address{9}, Request: [32]byte{n, 1}, Digest: move.Digest{n, 2},
		Attempt: attempt{Raw: []byte{n, 3}, Signature: []byte{n, 4}, Shape: shape{Certified: []walrus.ObjectID{{n}}, CostFrost: 7}}}
}

func ended(kind uint8, n byte) *record {
	r := signed(n)
	return &record{Kind: kind, Tx: r.Tx, Owner: r.Owner, Request: r.Request, Digest: r.Digest, Outcome: []byte{n, 5}, Reason: "why"}
}

// kinds returns what the journal knows of the transactions 1 to n, -1 for nothing.
func kinds(t *testing.T, j *Journal, n byte) (list []int) {
	t.Helper()
	for i := range n {
		r, err := j.get(chain.TxID{i + 1})
		switch {
		case err != nil:
			t.Fatal(err)
		case r == nil:
			list = append(list, -1)
		default:
			list = append(list, int(r.Kind))
		}
	}
	return list
}

// TestJournalAfterCut cuts the file in each record, as a crash may: what was
// written whole before is there, the rest is not, and the journal goes on.
func TestJournalAfterCut(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	if _, err := j.pin(move.Digest{8}); err != nil {
		t.Fatal(err)
	}
	ends := []int64{j.size}
	for _, r := range []*record{signed(1), ended(recordDone, 1), signed(2), signed(3), ended(recordDead, 3)} {
		put(t, j, r)
		ends = append(ends, j.size)
	}
	want := [][]int{{-1, -1, -1}, {1, -1, -1}, {2, -1, -1}, {2, 1, -1}, {2, 1, 1}, {2, 1, -1}}
	whole, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		state, near := -1, cut%50 == 0 // state -1 is before the chain was written down
		for i, end := range ends {
			if int64(cut) >= end {
				state = i
			}
			near = near || int64(cut) >= end-1 && int64(cut) <= end+recordHeader+1
		}
		if !near { // each cut is a few fsyncs
			continue
		}
		dir := t.TempDir()
		tail := append(bytes.Clone(whole[:cut]), bytes.Repeat([]byte{0xee}, cut%5)...) // and perhaps what lay there before
		if cut < len(journalMagic) {
			tail = whole[:cut]
		}
		if err := os.WriteFile(filepath.Join(dir, journalFile), tail, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(dir)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if state < 0 {
			if j.chainID() != (move.Digest{}) {
				t.Errorf("cut at %d: chain %s", cut, j.chainID())
			}
		} else if got := kinds(t, j, 3); !slices.Equal(got, want[state]) {
			t.Errorf("cut at %d: got %v, want %v", cut, got, want[state])
		}
		put(t, j, signed(4))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if j, err = OpenJournal(dir); err != nil {
			t.Fatalf("cut at %d, opened again: %v", cut, err)
		}
		if r, err := j.get(chain.TxID{4}); err != nil || r == nil || !bytes.Equal(r.Attempt.Raw, signed(4).Attempt.Raw) {
			t.Errorf("cut at %d: what was written after it: %+v, %v", cut, r, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalFindsWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	for _, r := range []*record{signed(3), signed(1), signed(2), ended(recordDone, 1)} {
		put(t, j, r)
	}
	other := signed(4)
	other.Owner[0]++
	put(t, j, other)
	if _, err := OpenJournal(dir); !errors.Is(err, ErrJournalInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir)
	open, err := j.unsettled(chain.Address{9})
	if err != nil || len(open) != 2 || open[0].Tx != (chain.TxID{3}) || open[1].Tx != (chain.TxID{2}) {
		t.Fatalf("open: %+v, %v, want 3 and 2", open, err)
	}
	if want := signed(3); !bytes.Equal(open[0].Attempt.Raw, want.Attempt.Raw) || !bytes.Equal(open[0].Attempt.Signature, want.Attempt.Signature) ||
		open[0].Attempt.Shape.CostFrost != 7 || open[0].Digest != want.Digest || open[0].Request != want.Request {
		t.Errorf("got %+v, want %+v", open[0], want)
	}
}

// TestJournalCompacts lets most of a journal become old: open entries, young
// ones and the newest ones stay, whenever it is opened.
func TestJournalCompacts(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	if _, err := j.pin(move.Digest{8}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	j.now = func() time.Time { return now.AddDate(-1, 0, 0) }
	put(t, j, signed(1))
	put(t, j, signed(2))
	put(t, j, ended(recordDone, 2))
	// Old, but among the newest: compacting must keep it.
	if err := j.compact(); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, j, 2); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("after compacting: %v", got)
	}
	old := len(j.entries)
	for i := range keepFinished {
		j.order = append(j.order, chain.TxID{31: byte(i), 30: byte(i >> 8), 29: 1}) // as if so many came later
	}
	j.now = func() time.Time { return now }
	put(t, j, signed(3))
	put(t, j, ended(recordDone, 3))
	before := j.size
	if err := j.compact(); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, j, 3); !slices.Equal(got, []int{1, -1, 2}) || old != 2 || j.size >= before {
		t.Errorf("after compacting: %v, %d bytes, before %d", got, j.size, before)
	}
	put(t, j, signed(4))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir)
	if got := kinds(t, j, 4); !slices.Equal(got, []int{1, -1, 2, 1}) || j.chainID() != (move.Digest{8}) {
		t.Errorf("opened again: %v, chain %s", got, j.chainID())
	}
	if _, err := os.Stat(filepath.Join(dir, journalFile+".new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file is still there: %v", err)
	}
}

// TestJournalThatCannotBeWritten takes the file away: nothing may be signed on
// the strength of it, also when it comes back.
func TestJournalThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	put(t, j, signed(1))
	read, err := os.Open(filepath.Join(dir, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	whole := j.file
	j.file = read // cannot be written to
	if err := j.append(signed(2)); !errors.Is(err, ErrJournal) {
		t.Errorf("written to a file that is open for reading: %v", err)
	}
	j.file = whole
	if err := j.append(signed(2)); !errors.Is(err, ErrJournal) {
		t.Errorf("written after a failure: %v", err)
	}
	if got := kinds(t, j, 2); !slices.Equal(got, []int{1, -1}) {
		t.Errorf("got %v", got)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalOnFullDisk fills the disk of a journal: what does not fit is not in it, not even in
// part, and once there is room it is written again.
func TestJournalOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	j := openJournal(t, dir)
	put(t, j, signed(1))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	failed := byte(2)
	for ; failed < 250; failed++ { // until the last page of the file is full
		if err := j.append(signed(failed)); err != nil {
			if !errors.Is(err, ErrJournal) || !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("record %d: %v", failed, err)
			}
			break
		}
	}
	if failed == 250 {
		t.Fatal("the disk never became full")
	}
	if info, err := j.file.Stat(); err != nil || info.Size() != j.size {
		t.Errorf("the file has %d bytes, the journal %d, %v", info.Size(), j.size, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	put(t, j, signed(failed))
	want := make([]int, failed)
	for i := range want {
		want[i] = int(recordSigned)
	}
	if got := kinds(t, j, failed); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, openJournal(t, dir), failed); !slices.Equal(got, want) {
		t.Errorf("opened again: %v", got)
	}
}

func TestForeignJournal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalFile), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(dir); !errors.Is(err, ErrNoJournal) {
		t.Errorf("got %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil || string(b) != "something else" {
		t.Errorf("the file was changed to %q, %v", b, err)
	}
}

// FuzzJournal opens journals of any records with right checksums: that is refused, or what is opened can be
// added to, and is the same when it is opened again.
func FuzzJournal(f *testing.F) {
	for _, r := range []*record{signed(1), ended(recordDone, 1), ended(recordDead, 1), {Kind: recordChain, Chain: move.Digest{3}}} {
		payload, err := move.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		dir := t.TempDir()
		file := binary.LittleEndian.AppendUint32([]byte(journalMagic), uint32(len(payload)))
		file = append(binary.LittleEndian.AppendUint32(file, crc32.Checksum(payload, castagnoli)), payload...)
		if err := os.WriteFile(filepath.Join(dir, journalFile), file, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(dir)
		if err != nil {
			return
		}
		put(t, j, signed(200))
		want := kinds(t, j, 200)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if got := kinds(t, openJournal(t, dir), 200); !slices.Equal(got, want) {
			t.Errorf("opened again: %v, want %v", got, want)
		}
	})
}

// FuzzProfile reads profiles.
func FuzzProfile(f *testing.F) {
	f.Add([]byte(`{"name":"n","rpc_url":"https://h:443","system_object":"0x1","staking_object":"0x2","exchange_objects":["0x3"]}`))
	f.Add([]byte(`{"rpc_url":"http://127.0.0.1:1","chain_id":"4c78adac"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProfile(b)
		if err == nil && (p.Target == "" || p.System == (move.ID{}) || p.Staking == (move.ID{})) {
			t.Errorf("%s makes %+v", b, p)
		}
	})
}
