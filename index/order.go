package index

// Those who look at staging and then tell the index may overtake each other: a
// flusher waits for the disk while the file is written on and synced, and then
// tells what the file was before. So what is told of a file carries a number
// from staging that grows with its states (Queued.Seq, Held.Seq, Packed.Seq),
// and what is older than what was told already changes nothing.

// told is the newest number of a dirty file that the index was told, of each
// kind. It is in memory only: nobody who looked at staging outlives the process.
type told [2]uint64

// The kinds of what is told.
const (
	toldRow  = iota // size and mtime, and the job
	toldHeld        // what survives a power cut
)

// newer reports whether something told of a file is news, and notes its number.
// 0 is always news.
func (tx *txn) newer(ino Ino, kind int, seq uint64) bool {
	before := tx.db.told[ino]
	if seq == 0 || seq < before[kind] {
		return seq == 0
	}
	after := before
	after[kind] = seq
	tx.setTold(ino, after)
	return true
}

// setTold notes numbers, until the transaction is undone.
func (tx *txn) setTold(ino Ino, t told) {
	before, known := tx.db.told[ino]
	if before == t {
		return
	}
	tx.undo = append(tx.undo, func() {
		if known {
			tx.db.told[ino] = before
		} else {
			delete(tx.db.told, ino)
		}
	})
	if t == (told{}) {
		delete(tx.db.told, ino)
	} else {
		tx.db.told[ino] = t
	}
}

// undone takes back what was noted since there were n steps to undo.
func (tx *txn) undone(n int) {
	for len(tx.undo) > n {
		last := len(tx.undo) - 1
		tx.undo[last]()
		tx.undo = tx.undo[:last]
	}
}
