package sui

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// The kinds of records.
const (
	recordChain  uint8 = iota // the chain that all else is about
	recordSigned              // a transaction that is about to be sent, or was
	recordDone                // it was executed
	recordDead                // it never will be: its transaction ID is free again
	recordKinds
)

// record is one step in the life of a transaction.
type record struct {
	Kind    uint8
	TimeMS  uint64
	Chain   move.Digest // of recordChain; the rest is of the others
	Tx      chain.TxID
	Owner   chain.Address
	Request [32]byte // hash of what was asked for
	Attempt attempt  // of recordSigned
	Digest  move.Digest
	Outcome []byte // of recordDone: BCS of a chain.Outcome
	Reason  string // of recordDead, for people
	unsent  bool   // it was signed just now, and nobody has it; not written down
}

// BCS is the layout.
func (r *record) BCS(c *move.Codec) {
	c.Variant(&r.Kind, recordKinds)
	c.U64(&r.TimeMS)
	if r.Kind == recordChain {
		r.Chain.BCS(c)
		return
	}
	c.Fixed(r.Tx[:])
	c.Fixed(r.Owner[:])
	c.Fixed(r.Request[:])
	r.Digest.BCS(c)
	switch r.Kind {
	case recordSigned:
		r.Attempt.BCS(c)
	case recordDone:
		c.Bytes(&r.Outcome)
	case recordDead:
		c.String(&r.Reason)
	}
}

// attempt is a signed transaction, and what its effects do not tell of the request.
type attempt struct {
	Raw       []byte // BCS of the transaction
	Signature []byte
	Shape     shape
}

// BCS is the layout.
func (a *attempt) BCS(c *move.Codec) {
	c.Bytes(&a.Raw)
	c.Bytes(&a.Signature)
	a.Shape.BCS(c)
}

// shape is the part of an outcome that is known before a transaction is sent.
type shape struct {
	Certified []walrus.ObjectID
	Freed     []walrus.ObjectID
	Anchor    move.ID // zero when no anchor is moved
	CostFrost uint64  // by the prices of the day
}

// BCS is the layout.
func (s *shape) BCS(c *move.Codec) {
	move.Vector(c, &s.Certified, objectBCS)
	move.Vector(c, &s.Freed, objectBCS)
	c.ID(&s.Anchor)
	c.U64(&s.CostFrost)
}

// compactIfDue rewrites the file when most of it is about what is over. The caller holds mu.
func (j *Journal) compactIfDue() error {
	if j.size < compactBeyond {
		return nil
	}
	live := int64(0)
	for _, e := range j.entries {
		live += int64(e.length)
	}
	if j.size < 2*live && len(j.order) < 2*keepFinished {
		return nil
	}
	return j.compact()
}

// compact writes a new file with what still matters and puts it in the place
// of the old one. A file that cannot be made is no harm: the old one goes on.
// An error says that nobody knows which of the two is there. The caller holds mu.
func (j *Journal) compact() error {
	j.forget()
	path := filepath.Join(j.dir, journalFile)
	file, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil
	}
	next := &Journal{dir: j.dir, file: file, entries: map[chain.TxID]*entry{}}
	if err := j.copyTo(next); err != nil {
		_, _ = file.Close(), os.Remove(path+".new")
		return nil
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return closing(err, file)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return closing(err, file)
	}
	if err := syncFolder(j.dir); err != nil {
		return closing(err, file)
	}
	old := j.file
	j.file, j.size, j.entries, j.order, j.pending = next.file, next.size, next.entries, next.order, next.pending
	return old.Close()
}

// forget drops finished entries that are old and far back. The caller holds mu.
func (j *Journal) forget() {
	cut := uint64(max(0, j.now().UnixMilli()-keepYoungerMS))
	far := max(0, len(j.order)-keepFinished)
	for _, tx := range j.order[:far] {
		if e := j.entries[tx]; e != nil && e.kind == recordDone && e.timeMS < cut {
			delete(j.entries, tx)
		}
	}
}

// copyTo writes chain and entries into the file of another journal, in the order of the old file.
func (j *Journal) copyTo(next *Journal) error {
	b := []byte(journalMagic)
	next.size = int64(len(b))
	if j.chain != (move.Digest{}) {
		one, err := frame(&record{Kind: recordChain, Chain: j.chain})
		if err != nil {
			return err
		}
		b, next.size = append(b, one...), next.size+int64(len(one))
	}
	if _, err := next.file.WriteAt(b, 0); err != nil {
		return err
	}
	var list []chain.TxID
	for tx := range j.entries {
		list = append(list, tx)
	}
	slices.SortFunc(list, func(x, y chain.TxID) int { return int(j.entries[x].at - j.entries[y].at) })
	for _, tx := range list {
		r, err := j.load(j.entries[tx])
		if err != nil {
			return err
		}
		one, err := frame(r)
		if err != nil {
			return err
		}
		if _, err := next.file.WriteAt(one, next.size); err != nil {
			return err
		}
		next.apply(r, next.size, len(one))
		next.size += int64(len(one))
	}
	return next.file.Sync()
}

// closing closes f and returns both errors.
func closing(err error, f *os.File) error { return errors.Join(err, f.Close()) }

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return closing(d.Sync(), d)
}
