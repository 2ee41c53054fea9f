package redstuff

// Symbols come in any even length, the code wants shards that are multiples of
// 64 bytes and works best on a few KiB at once. Every pair of bytes is coded
// independently, so shards may be cut from symbols and packed from many symbols.

const (
	// blockSize is the unit of the code in bytes: 32 low bytes of elements, then
	// the 32 high ones. Source: Leopard, which RS2 follows.
	blockSize = 64
	// maxShard is how many bytes of a shard are coded at once, so that the
	// shards of one call stay in the second level cache; for more than
	// manyShards shards it is maxShard/2. By measurement.
	maxShard   = 4096
	manyShards = 256
	// minDirect is from how many bytes on a symbol is coded where it lies.
	// Shorter symbols are copied and packed.
	minDirect = 1024
)

// symbolAt returns the bytes of a symbol: the shard-th of a codeword, in one of
// many codewords, the stripes.
type symbolAt func(shard, stripe int) []byte

// transform computes the last shards of a slice from the first.
type transform func(shards [][]byte) error

// batch applies a transform to symbols of one size.
type batch struct {
	w       *scratch
	size    int // of a symbol in bytes
	in, out int // number of shards read and written
	run     transform
}

// shardLimit returns how many bytes of each of so many shards to code at once.
func shardLimit(shards int) int {
	if shards > manyShards {
		return maxShard / 2
	}
	return maxShard
}

// groupSize returns how many stripes of symbols fit one call of a code with so many shards.
func groupSize(symbolSize, shards int) int {
	if symbolSize >= minDirect {
		return 1
	}
	return shardLimit(shards) / symbolSize
}

// apply reads the symbols of source in the stripes from to to-1, and writes those of target.
func (b *batch) apply(from, to int, source, target symbolAt) error {
	whole := b.size &^ (blockSize - 1)
	if b.size >= minDirect {
		for stripe := from; stripe < to; stripe++ {
			if err := b.direct(stripe, whole, source, target); err != nil {
				return err
			}
		}
		if whole == b.size {
			return nil
		}
		return b.packed(from, to, whole, source, target)
	}
	return b.packed(from, to, 0, source, target)
}

// direct codes the first whole bytes of the symbols of a stripe in place.
func (b *batch) direct(stripe, whole int, source, target symbolAt) error {
	limit := shardLimit(b.in + b.out)
	shards := b.w.headers(b.in + b.out)
	for start := 0; start < whole; start += limit {
		end := min(start+limit, whole)
		for i := range b.in {
			shards[i] = source(i, stripe)[start:end]
		}
		for i := range b.out {
			shards[b.in+i] = target(i, stripe)[start:end]
		}
		if err := b.run(shards); err != nil {
			return err
		}
	}
	return nil
}

// packed codes what follows the first skip bytes of the symbols, copying the
// symbols of as many stripes as fit into shards and back.
func (b *batch) packed(from, to, skip int, source, target symbolAt) error {
	size := b.size - skip
	step := max(shardLimit(b.in+b.out)/size, 1)
	for ; from < to; from += step {
		end := min(from+step, to)
		p := newPacking(size, end-from)
		shards := b.w.shards(b.in+b.out, p.length())
		for i := range b.in {
			for stripe := from; stripe < end; stripe++ {
				p.put(shards[i], stripe-from, source(i, stripe)[skip:])
			}
			p.finish(shards[i])
		}
		if err := b.run(shards); err != nil {
			return err
		}
		for i := range b.out {
			for stripe := from; stripe < end; stripe++ {
				p.take(shards[b.in+i], stripe-from, target(i, stripe)[skip:])
			}
		}
	}
	return nil
}

// packing lays out count strings of size bytes in one shard: first the whole
// blocks of each, then all tails. The elements of the tails are numbered
// through, and 32 of them at a time make a block.
type packing struct {
	count int
	whole int // bytes of whole blocks in each string
	half  int // elements in each tail
}

func newPacking(size, count int) packing {
	whole := size &^ (blockSize - 1)
	return packing{count: count, whole: whole, half: (size - whole) / 2}
}

const blockElements = blockSize / 2

// length returns the length of the shard.
func (p packing) length() int {
	tails := (p.count*p.half + blockElements - 1) / blockElements
	return p.count*p.whole + tails*blockSize
}

// put copies string i into the shard.
func (p packing) put(shard []byte, i int, s []byte) {
	copy(shard[i*p.whole:], s[:p.whole])
	low, high := s[p.whole:p.whole+p.half], s[p.whole+p.half:]
	for e := i * p.half; len(low) > 0; {
		at := p.element(e)
		n := copy(shard[at:at+blockElements-e%blockElements], low)
		copy(shard[at+blockElements:], high[:n])
		low, high, e = low[n:], high[n:], e+n
	}
}

// take copies string i out of the shard.
func (p packing) take(shard []byte, i int, s []byte) {
	copy(s[:p.whole], shard[i*p.whole:])
	low, high := s[p.whole:p.whole+p.half], s[p.whole+p.half:]
	for e := i * p.half; len(low) > 0; {
		at := p.element(e)
		n := copy(low, shard[at:at+blockElements-e%blockElements])
		copy(high[:n], shard[at+blockElements:])
		low, high, e = low[n:], high[n:], e+n
	}
}

// finish clears the elements after the last string.
func (p packing) finish(shard []byte) {
	for e := p.count * p.half; e%blockElements != 0; e++ {
		at := p.element(e)
		shard[at], shard[at+blockElements] = 0, 0
	}
}

// element returns where the low byte of an element of the tails is.
func (p packing) element(e int) int {
	return p.count*p.whole + e/blockElements*blockSize + e%blockElements
}
