-- Version 2 of the index: garbage collection and trash.

-- condemned: the ledger's time (Unix ns) when it was seen that nothing needs the segment; null: something does,
-- or it was not looked at. delete_tx: the journalled transaction that deletes it; nothing may refer to it any more.
ALTER TABLE segments ADD COLUMN condemned INTEGER;
ALTER TABLE segments ADD COLUMN delete_tx BLOB CHECK (length(delete_tx) = 32);

CREATE INDEX segments_condemned ON segments (condemned) WHERE condemned IS NOT NULL;
CREATE INDEX segments_deleting  ON segments (delete_tx) WHERE delete_tx IS NOT NULL;
CREATE INDEX extents_segment    ON extents (segment);
CREATE INDEX partials_segment   ON partials (segment);

-- Ranges that compaction moved into a segment that is not finished, and where it read them.
CREATE TABLE moved (
	segment  INTEGER NOT NULL,
	pos      INTEGER NOT NULL CHECK (pos >= 0),
	len      INTEGER NOT NULL CHECK (len > 0),
	from_seg INTEGER NOT NULL,
	from_pos INTEGER NOT NULL CHECK (from_pos >= 0),
	PRIMARY KEY (segment, pos)
) STRICT, WITHOUT ROWID;

CREATE INDEX moved_from ON moved (from_seg);

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

CREATE INDEX trash_extents_segment ON trash_extents (segment);

-- Nothing refers to a segment that is being deleted or is gone, and what is referred to is not condemned.
-- Trash keeps a condemned segment from being deleted, and leaves it condemned.
CREATE TRIGGER extents_need BEFORE INSERT ON extents BEGIN
	SELECT RAISE(ABORT, 'segment is collected')
		WHERE NOT EXISTS (SELECT 1 FROM segments WHERE number = NEW.segment AND delete_tx IS NULL);
	UPDATE segments SET condemned = NULL WHERE number = NEW.segment AND condemned IS NOT NULL;
END;

CREATE TRIGGER partials_need BEFORE INSERT ON partials BEGIN
	SELECT RAISE(ABORT, 'segment is collected')
		WHERE NOT EXISTS (SELECT 1 FROM segments WHERE number = NEW.segment AND delete_tx IS NULL);
	UPDATE segments SET condemned = NULL WHERE number = NEW.segment AND condemned IS NOT NULL;
END;

CREATE TRIGGER moved_need BEFORE INSERT ON moved BEGIN
	SELECT RAISE(ABORT, 'segment is collected')
		WHERE NOT EXISTS (SELECT 1 FROM segments WHERE number = NEW.from_seg AND delete_tx IS NULL);
END;

CREATE TRIGGER trash_extents_need BEFORE INSERT ON trash_extents BEGIN
	SELECT RAISE(ABORT, 'segment is collected')
		WHERE NOT EXISTS (SELECT 1 FROM segments WHERE number = NEW.segment AND delete_tx IS NULL);
END;
