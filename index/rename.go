package index

import (
	"context"
	"errors"
	"fmt"
)

// Rename moves a name, over another one if that exists, and returns the inode
// that was displaced, as it is afterwards; its Ino is 0 when there was none.
// A file that is displaced and has no other name goes to the trash.
// Two names of one inode stay as they are. A whiteout takes the old name. ErrNotExist, ErrExist (NoReplace),
// ErrIsDir, ErrNotDir, ErrNotEmpty, ErrLoop, ErrName, ErrNameLong; ErrUnsynced (Full): it is done all the same.
func (db *DB) Rename(ctx context.Context, r RenameRequest) (displaced Attr, err error) {
	if err := checkName(r.NewName); err != nil {
		return displaced, err
	}
	if r.Whiteout != nil {
		if err := checkKind(r.Whiteout.Mode, r.Whiteout.Target); err != nil {
			return displaced, err
		}
	}
	if !r.Full && !r.Exchange && r.Whiteout == nil {
		return db.answer(&op{kind: opRename, rename: r}, func(fn func(*txn) error) error {
			return db.deleting(db.update, fn)
		})
	}
	commit := db.update
	if r.Full {
		commit = db.synced
	}
	err = db.deleting(commit, func(tx *txn) error {
		if r.Full {
			if err := tx.barrier(r.Held...); err != nil {
				return err
			}
		}
		displaced, err = tx.rename(r)
		if err != nil || r.Whiteout == nil {
			return err
		}
		return tx.whiteout(r)
	})
	return displaced, err
}

// whiteout makes the inode that takes the old name. There is none when both
// names are of one inode: then the old name is still there.
func (tx *txn) whiteout(r RenameRequest) error {
	_, err := tx.lookup(r.OldParent, r.OldName)
	if !errors.Is(err, ErrNotExist) {
		return err
	}
	w := *r.Whiteout
	w.Parent, w.Name = r.OldParent, r.OldName
	_, err = tx.create(w, true)
	return err
}

func (tx *txn) rename(r RenameRequest) (displaced Attr, err error) {
	moved, err := tx.lookup(r.OldParent, r.OldName)
	if err != nil {
		return displaced, err
	}
	if _, err := tx.dir(r.NewParent); err != nil {
		return displaced, err
	}
	target, err := tx.lookup(r.NewParent, r.NewName)
	exists := err == nil
	if err != nil && !errors.Is(err, ErrNotExist) {
		return displaced, err
	}
	switch {
	case exists && r.NoReplace:
		return displaced, ErrExist
	case !exists && r.Exchange:
		return displaced, ErrNotExist
	case exists && moved.Ino == target.Ino:
		return displaced, nil
	}
	if err := tx.checkLoop(&moved, r.OldParent, r.NewParent); err != nil {
		return displaced, err
	}
	if moved.IsDir() || exists && target.IsDir() {
		tx.forgetPath()
	}
	if r.Exchange {
		return displaced, tx.exchange(r, &moved, &target)
	}
	if !exists {
		return displaced, tx.move(r, &moved)
	}
	if err := tx.replace(r, &moved, &target); err != nil {
		return displaced, err
	}
	return target, nil
}

// checkLoop returns ErrLoop when a directory would get below itself.
func (c *conn) checkLoop(moved *Attr, from, to Ino) error {
	if !moved.IsDir() || from == to {
		return nil
	}
	for dir := to; dir != Root; {
		if dir == moved.Ino {
			return ErrLoop
		}
		parent, err := c.parent(dir)
		if err != nil {
			return err
		}
		dir = parent
	}
	return nil
}

// move binds a name that is not live to the inode of the old name.
func (tx *txn) move(r RenameRequest, moved *Attr) error {
	if err := tx.unbind(r.OldParent, r.OldName); err != nil {
		return err
	}
	if err := tx.bind(r.NewParent, r.NewName, moved); err != nil {
		return err
	}
	return tx.renamed(r, moved, 0)
}

// replace binds a live name to the inode of the old name; target loses a link.
func (tx *txn) replace(r RenameRequest, moved, target *Attr) error {
	left := target.Nlink - 1
	removedDirs := 0
	switch {
	case moved.IsDir() && !target.IsDir():
		return ErrNotDir
	case !moved.IsDir() && target.IsDir():
		return ErrIsDir
	case target.IsDir():
		left, removedDirs = 0, 1
		if err := tx.checkEmpty(target.Ino); err != nil {
			return err
		}
	}
	if left == 0 && !target.IsDir() {
		if err := tx.keep(target, r.NewParent, r.NewName, true); err != nil {
			return err
		}
	}
	if err := tx.unbind(r.OldParent, r.OldName); err != nil {
		return err
	}
	if err := tx.rebind(r.NewParent, r.NewName, moved); err != nil {
		return err
	}
	lose := tx.setLinks
	if target.IsDir() {
		lose = func(a *Attr, _ uint32) error { return tx.removeDir(a) }
	}
	if err := lose(target, left); err != nil {
		return err
	}
	if err := tx.reconsider(target); err != nil {
		return err
	}
	return tx.renamed(r, moved, removedDirs)
}

// renamed updates the times and links of the moved inode and of both directories.
func (tx *txn) renamed(r RenameRequest, moved *Attr, removedDirs int) error {
	movedDirs := 0
	if moved.IsDir() {
		movedDirs = 1
	}
	if err := errors.Join(tx.setLinks(moved, moved.Nlink), tx.reconsider(moved)); err != nil {
		return err
	}
	if r.OldParent == r.NewParent {
		return tx.touchDir(r.NewParent, -removedDirs)
	}
	return errors.Join(tx.touchDir(r.OldParent, -movedDirs), tx.touchDir(r.NewParent, movedDirs-removedDirs))
}

// exchange swaps the inodes of two live names.
func (tx *txn) exchange(r RenameRequest, a, b *Attr) error {
	if err := tx.checkLoop(b, r.NewParent, r.OldParent); err != nil {
		return err
	}
	err := errors.Join(
		tx.rebind(r.OldParent, r.OldName, b),
		tx.rebind(r.NewParent, r.NewName, a),
		tx.setLinks(a, a.Nlink),
		tx.setLinks(b, b.Nlink),
		tx.reconsider(a),
		tx.reconsider(b),
	)
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	moved := 0 // directories that go from the old parent to the new one
	if a.IsDir() {
		moved++
	}
	if b.IsDir() {
		moved--
	}
	if r.OldParent == r.NewParent {
		moved = 0
	}
	return errors.Join(tx.touchDir(r.OldParent, -moved), tx.touchDir(r.NewParent, moved))
}
