package index

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore/walrus"
)

// maxFullFrame is above the length of what a frame's rows may unpack to. A
// frame holds at least one row, so that the content of a single file sets it.
const maxFullFrame = MaxTrailer

// ApplyFull begins a replay with a full snapshot instead of the trailers up to
// its generation. Resolve fills in Blob, Size, Object, EndEpoch and Header of a
// segment that the snapshot knows by number only. Rows that make no sense are
// left out and reported. ErrStale: something was replayed already; ErrTrailer:
// it is damaged, or of another drive.
func (r *Replay) ApplyFull(ctx context.Context, snapshot []byte, resolve func(*SegmentRow) error) error {
	if err := r.applyFull(ctx, snapshot, resolve); err != nil {
		return fmt.Errorf("apply full snapshot: %w", err)
	}
	return nil
}

func (r *Replay) applyFull(ctx context.Context, snapshot []byte, resolve func(*SegmentRow) error) error {
	f := fullReader{r: r, resolve: resolve}
	if len(snapshot) < len(fullMagic)+1 || string(snapshot[:len(fullMagic)]) != fullMagic || snapshot[len(fullMagic)] != fullVersion {
		return ErrTrailer
	}
	for rest := snapshot[len(fullMagic)+1:]; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return fmt.Errorf("frame: %w", ErrTrailer)
		}
		n := 4 + int(binary.LittleEndian.Uint32(rest))
		rows, err := unpackFrame(rest[4:n])
		if err != nil {
			return err
		}
		if err := r.db.update(func(tx *txn) error { return f.frame(tx, rows) }); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return f.close()
}

func unpackFrame(b []byte) ([]byte, error) {
	limit := min(uint64(len(b))*trailerRatio+trailerSlack, maxFullFrame)
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	rows, err := d.DecodeAll(b, nil)
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("frame of %d bytes: %w: %w", len(b), ErrTrailer, err)
	}
	return rows, nil
}

// fullReader lays a full snapshot into an empty index.
type fullReader struct {
	r       *Replay
	resolve func(*SegmentRow) error

	head  FullHead
	begun bool
	kind  byte // of the frame before
	ino   Ino  // the last inode
	name  NameRow
	last  uint64 // the last segment
}

// fullRowsOf is the rows of one frame: of its kind, the other fields are empty.
type fullRowsOf struct {
	kind     byte
	head     FullHead
	segments []FullSegment
	inodes   []InodeRow
	contents []ContentRow
	names    []NameRow
}

// decodeFrame reads the rows of one frame, which are not empty.
func decodeFrame(rows []byte) (f fullRowsOf, err error) {
	f.kind = rows[0]
	d := decoder{b: rows[1:]}
	switch f.kind {
	case fullHead:
		f.head = d.fullHead()
	case fullSegments:
		f.segments = d.fullSegments()
	case fullInodes:
		f.inodes, f.contents = d.inodes(), d.contents()
	case fullNames:
		f.names = d.names()
	default:
		d.bad = true
	}
	if d.bad || len(d.b) != 0 {
		return f, fmt.Errorf("rows of kind %d: %w", f.kind, ErrTrailer)
	}
	return f, nil
}

// frame lays the rows of one frame.
func (f *fullReader) frame(tx *txn, b []byte) error {
	rows, err := decodeFrame(b)
	if err != nil {
		return err
	}
	if f.begun != (rows.kind != fullHead) || rows.kind < f.kind {
		return fmt.Errorf("frame of kind %d after %d: %w", rows.kind, f.kind, ErrTrailer)
	}
	f.kind = rows.kind
	switch rows.kind {
	case fullHead:
		return f.begin(tx, rows.head)
	case fullSegments:
		return f.segments(tx, rows.segments)
	case fullInodes:
		return f.inodes(tx, rows.inodes, rows.contents)
	}
	return f.names(tx, rows.names)
}

func (f *fullReader) begin(tx *txn, h FullHead) error {
	switch {
	case h.Drive != f.r.drive.ID:
		return fmt.Errorf("drive %x: %w", h.Drive, ErrTrailer)
	case tx.st.last != 0 || tx.st.packed != 0:
		return fmt.Errorf("after generation %d: %w", tx.st.packed, ErrStale)
	case h.Generation == 0 || h.Last < h.Generation || h.NextIno >= maxIno:
		return fmt.Errorf("generation %d up to segment %d, next inode %d: %w", h.Generation, h.Last, h.NextIno, ErrTrailer)
	}
	f.head, f.begun = h, true
	tx.fresh = true
	tx.st.nextIno = max(tx.st.nextIno, uint64(h.NextIno))
	tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
	tx.st.packed, tx.st.last, tx.st.open = h.Generation, h.Last, h.Last+1
	f.r.report.Generations++
	return nil
}

// close checks that all that has to be there was.
func (f *fullReader) close() error {
	if !f.begun || f.last > f.head.Last || f.last < f.head.Generation {
		return fmt.Errorf("segments up to %d of %d: %w", f.last, f.head.Last, ErrTrailer)
	}
	return nil
}

func (f *fullReader) segments(tx *txn, list []FullSegment) error {
	for i := range list {
		s := &list[i]
		if s.Number <= f.last || s.Number > f.head.Last || s.Generation == 0 || s.Part >= s.Parts || s.Announced > f.head.Generation {
			return fmt.Errorf("segment %d after %d: %w", s.Number, f.last, ErrTrailer)
		}
		f.last = s.Number
		row := SegmentRow{
			Number: s.Number, Generation: s.Generation, Part: s.Part, Parts: s.Parts, Announced: s.Announced,
			Blob: s.Blob, Object: s.Object, Size: s.Size, EndEpoch: s.EndEpoch, Header: s.Header,
		}
		if s.Announced == 0 {
			if err := f.resolve(&row); err != nil {
				return fmt.Errorf("segment %d: %w", s.Number, err)
			}
		}
		if err := tx.insertSegment(&row, s.Generation, Finished); err != nil {
			return err
		}
		f.r.sizes[s.Number] = row.Size
	}
	return nil
}

func (f *fullReader) problem(format string, args ...any) {
	f.r.report.problem("generation %d: %s", f.head.Generation, fmt.Sprintf(format, args...))
}

func (f *fullReader) inodes(tx *txn, inodes []InodeRow, contents []ContentRow) error {
	rows := rows{tx: tx, t: &Trailer{Generation: f.head.Generation}, last: f.head.Last, sizes: f.r.sizes, report: &f.r.report}
	for i := range inodes {
		row := &inodes[i]
		var content *ContentRow
		for len(contents) > 0 && contents[0].Ino < row.Ino {
			f.problem("content of inode %d is refused: it is no file", contents[0].Ino)
			contents = contents[1:]
		}
		if len(contents) > 0 && contents[0].Ino == row.Ino {
			content, contents = &contents[0], contents[1:]
		}
		if row.Ino <= f.ino {
			return fmt.Errorf("inode %d after %d: %w", row.Ino, f.ino, ErrTrailer)
		}
		f.ino = row.Ino
		if row.Ino >= maxIno || row.Mode > modeType|modePerm || checkKind(row.Mode, row.Target) != nil || row.Ino == Root && row.Mode&modeType != modeDir {
			f.problem("inode %d with mode %o is refused", row.Ino, row.Mode)
			continue
		}
		if err := f.inode(&rows, row, content); err != nil {
			return err
		}
	}
	return nil
}

// inode adds an inode, and its content unless that makes no sense: then it has
// no published version, and no name is left of it.
func (f *fullReader) inode(rows *rows, row *InodeRow, c *ContentRow) error {
	tx := rows.tx
	n := inode{
		Attr: Attr{Ino: row.Ino, Mode: row.Mode, UID: row.UID, GID: row.GID, Rdev: row.Rdev, Nlink: 1,
			Atime: row.Atime, Mtime: row.Mtime, Ctime: row.Ctime, Btime: row.Btime, Version: 1, PubVersion: 1},
		generation: f.head.Generation, target: row.Target, pubMtime: row.Mtime,
	}
	switch {
	case n.IsSymlink():
		n.Size = int64(len(row.Target))
	case n.IsRegular() && c != nil && wholeContent(c) && rows.stored(c.Ops):
		n.Size, n.PubSize, n.pubGeneration = c.Size, c.Size, f.head.Generation
		n.Version, n.PubVersion, n.Mtime, n.pubMtime = c.Version, c.Version, c.Mtime, c.Mtime
	case n.IsRegular():
		f.problem("content of inode %d is refused", row.Ino)
		n.Version, n.PubVersion, c = 0, 0, nil
	}
	rows.tx.above(row.Ino + 1)
	if row.Ino == Root { // every index has one
		if err := tx.run(`DELETE FROM inodes WHERE ino = ?`, row.Ino); err != nil {
			return err
		}
	}
	if err := tx.insertInode(&n); err != nil {
		return err
	}
	if len(row.Xattrs) > 0 {
		if err := rows.xattrs(row); err != nil {
			return err
		}
	}
	if !n.IsRegular() || c == nil {
		return nil
	}
	for _, op := range c.Ops {
		if err := tx.lay(f.head.Generation, row.Ino, op); err != nil {
			return err
		}
	}
	return nil
}

// wholeContent reports whether a row is the whole content of a file: ranges
// that are stored, in order.
func wholeContent(c *ContentRow) bool {
	if c.Version == 0 || c.Size < 0 || c.Base != 0 {
		return false
	}
	end := int64(0)
	for i := range c.Ops {
		op := &c.Ops[i]
		if !op.valid() || op.Segment == 0 || op.Off < end || op.Off+op.Len > c.Size {
			return false
		}
		end = op.Off + op.Len
	}
	return true
}

func (f *fullReader) names(tx *txn, list []NameRow) error {
	for i := range list {
		row := &list[i]
		if f.name.Name != nil && compareNames(f.name, *row) >= 0 {
			return fmt.Errorf("name in %d after one in %d: %w", row.Parent, f.name.Parent, ErrTrailer)
		}
		f.name = *row
		if checkName(row.Name) != nil || row.Ino <= Root || row.Ino >= maxIno || row.Parent >= maxIno {
			f.problem("name %.64q of inode %d in %d is refused", row.Name, row.Ino, row.Parent)
			continue
		}
		err := tx.run(`INSERT INTO dirents (parent, name, ino, pub, cookie, generation) VALUES (?1, ?2, ?3, ?3, ?4, ?5)`,
			row.Parent, row.Name, row.Ino, tx.newCookie(), f.head.Generation)
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) fullHead() (h FullHead) {
	copy(h.Drive[:], d.take(len(h.Drive)))
	h.Generation, h.Last, h.NextIno, h.Inodes = d.uint(), d.uint(), Ino(d.uint()), d.uint()
	return h
}

// minFullSegment is the least number of bytes that a FullSegment takes.
const minFullSegment = 5

func (d *decoder) fullSegments() []FullSegment {
	n := d.count(minFullSegment)
	list := make([]FullSegment, 0, n)
	last := uint64(0)
	for i := range n {
		if d.bad {
			return nil
		}
		s := FullSegment{Number: d.key(last, i == 0)}
		last = s.Number
		back := d.uint()
		d.bad = d.bad || back > s.Number
		s.Generation = s.Number - back
		s.Part, s.Parts, s.Announced = int(d.uint32()), int(d.uint32()), d.uint()
		if s.Announced != 0 {
			copy(s.Blob[:], d.take(len(s.Blob)))
			copy(s.Object[:], d.take(len(s.Object)))
			s.Size = int64(d.uint())
			s.EndEpoch = walrus.Epoch(d.uint32())
			copy(s.Header[:], d.take(len(s.Header)))
		}
		list = append(list, s)
	}
	return list
}
