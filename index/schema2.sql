-- Version 2 of the index: garbage collection and trash.

-- When nothing needed the segment any more (Unix ns); null: something does, or it was not looked at.
ALTER TABLE segments ADD COLUMN condemned INTEGER;

-- Files that lost their last name, or were replaced, and can be had back until they expire.
-- The content is that which was published then, the attributes are those that the file had.
-- The ids ascend with passed.
CREATE TABLE trash (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	deleted  INTEGER NOT NULL,          -- Unix ns, as the machine's clock had it
	passed   INTEGER NOT NULL,          -- ns, by the trash's own clock
	replaced INTEGER NOT NULL,          -- another file took the name
	path     BLOB NOT NULL,             -- from the root, without a leading slash
	mode     INTEGER NOT NULL,
	uid      INTEGER NOT NULL,
	gid      INTEGER NOT NULL,
	size     INTEGER NOT NULL,
	atime    INTEGER NOT NULL,
	mtime    INTEGER NOT NULL,
	btime    INTEGER NOT NULL,
	target   BLOB                       -- of a symbolic link
) STRICT;

CREATE TABLE trash_xattrs (
	id    INTEGER NOT NULL REFERENCES trash (id),
	name  BLOB NOT NULL,
	value BLOB NOT NULL,
	PRIMARY KEY (id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE trash_extents (
	id      INTEGER NOT NULL REFERENCES trash (id),
	off     INTEGER NOT NULL CHECK (off >= 0),
	len     INTEGER NOT NULL CHECK (len > 0),
	segment INTEGER NOT NULL,
	pos     INTEGER NOT NULL,
	PRIMARY KEY (id, off)
) STRICT, WITHOUT ROWID;

-- Files whose published content is made of extents of others and stands in no committed trailer yet.
CREATE TABLE adopted (
	ino INTEGER PRIMARY KEY
) STRICT;
