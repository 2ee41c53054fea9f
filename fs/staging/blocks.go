package staging

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// state is what is known of one block.
type state uint8

const (
	absent state = iota // not held
	clean               // held, as published
	dirty               // held, changed since it was packed last
	packed              // held, packed and not certified yet
)

const (
	pageBytes  = 4096
	pageBlocks = pageBytes * 4
	lastBlock  = math.MaxInt64 / BlockSize
)

// blocks holds two bits for each block of a file. Pages that hold nothing
// take no memory. The zero value holds nothing.
type blocks struct {
	pages map[int64]*[pageBytes]byte
}

// blockOf returns the block that an offset lies in.
func blockOf(off int64) int64 { return off / BlockSize }

// blocksFor returns how many blocks a file of size bytes has.
func blocksFor(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

func (b *blocks) get(n int64) state {
	p := b.pages[n/pageBlocks]
	if p == nil {
		return absent
	}
	i := n % pageBlocks
	return state(p[i/4] >> (i % 4 * 2) & 3)
}

// set puts the blocks from..to-1 into a state.
func (b *blocks) set(from, to int64, s state) {
	for from < to {
		page := from / pageBlocks
		end := min(to, (page+1)*pageBlocks)
		b.setPage(page, from-page*pageBlocks, end-page*pageBlocks, s)
		from = end
	}
}

func (b *blocks) setPage(page, from, to int64, s state) {
	p := b.pages[page]
	switch {
	case s == absent && p == nil:
		return
	case s == absent && from == 0 && to == pageBlocks:
		delete(b.pages, page)
		return
	case p == nil:
		if b.pages == nil {
			b.pages = map[int64]*[pageBytes]byte{}
		}
		p = new([pageBytes]byte)
		b.pages[page] = p
	}
	for from < to {
		if from%4 == 0 && to-from >= 4 {
			fill(p[from/4:to/4], byte(s)*0x55)
			from += (to - from) / 4 * 4
			continue
		}
		shift := from % 4 * 2
		p[from/4] = p[from/4]&^(3<<shift) | byte(s)<<shift
		from++
	}
}

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

// run returns the state of a block and where the run of blocks in that state
// ends, at to at the latest.
func (b *blocks) run(from, to int64) (end int64, s state) {
	s = b.get(from)
	for end = from; end < to; {
		page := end / pageBlocks
		limit := min(to, (page+1)*pageBlocks)
		p := b.pages[page]
		if p == nil {
			if s != absent {
				return end, s
			}
			end = limit
			continue
		}
		stop := runInPage(p, end-page*pageBlocks, limit-page*pageBlocks, s) + page*pageBlocks
		if stop < limit {
			return stop, s
		}
		end = limit
	}
	return end, s
}

func runInPage(p *[pageBytes]byte, from, to int64, s state) int64 {
	word := uint64(s) * 0x5555555555555555
	for from < to {
		if from%32 == 0 && to-from >= 32 && binary.LittleEndian.Uint64(p[from/4:]) == word {
			from += 32
			continue
		}
		if state(p[from/4]>>(from%4*2)&3) != s {
			return from
		}
		from++
	}
	return to
}

// next returns the first block from..to-1 in a state, or to.
func (b *blocks) next(from, to int64, want state) int64 {
	for from < to {
		end, s := b.run(from, to)
		if s == want {
			return from
		}
		from = end
	}
	return to
}

// all reports whether the blocks from..to-1 are all in a state.
func (b *blocks) all(from, to int64, want state) bool {
	if from >= to {
		return true
	}
	end, s := b.run(from, to)
	return s == want && end == to
}

// change puts every block in state from into state to, and reports whether there was one.
func (b *blocks) change(from, to state) bool {
	found := false
	for _, page := range b.order() {
		first, limit := page*pageBlocks, (page+1)*pageBlocks
		for first < limit {
			end, s := b.run(first, limit)
			if s == from {
				b.set(first, end, to)
				found = true
			}
			first = end
		}
	}
	return found
}

// order returns the numbers of the pages that hold something, ascending.
func (b *blocks) order() []int64 { return slices.Sorted(maps.Keys(b.pages)) }

// end returns a number of blocks beyond which nothing is held.
func (b *blocks) end() int64 {
	last := int64(-1)
	for page := range b.pages {
		last = max(last, page)
	}
	return (last + 1) * pageBlocks
}

// encode returns the bytes of the map that hold the blocks from..to-1 and
// where in the map they begin.
func (b *blocks) encode(from, to int64) (p []byte, off int64) {
	off = from / 4
	p = make([]byte, (to+3)/4-off)
	for i := 0; i < len(p); {
		page, in := (off+int64(i))/pageBytes, (off+int64(i))%pageBytes
		n := min(len(p)-i, int(pageBytes-in))
		if src := b.pages[page]; src != nil {
			copy(p[i:i+n], src[in:])
		}
		i += n
	}
	return p, off
}

// decode is the opposite of encode. Nothing but zeros takes no memory.
func (b *blocks) decode(p []byte, off int64) {
	for len(p) > 0 {
		page, in := off/pageBytes, off%pageBytes
		n := min(len(p), int(pageBytes-in))
		dst := b.pages[page]
		if dst == nil && slices.ContainsFunc(p[:n], func(v byte) bool { return v != 0 }) {
			if b.pages == nil {
				b.pages = map[int64]*[pageBytes]byte{}
			}
			dst = new([pageBytes]byte)
			b.pages[page] = dst
		}
		if dst != nil {
			copy(dst[in:], p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}
