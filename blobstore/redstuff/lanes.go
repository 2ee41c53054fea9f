package redstuff

import "encoding/binary"

// A Merkle tree hashes many messages of one length. Where the processor can, 8
// or 4 of them go through BLAKE2b in lockstep, which takes not much longer than
// one alone.

const (
	compressionBlock = 128 // bytes. Source: RFC 7693
	finalBlock       = ^uint64(0)
)

// initialState is the state before the first block: the initialisation vector,
// whose first word knows about a digest of 32 bytes without a key. Source: RFC 7693.
var initialState = [8]uint64{
	0x6a09e667f3bcc908 ^ 0x01010020, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// lanes is the memory to hash up to 8 messages at once.
type lanes struct {
	wide    [8][8]uint64 // states of compress8
	narrow  [8][4]uint64 // states of compress4
	buffers [8][compressionBlock]byte
	pairs   [8][compressionBlock]byte // zero after a prefix and two nodes
	wideAt  [8]*byte
	nearAt  [4]*byte
}

// begin resets the states of n messages, 2 to 8.
func (l *lanes) begin(n int) {
	for i, word := range initialState {
		if n > 4 {
			l.wide[i] = [8]uint64{word, word, word, word, word, word, word, word}
		} else {
			l.narrow[i] = [4]uint64{word, word, word, word}
		}
	}
}

// compress advances n messages, of which at(i) is where the blocks of the i-th start.
func (l *lanes) compress(n int, at func(i int) *byte, blocks int, counter, step, last uint64) {
	if n > 4 {
		for i := range l.wideAt {
			l.wideAt[i] = at(min(i, n-1)) // unused lanes repeat the last message
		}
		compress8(&l.wide, &l.wideAt, blocks, counter, step, last)
		return
	}
	for i := range l.nearAt {
		l.nearAt[i] = at(min(i, n-1))
	}
	compress4(&l.narrow, &l.nearAt, blocks, counter, step, last)
}

// finish writes the hashes of the messages and forgets where they are.
func (l *lanes) finish(out []node) {
	for i := range out {
		for word := range 4 {
			v := l.narrow[word][i&3]
			if len(out) > 4 {
				v = l.wide[word][i]
			}
			binary.LittleEndian.PutUint64(out[i][8*word:], v)
		}
	}
	clear(l.wideAt[:])
	clear(l.nearAt[:])
}

// leaves hashes 2 to 8 symbols of equal length, each after the prefix of a
// leaf. First and last block are put together in buffers, the blocks between
// are read where they are.
func (l *lanes) leaves(out []node, symbols [][]byte) {
	const inFirst = compressionBlock - 1 // bytes of a symbol after the prefix
	n, size := len(symbols), len(symbols[0])
	buffer := func(i int) *byte { return &l.buffers[i][0] }
	l.begin(n)
	if size <= inFirst {
		for i, s := range symbols {
			l.buffers[i][0] = leafPrefix
			clear(l.buffers[i][1+copy(l.buffers[i][1:], s):])
		}
		l.compress(n, buffer, 1, 0, uint64(size+1), finalBlock)
		l.finish(out)
		return
	}
	for i, s := range symbols {
		l.buffers[i][0] = leafPrefix
		copy(l.buffers[i][1:], s)
	}
	l.compress(n, buffer, 1, 0, compressionBlock, 0)
	between := (size - inFirst - 1) / compressionBlock
	if between > 0 {
		l.compress(n, func(i int) *byte { return &symbols[i][inFirst] }, between, compressionBlock, compressionBlock, 0)
	}
	done := inFirst + between*compressionBlock
	for i, s := range symbols {
		clear(l.buffers[i][copy(l.buffers[i][:], s[done:]):])
	}
	l.compress(n, buffer, 1, uint64(1+done), uint64(size-done), finalBlock)
	l.finish(out)
}

// setPair sets the i-th of the pairs whose parents are hashed next.
func (l *lanes) setPair(i int, left, right *node) {
	l.pairs[i][0] = innerPrefix
	copy(l.pairs[i][1:], left[:])
	copy(l.pairs[i][33:], right[:])
}

// parents hashes 2 to 8 pairs of nodes that have been set.
func (l *lanes) parents(out []node) {
	l.begin(len(out))
	l.compress(len(out), func(i int) *byte { return &l.pairs[i][0] }, 1, 0, 1+32+32, finalBlock)
	l.finish(out)
}
