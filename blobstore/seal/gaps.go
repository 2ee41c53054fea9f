package seal

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrGap reports content that was lost before it could be stored: where it
// stood the segment has something else.
var ErrGap = errors.New("lost before it was stored")

// Gap is a range of the plaintext of a segment that holds nothing of what was
// to be there. Pos and Len are bytes.
type Gap struct{ Pos, Len int64 }

// maxGapList bounds the list of gaps in a segment, in bytes.
const maxGapList = 1 << 20

// Gapped reports whether the segment of h has gaps, see Opener.Gaps.
func (h Header) Gapped() bool { return h[offVersion] == versionGaps }

// gapList returns where the list of gaps is in the plaintext. A length of 0
// says that there is none, and that all below pos counts as a gap.
func (h Header) gapList() (pos int64, n int) {
	return int64(binary.LittleEndian.Uint64(h[offGaps:])), int(binary.LittleEndian.Uint32(h[offGapsLen:]))
}

func (h *Header) setGapList(pos int64, n int) {
	h[offVersion] = versionGaps
	binary.LittleEndian.PutUint64(h[offGaps:], uint64(pos))
	binary.LittleEndian.PutUint32(h[offGapsLen:], uint32(n))
}

// checkGapList reports a list that cannot be in plain bytes.
func (h Header) checkGapList(plain int64) error {
	if !h.Gapped() {
		return nil
	}
	if pos, n := h.gapList(); pos < 0 || pos > plain-int64(n) {
		return fmt.Errorf("list of gaps at %d in %d bytes: %w", pos, plain, ErrCorrupt)
	}
	return nil
}

// putGaps writes the list of gaps into the longest of them, and the place of it
// into the header. Gaps that are near to each other are made one until the list
// fits; if it never does, all up to the last one counts as a gap.
func putGaps(h *Header, plain []byte, gaps []Gap) error {
	if len(gaps) == 0 {
		return nil
	}
	list, err := joined(int64(len(plain)), gaps)
	if err != nil {
		return err
	}
	for _, g := range list {
		clear(plain[g.Pos : g.Pos+g.Len])
	}
	room := slices.MaxFunc(list, func(a, b Gap) int { return cmp.Compare(a.Len, b.Len) })
	end := list[len(list)-1].Pos + list[len(list)-1].Len
	for apart := int64(1); ; apart *= 2 {
		if b := appendGaps(nil, list); int64(len(b)) <= min(room.Len, maxGapList) {
			copy(plain[room.Pos:], b)
			h.setGapList(room.Pos, len(b))
			return nil
		}
		if len(list) == 1 {
			h.setGapList(end, 0)
			return nil
		}
		list = merged(list, apart)
	}
}

// joined returns gaps in order, those that touch made one.
func joined(plain int64, gaps []Gap) ([]Gap, error) {
	list := slices.Clone(gaps)
	slices.SortFunc(list, func(a, b Gap) int { return cmp.Compare(a.Pos, b.Pos) })
	for _, g := range list {
		if g.Pos < 0 || g.Len <= 0 || g.Pos > plain-g.Len {
			return nil, fmt.Errorf("gap %+v in %d bytes", g, plain)
		}
	}
	return merged(list, 0), nil
}

// merged makes gaps one that have at most apart bytes between them.
func merged(list []Gap, apart int64) (out []Gap) {
	for _, g := range list {
		if k := len(out) - 1; k >= 0 && g.Pos <= out[k].Pos+out[k].Len+apart {
			out[k].Len = max(out[k].Len, g.Pos+g.Len-out[k].Pos)
			continue
		}
		out = append(out, g)
	}
	return out
}

func appendGaps(b []byte, list []Gap) []byte {
	end := int64(0)
	for _, g := range list {
		b = binary.AppendUvarint(b, uint64(g.Pos-end))
		b = binary.AppendUvarint(b, uint64(g.Len))
		end = g.Pos + g.Len
	}
	return b
}

// parseGaps reads the list of gaps, which stands in one of them.
func parseGaps(b []byte, pos, plain int64) (list []Gap, err error) {
	end, inside, size := int64(0), false, int64(len(b))
	for len(b) > 0 {
		skip, n := binary.Uvarint(b)
		length, m := binary.Uvarint(b[max(0, n):])
		if n <= 0 || m <= 0 || skip > uint64(plain-end) || length == 0 || length > uint64(plain-end)-skip {
			return nil, fmt.Errorf("gap after %d: %w", end, ErrCorrupt)
		}
		b = b[n+m:]
		g := Gap{Pos: end + int64(skip), Len: int64(length)}
		end = g.Pos + g.Len
		inside = inside || g.Pos <= pos && pos+size <= end
		list = append(list, g)
	}
	if !inside {
		return nil, fmt.Errorf("list of gaps is in none: %w", ErrCorrupt)
	}
	return list, nil
}

// Gaps returns the gaps of the segment in ascending order; most have none. What
// is in them never leaves the Opener. The list is read once, from src.
func (o *Opener) Gaps(ctx context.Context, src Source) ([]Gap, error) {
	if !o.header.Gapped() {
		return nil, nil
	}
	if list := o.gaps.Load(); list != nil {
		return *list, nil
	}
	pos, n := o.header.gapList()
	list := []Gap{}
	if n > 0 {
		b := make([]byte, n)
		if _, err := o.readInside(ctx, src, b, pos); err != nil {
			return nil, fmt.Errorf("read list of gaps: %w", err)
		}
		var err error
		if list, err = parseGaps(b, pos, o.plain); err != nil {
			return nil, err
		}
	} else if pos > 0 {
		list = append(list, Gap{Len: pos})
	}
	o.gaps.Store(&list)
	return list, nil
}

// beforeGap returns how many of n bytes at off come before a gap.
func (o *Opener) beforeGap(ctx context.Context, src Source, n int, off int64) (int, error) {
	list, err := o.Gaps(ctx, src)
	if err != nil {
		return 0, err
	}
	i, _ := slices.BinarySearchFunc(list, off, func(g Gap, off int64) int { return cmp.Compare(g.Pos+g.Len-1, off) })
	if i == len(list) {
		return n, nil
	}
	return int(min(int64(n), max(0, list[i].Pos-off))), nil
}

// Check opens all of the segment, gaps too. Its errors are those of ReadAt.
func (o *Opener) Check(ctx context.Context, src Source) error {
	p := make([]byte, min(o.plain, batchChunks*ChunkSize))
	for off := int64(0); off < o.plain; off += int64(len(p)) {
		if _, err := o.readInside(ctx, src, p[:min(int64(len(p)), o.plain-off)], off); err != nil {
			return err
		}
	}
	if err := o.proveEnd(ctx, src); err != nil {
		return err
	}
	_, err := o.Gaps(ctx, src)
	return err
}
