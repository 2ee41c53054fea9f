package index

// edge is a name that a directory is bound to.
type edge struct {
	parent Ino
	name   []byte
	ino    Ino
}

// prune leaves a tree: every inode is reached from the root by names, and a
// directory by one name only. Then it counts links.
func (r *Replay) prune(tx *txn) error {
	if err := r.dropDangling(tx); err != nil {
		return err
	}
	reached, err := r.walk(tx)
	if err != nil {
		return err
	}
	if err := r.dropUnreached(tx, reached); err != nil {
		return err
	}
	for _, sql := range []string{
		`DELETE FROM inodes WHERE mode & 61440 <> 16384 AND NOT EXISTS
			(SELECT 1 FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)`,
		`DELETE FROM extents WHERE ino NOT IN (SELECT ino FROM inodes)`,
		`DELETE FROM xattrs WHERE ino NOT IN (SELECT ino FROM inodes)`,
		`UPDATE inodes SET nlink = (SELECT count(*) FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)
			WHERE mode & 61440 <> 16384`,
		`UPDATE inodes SET nlink = 2 WHERE mode & 61440 = 16384`,
		`UPDATE inodes SET nlink = nlink + c.n FROM (SELECT d.parent AS dir, count(*) AS n
			FROM dirents d JOIN inodes i ON i.ino = d.ino WHERE i.mode & 61440 = 16384 GROUP BY d.parent) AS c
			WHERE inodes.ino = c.dir`,
	} {
		if err := tx.run(sql); err != nil {
			return err
		}
	}
	return nil
}

// dropDangling removes names of inodes that no trailer described, or whose
// content none gave.
func (r *Replay) dropDangling(tx *txn) error {
	var list []edge
	err := tx.query(`SELECT d.parent, d.name, d.ino FROM dirents d LEFT JOIN inodes i ON i.ino = d.ino
		WHERE d.ino IS NOT NULL AND (i.ino IS NULL OR i.pub_version = 0)`, func(row row) error {
		list = append(list, edge{row.ino(0), row.bytes(1), row.ino(2)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := r.drop(tx, e, "nothing is known of the inode"); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replay) drop(tx *txn, e edge, why string) error {
	r.report.problem("name %.64q of inode %d in %d is dropped: %s", e.name, e.ino, e.parent, why)
	return tx.run(`DELETE FROM dirents WHERE parent = ? AND name = ?`, e.parent, e.name)
}

// walk returns the directories that the root reaches. A second name of a
// directory, which may close a circle, is removed.
func (r *Replay) walk(tx *txn) (map[Ino]bool, error) {
	below := make(map[Ino][]edge)
	err := tx.query(`SELECT d.parent, d.name, d.ino FROM dirents d JOIN inodes i ON i.ino = d.ino
		WHERE i.mode & 61440 = 16384 ORDER BY d.parent, d.name`, func(row row) error {
		e := edge{row.ino(0), row.bytes(1), row.ino(2)}
		below[e.parent] = append(below[e.parent], e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	reached := map[Ino]bool{Root: true}
	for queue := []Ino{Root}; len(queue) > 0; queue = queue[1:] {
		for _, e := range below[queue[0]] {
			if reached[e.ino] {
				if err := r.drop(tx, e, "the directory has another name"); err != nil {
					return nil, err
				}
				continue
			}
			reached[e.ino] = true
			queue = append(queue, e.ino)
		}
	}
	return reached, nil
}

// dropUnreached removes the other directories. Those that were removed from
// the drive have no names left in them, and are no problem.
func (r *Replay) dropUnreached(tx *txn, reached map[Ino]bool) error {
	parents, err := tx.inos(`SELECT ino FROM inodes WHERE mode & 61440 = 16384 UNION SELECT parent FROM dirents`)
	if err != nil {
		return err
	}
	for _, dir := range parents {
		if reached[dir] {
			continue
		}
		n, err := tx.exec(`DELETE FROM dirents WHERE parent = ?`, dir)
		if err != nil {
			return err
		}
		if n > 0 {
			r.report.problem("%d names in %d are dropped: no path leads there", n, dir)
		}
		if err := tx.run(`DELETE FROM inodes WHERE ino = ? AND mode & 61440 = 16384`, dir); err != nil {
			return err
		}
	}
	return nil
}
