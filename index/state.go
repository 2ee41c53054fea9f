package index

// state is the counters of the index. The writer works on a copy, which
// becomes the state when its transaction has committed.
type state struct {
	open     uint64 // generation of changes made now
	packed   uint64 // newest committed generation, 0 none
	last     uint64 // number of the newest committed segment
	anchored uint64 // newest generation that the anchor covers

	nextIno    uint64
	nextCookie uint64
	// Up to these the numbers are reserved in the database: numbers that a
	// crash loses are skipped, not used again.
	inoLimit    uint64
	cookieLimit uint64

	passed uint64 // time for the trash in ns, see TrashClock
	step   uint64 // counts transactions, and changes that were answered before, see notes

	cut *cut // the newest trailer that was read and not committed; never stored

	// Not stored unless the index is closed cleanly, else counted when it is opened.
	inodes int64
	bytes  int64 // live sizes of regular files

	trashed      int64 // files in the trash
	trashedBytes int64 // of their content

	copies CopiesSum
}

// reserve is how many numbers are taken from the database at once.
const reserve = 4096

// firstCookie leaves small cookies to those who list "." and ".." themselves.
const firstCookie = 16

// firstState is that of an empty drive: the root directory, nothing packed.
func firstState() state {
	return state{open: 1, nextIno: uint64(Root) + 1, nextCookie: firstCookie, inodes: 1}
}

// The keys of the table meta.
const (
	metaDrive  = "drive"
	metaWriter = "writer"
	metaPlain  = "plain"
	metaBoot   = "boot"

	metaOpen     = "open"
	metaPacked   = "packed"
	metaLast     = "last"
	metaAnchored = "anchored"
	metaIno      = "ino"
	metaCookie   = "cookie"
	metaStep     = "step"
	metaRun      = "run" // random, of the process that uses the index

	metaClean  = "clean" // 1 while the index is closed, and inodes and bytes are right
	metaInodes = "inodes"
	metaBytes  = "bytes"

	metaTrashed      = "trashed" // as inodes and bytes
	metaTrashedBytes = "trashed_bytes"
	metaCopies       = "copies" // likewise
	metaCopiesHot    = "copies_hot"
	metaCopiesFiles  = "copies_files"
	metaTrashPassed  = "trash_passed" // this and the following: see TrashClock
	metaTrashWall    = "trash_wall"
	metaTrashBoot    = "trash_boot"
	metaTrashUptime  = "trash_uptime"

	metaFull      = "full"         // newest committed generation whose trailer has a full snapshot behind it
	metaFullBytes = "full_bytes"   // length of that
	metaReplay    = "replay_bytes" // cost of replaying the trailers since, see ReplayCost

	metaBarrier       = "barrier" // counts barriers
	metaIgnore        = "ignore"  // the list that jobs were compared with
	metaAnchorObject  = "anchor_object"
	metaAnchorVersion = "anchor_version"
	metaAnchorText    = "anchor_text"
)

const (
	sqlMeta    = `SELECT value FROM meta WHERE key = ?`
	sqlSetMeta = `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
)

// loadState reads the counters. It counts inodes, bytes, trash and copies if the last user did not.
func (c *conn) loadState() (s state, unclean bool, err error) {
	s, unclean, err = c.loadCounters()
	if err != nil || !unclean {
		return s, unclean, err
	}
	r, err := c.one(`SELECT count(*), CAST(total(CASE WHEN mode & 61440 = 32768 THEN size END) AS INTEGER) FROM inodes`)
	if err != nil {
		return s, true, err
	}
	s.inodes, s.bytes = r.int(0), r.int(1)
	if r, err = c.one(`SELECT count(*), CAST(total(CASE WHEN target IS NULL THEN size END) AS INTEGER) FROM trash`); err != nil {
		return s, true, err
	}
	s.trashed, s.trashedBytes = r.int(0), r.int(1)
	s.copies, err = c.copiesSum()
	return s, true, err
}

// loadCounters reads what is stored. Inodes, bytes, trash and copies are missing when it is unclean.
func (c *conn) loadCounters() (s state, unclean bool, err error) {
	for key, field := range map[string]*uint64{
		metaOpen: &s.open, metaPacked: &s.packed, metaLast: &s.last, metaAnchored: &s.anchored,
		metaIno: &s.inoLimit, metaCookie: &s.cookieLimit, metaTrashPassed: &s.passed, metaStep: &s.step,
	} {
		n, err := c.int(sqlMeta, key)
		if err != nil {
			return s, false, err
		}
		*field = uint64(n)
	}
	s.nextIno, s.nextCookie = s.inoLimit, s.cookieLimit
	clean, err := c.int(sqlMeta, metaClean)
	if err != nil {
		return s, false, err
	}
	if clean == 0 {
		return s, true, nil
	}
	for key, field := range map[string]*int64{
		metaInodes: &s.inodes, metaBytes: &s.bytes, metaTrashed: &s.trashed, metaTrashedBytes: &s.trashedBytes,
		metaCopies: &s.copies.Bytes, metaCopiesHot: &s.copies.Hot, metaCopiesFiles: &s.copies.Files,
	} {
		if *field, err = c.int(sqlMeta, key); err != nil {
			return s, false, err
		}
	}
	return s, false, nil
}

// saveState writes the counters that differ from those of before.
func (tx *txn) saveState(before state) error {
	for _, f := range []struct {
		key      string
		old, new uint64
	}{
		{metaOpen, before.open, tx.st.open},
		{metaPacked, before.packed, tx.st.packed},
		{metaLast, before.last, tx.st.last},
		{metaAnchored, before.anchored, tx.st.anchored},
		{metaIno, before.inoLimit, tx.st.inoLimit},
		{metaCookie, before.cookieLimit, tx.st.cookieLimit},
		{metaTrashPassed, before.passed, tx.st.passed},
		{metaStep, before.step, tx.st.step},
	} {
		if f.old == f.new {
			continue
		}
		if err := tx.run(sqlSetMeta, f.key, f.new); err != nil {
			return err
		}
	}
	return nil
}

// newIno returns a number that no inode ever had.
func (tx *txn) newIno() Ino {
	n := tx.st.nextIno
	tx.st.nextIno++
	if n >= tx.st.inoLimit {
		tx.st.inoLimit = n + reserve
	}
	return Ino(n)
}

// above makes the next inode number at least n.
func (tx *txn) above(n Ino) {
	tx.st.nextIno = max(tx.st.nextIno, uint64(n))
	tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
}

// newCookie returns a cookie greater than all before.
func (tx *txn) newCookie() uint64 {
	n := tx.st.nextCookie
	tx.st.nextCookie++
	if n >= tx.st.cookieLimit {
		tx.st.cookieLimit = n + reserve
	}
	return n
}
