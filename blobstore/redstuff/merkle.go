package redstuff

// A tree over one leaf is that leaf. Otherwise, on every level of more than one
// node, a zero node is appended if their number is odd, and neighbours are
// hashed together.

// root returns the root over leaves, which it overwrites. There must be at
// least one, and room for one more.
func (h *hasher) root(leaves []node) node {
	room := leaves[:len(leaves)+1]
	for n := len(leaves); n > 1; n = (n + 1) / 2 {
		if n%2 == 1 {
			room[n] = node{}
		}
		h.level(room, (n+1)/2)
	}
	return leaves[0]
}

// proofs returns the root and the paths from some leaves to it. It overwrites leaves like root.
func (h *hasher) proofs(leaves []node, indices []int) (node, []Proof) {
	room := leaves[:len(leaves)+1]
	levels := depth(len(leaves))
	paths := make([]Proof, len(indices))
	for i := range paths {
		paths[i] = make(Proof, 0, levels)
	}
	for n, level := len(leaves), 0; n > 1; n, level = (n+1)/2, level+1 {
		if n%2 == 1 {
			room[n] = node{}
		}
		for i, index := range indices {
			paths[i] = append(paths[i], room[index>>level^1])
		}
		h.level(room, (n+1)/2)
	}
	return leaves[0], paths
}

// climb returns the root that a path leads to.
func (h *hasher) climb(leaf node, index int, path Proof) node {
	pair := [2]node{}
	for _, sibling := range path {
		if index%2 == 0 {
			pair = [2]node{leaf, sibling}
		} else {
			pair = [2]node{sibling, leaf}
		}
		h.level(pair[:], 1)
		leaf = pair[0]
		index /= 2
	}
	return leaf
}

// depth returns the number of levels below the root of a tree over n leaves.
func depth(n int) int {
	levels := 0
	for ; n > 1; n = (n + 1) / 2 {
		levels++
	}
	return levels
}

// merge climbs up to levels levels in many trees at once: forest[i][t] is node
// i of tree t. The nodes must be those of a whole subtree, or the last ones of
// a level of total nodes; their first index is a multiple of 2^levels. The
// result is in forest[0], the rest of the forest is overwritten. Zeros is as
// many zero nodes as there are trees.
func (h *hasher) merge(forest [][]node, levels, total int, zeros []node) {
	n := len(forest)
	for ; levels > 0 && total > 1; levels-- {
		for i := range n / 2 {
			h.inner(forest[i], forest[2*i], forest[2*i+1])
		}
		if n%2 == 1 {
			h.inner(forest[n/2], forest[n-1], zeros[:len(forest[n-1])])
		}
		n, total = (n+1)/2, (total+1)/2
	}
}
