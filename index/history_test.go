package index_test

import (
	"bytes"
	"database/sql"

	_ "github.com/mattn/go-sqlite3"
)

// remembered checks that the index still knows all of the tree that the anchor
// names: the extents of each file in that generation.
func (w *world) remembered(generation uint64) {
	w.t.Helper()
	db := must(sql.Open("sqlite3", "file:"+w.path+"?mode=ro"))
	defer db.Close()
	tree := w.history[generation]
	for ino, n := range tree.inodes {
		if !n.attr.IsRegular() {
			continue
		}
		rows := must(db.Query(`SELECT off, len, segment, pos FROM extents WHERE ino = ? AND born <= ? AND ? < dead`,
			int64(ino), int64(generation), int64(generation)))
		data := make([]byte, len(n.data))
		for rows.Next() {
			var off, size, segment, pos int64
			w.expect("scan", rows.Scan(&off, &size, &segment, &pos))
			plain := w.gapped[uint64(segment)]
			if plain == nil {
				plain = w.segments[uint64(segment)]
			}
			copy(data[off:off+size], plain[pos:])
		}
		w.expect("rows", rows.Close())
		if tree.shows(n) && !bytes.Equal(data, n.data) {
			w.t.Fatalf("inode %d in generation %d: got %x, want %x", ino, generation, data, n.data)
		}
	}
}

// shows reports whether a node can be reached by a name.
func (p published) shows(n *node) bool {
	for _, ino := range p.names {
		if ino == n.attr.Ino {
			return true
		}
	}
	return false
}
