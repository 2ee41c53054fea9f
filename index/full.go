package index

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore/walrus"
)

// A full snapshot is the whole published tree. It stands behind the rows of a
// trailer, as a frame that zstd skips, and holds the generation before that
// one: a restore that meets it on the way down need not go further.
//
//	0 4  "WFUL"
//	4 1  version 1
//	5 …  frames: their length in 4 bytes, little-endian, and a zstd frame
//
// The rows of a frame begin with a byte that says what they are: the head
// (once, first), segments, inodes with their content, names. Rows of a kind
// ascend by key through all frames. Attributes of an inode may be those of a
// moment after the generation; its own trailer brings them again.

const (
	fullMagic   = "WFUL"
	fullVersion = 1
	// fullMagicFrame begins the frame. Source: RFC 8878, section 3.1.2.
	fullMagicFrame = skippableMagic + 1
	// fullRows is about how many rows share a frame.
	fullRows = 4096
	// fullFrame is from how many bytes on a frame takes no more rows.
	fullFrame = 4 << 20
)

// The kinds of frames.
const (
	fullHead byte = 1 + iota
	fullSegments
	fullInodes
	fullNames
)

// FullHead begins a full snapshot.
type FullHead struct {
	Drive      [16]byte
	Generation uint64 // that it shows
	Last       uint64 // number of the newest segment then
	NextIno    Ino
	Inodes     uint64 // about how many follow
}

// FullSegment is a segment in a full snapshot. Of one that no trailer has
// announced up to its generation only the first line of fields is set: the anchor
// or a later trailer tells the rest.
type FullSegment struct {
	Number, Generation uint64
	Part, Parts        int
	Announced          uint64 // generation of the first trailer that lists it; 0: none does
	Blob               walrus.BlobID
	Object             walrus.ObjectID
	Size               int64 // sealed, in bytes
	EndEpoch           walrus.Epoch
	Header             [64]byte
}

// MarshalFull returns the encoded trailer with a full snapshot behind it, and
// notes in the trailer that there is one. ErrRange: both are longer than MaxTrailer.
func MarshalFull(t *Trailer, snapshot []byte) ([]byte, error) {
	t.Full = int64(len(snapshot))
	b, err := MarshalTrailer(t)
	if err != nil {
		return nil, err
	}
	if len(b)+skippableHeader+len(snapshot) > MaxTrailer {
		t.Full = 0
		return nil, fmt.Errorf("trailer of %d bytes and snapshot of %d: %w", len(b), len(snapshot), ErrRange)
	}
	b = binary.LittleEndian.AppendUint32(b, fullMagicFrame)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(snapshot)))
	return append(b, snapshot...), nil
}

// FullOf returns the full snapshot behind the rows of an encoded trailer, nil
// if there is none. ErrTrailer: it says that there is one, and there is not.
func FullOf(t *Trailer, encoded []byte) ([]byte, error) {
	if t.Full == 0 {
		return nil, nil
	}
	at := int64(len(encoded)) - t.Full - skippableHeader
	if t.Full < 0 || at < 0 || binary.LittleEndian.Uint32(encoded[at:]) != fullMagicFrame ||
		int64(binary.LittleEndian.Uint32(encoded[at+4:])) != t.Full {
		return nil, fmt.Errorf("full snapshot of %d bytes: %w", t.Full, ErrTrailer)
	}
	return encoded[at+skippableHeader:], nil
}

// EncodeFull returns the published tree of the newest committed generation. It
// reads one state of the index, and holds nobody up.
func (db *DB) EncodeFull(ctx context.Context) (generation uint64, snapshot []byte, err error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return 0, nil, err
	}
	f := fullWriter{ctx: ctx, zstd: w, out: append([]byte(fullMagic), fullVersion)}
	inodes := db.latest.Load().inodes
	err = db.snapshot(func(c *conn) error {
		f.c = c
		generation, err = f.write(inodes)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("full snapshot: %w", err)
	}
	return generation, f.out, w.Close()
}

// fullWriter writes a full snapshot.
type fullWriter struct {
	ctx  context.Context
	c    *conn
	zstd *zstd.Encoder
	out  []byte
}

func (f *fullWriter) write(inodes int64) (generation uint64, err error) {
	drive, err := f.c.drive()
	if err != nil {
		return 0, err
	}
	h := FullHead{Drive: drive.ID, Inodes: uint64(max(0, inodes))}
	for key, field := range map[string]*uint64{metaPacked: &h.Generation, metaLast: &h.Last, metaIno: (*uint64)(&h.NextIno)} {
		n, err := f.c.int(sqlMeta, key)
		if err != nil {
			return 0, err
		}
		*field = uint64(n)
	}
	f.head(h)
	for _, rows := range []func() error{f.segments, f.inodes, f.names} {
		if err := rows(); err != nil {
			return 0, err
		}
	}
	return h.Generation, nil
}

// frame adds a frame of rows.
func (f *fullWriter) frame(kind byte, rows []byte) {
	plain := append([]byte{kind}, rows...)
	b := pad(f.zstd.EncodeAll(plain, nil), len(plain))
	f.out = binary.LittleEndian.AppendUint32(f.out, uint32(len(b)))
	f.out = append(f.out, b...)
}

func (f *fullWriter) head(h FullHead) {
	var e encoder
	e.fullHead(h)
	f.frame(fullHead, e.b)
}

func (f *fullWriter) segments() error {
	var list []FullSegment
	flush := func() {
		var e encoder
		e.fullSegments(list)
		f.frame(fullSegments, e.b)
		list = list[:0]
	}
	err := f.c.query(`SELECT number, generation, part, parts, announced, blob, object, size, end_epoch, header
		FROM segments WHERE delete_tx IS NULL ORDER BY number`, func(r row) error {
		s := FullSegment{Number: r.uint(0), Generation: r.uint(1), Part: int(r.int(2)), Parts: int(r.int(3)), Announced: r.uint(4)}
		if s.Announced != 0 {
			copy(s.Blob[:], r.bytes(5))
			copy(s.Object[:], r.bytes(6))
			s.Size, s.EndEpoch = r.int(7), walrus.Epoch(r.int(8))
			copy(s.Header[:], r.bytes(9))
		}
		if list = append(list, s); len(list) >= fullRows {
			flush()
		}
		return f.ctx.Err()
	})
	if len(list) > 0 {
		flush()
	}
	return err
}

// inodes writes all inodes that may be published and have a name, each with
// all of its content. Adopted content is in no generation yet.
func (f *fullWriter) inodes() error {
	var rows fullInodeRows
	flush := func() {
		var e encoder
		e.inodes(rows.inodes)
		e.contents(rows.contents)
		f.frame(fullInodes, e.b)
		rows = fullInodeRows{}
	}
	err := f.c.query(`SELECT `+inodeColumns+` FROM inodes i WHERE i.pub_version > 0 AND (i.nlink > 0 OR EXISTS
		(SELECT 1 FROM dirents n INDEXED BY dirents_pub WHERE n.pub = i.ino AND n.pub IS NOT NULL AND n.ino IS NOT n.pub))
		AND i.ino NOT IN adopted ORDER BY i.ino`, func(r row) error {
		n := scanInode(r)
		if err := rows.add(f.c, &n); err != nil {
			return err
		}
		if len(rows.inodes) >= fullRows || rows.bytes >= fullFrame {
			flush()
		}
		return f.ctx.Err()
	})
	if len(rows.inodes) > 0 {
		flush()
	}
	return err
}

// fullInodeRows are the rows of a frame of inodes.
type fullInodeRows struct {
	inodes   []InodeRow
	contents []ContentRow
	bytes    int // about
}

func (f *fullInodeRows) add(c *conn, n *inode) error {
	r, err := c.inodeRow(n)
	if err != nil {
		return err
	}
	f.bytes += 64 + len(r.Target)
	for _, x := range r.Xattrs {
		f.bytes += len(x.Name) + len(x.Value)
	}
	f.inodes = append(f.inodes, r)
	if !n.IsRegular() {
		return nil
	}
	content := ContentRow{Ino: n.Ino, Version: n.PubVersion, Size: n.PubSize, Mtime: n.pubMtime}
	err = c.query(`SELECT off, len, segment, pos FROM extents WHERE ino = ? AND dead = 9223372036854775807 ORDER BY off`,
		func(r row) error {
			content.Ops = append(content.Ops, Op{Off: r.int(0), Len: r.int(1), Segment: r.uint(2), Pos: r.int(3)})
			return nil
		}, n.Ino)
	f.bytes += 16 * len(content.Ops)
	f.contents = append(f.contents, content)
	return err
}

func (f *fullWriter) names() error {
	var list []NameRow
	bytes := 0
	flush := func() {
		var e encoder
		e.names(list)
		f.frame(fullNames, e.b)
		list, bytes = list[:0], 0
	}
	err := f.c.query(`SELECT parent, name, pub FROM dirents WHERE pub IS NOT NULL ORDER BY parent, name`, func(r row) error {
		list = append(list, NameRow{Parent: r.ino(0), Name: r.bytes(1), Ino: r.ino(2)})
		if bytes += len(list[len(list)-1].Name) + 8; len(list) >= fullRows || bytes >= fullFrame {
			flush()
		}
		return f.ctx.Err()
	})
	if len(list) > 0 {
		flush()
	}
	return err
}

func (e *encoder) fullHead(h FullHead) {
	e.b = append(e.b, h.Drive[:]...)
	for _, n := range []uint64{h.Generation, h.Last, uint64(h.NextIno), h.Inodes} {
		e.uint(n)
	}
}

func (e *encoder) fullSegments(list []FullSegment) {
	e.uint(uint64(len(list)))
	last := uint64(0)
	for i := range list {
		s := &list[i]
		e.uint(s.Number - last)
		last = s.Number
		e.uint(s.Number - s.Generation)
		e.uint(uint64(s.Part))
		e.uint(uint64(s.Parts))
		e.uint(s.Announced)
		if s.Announced == 0 {
			continue
		}
		e.b = append(e.b, s.Blob[:]...)
		e.b = append(e.b, s.Object[:]...)
		e.uint(uint64(s.Size))
		e.uint(uint64(s.EndEpoch))
		e.b = append(e.b, s.Header[:]...)
	}
}

// generationCost is what it costs a restore to read a trailer, in bytes,
// whatever its length: the sliver that holds the end of a segment, and the way there.
const generationCost = 256 << 10

// leastFull is below what cost of replaying no full snapshot is worth its blob, in bytes.
const leastFull = 16 << 20

// fullPerInode is about what an inode takes in a full snapshot, in bytes.
const fullPerInode = 48

// ReplayCost compares the ways of a restore. All are in bytes to read.
type ReplayCost struct {
	Trailers int64 // the trailers since the newest full snapshot
	Full     int64 // a full snapshot, about
	Snapshot int64 // what is stored of that
}

// Due reports whether a restore would gain much by a new full snapshot. Since
// it waits for twice its cost, snapshots never cost more than half of the
// trailers that they stand for.
func (c ReplayCost) Due() bool { return c.Trailers > leastFull && c.Trailers > 2*c.Full }

// ReplayCost returns what a restore of the newest committed generation costs.
func (db *DB) ReplayCost(ctx context.Context) (cost ReplayCost, err error) {
	inodes := db.latest.Load().inodes
	err = db.view(func(c *conn) error {
		if cost.Trailers, err = c.int(sqlMeta, metaReplay); err != nil {
			return err
		}
		cost.Full, err = c.int(sqlMeta, metaFullBytes)
		cost.Snapshot = max(cost.Full, fullPerInode*inodes)
		cost.Full = generationCost + cost.Snapshot
		return err
	})
	return cost, err
}

// countReplay notes what a trailer adds to the cost of a restore.
func (tx *txn) countReplay(t *Trailer, encoded int) error {
	cost := generationCost + int64(encoded) - t.Full
	if t.Full == 0 {
		before, err := tx.int(sqlMeta, metaReplay)
		return errors.Join(err, tx.run(sqlSetMeta, metaReplay, before+cost))
	}
	return errors.Join(
		tx.run(sqlSetMeta, metaFull, t.Generation),
		tx.run(sqlSetMeta, metaFullBytes, t.Full),
		tx.run(sqlSetMeta, metaReplay, cost),
	)
}
