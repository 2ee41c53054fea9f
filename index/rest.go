package index

import "context"

// Rest takes back the job of a file that is marked, because it may be written
// unseen, and that is what is published all the same: version is the one after
// that, and nothing was written up to the state with number seq, see order. The
// mark stays. It reports whether that holds: not if the file is deleted, a newer state was told
// of it, or a name waits for the version.
func (db *DB) Rest(ctx context.Context, ino Ino, version, seq uint64) (rests bool, err error) {
	err = db.update(func(tx *txn) error {
		n, err := tx.inode(ino)
		if err != nil {
			return err
		}
		rests = n.Dirty && n.PubVersion > 0 && n.Version == version && n.PubVersion+1 == version && tx.db.told[ino][toldRow] <= seq
		if !rests {
			return nil
		}
		waits, err := tx.int(`SELECT EXISTS (SELECT 1 FROM dirents WHERE ino = ? AND needs = ?)`, ino, version)
		if rests = err == nil && waits == 0; !rests {
			return err
		}
		return tx.run(`DELETE FROM jobs WHERE ino = ?`, ino)
	})
	return rests && err == nil, err
}
