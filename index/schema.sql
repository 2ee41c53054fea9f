-- The index of a drive, version 1. Numbers of generations: see the package comment.
-- Times are Unix nanoseconds. 9223372036854775807 as extents.dead and past.dead means "never".

CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- pub_version > 0 means that a name may be published: always so for anything but
-- a regular file, and for a regular file once a version of it was packed whole.
CREATE TABLE inodes (
	ino            INTEGER PRIMARY KEY,
	generation     INTEGER NOT NULL,
	mode           INTEGER NOT NULL,
	uid            INTEGER NOT NULL,
	gid            INTEGER NOT NULL,
	nlink          INTEGER NOT NULL,
	rdev           INTEGER NOT NULL,
	size           INTEGER NOT NULL CHECK (size >= 0),
	atime          INTEGER NOT NULL,
	mtime          INTEGER NOT NULL,
	ctime          INTEGER NOT NULL,
	btime          INTEGER NOT NULL,
	target         BLOB,
	version        INTEGER NOT NULL,
	dirty          INTEGER NOT NULL,
	touched        INTEGER NOT NULL, -- mtime was set since the last Queue, and the version was not clean
	reap           INTEGER NOT NULL, -- nobody has it open; it goes once nothing published needs it
	pub_version    INTEGER NOT NULL,
	pub_generation INTEGER NOT NULL,
	pub_size       INTEGER NOT NULL,
	pub_mtime      INTEGER NOT NULL
) STRICT;

CREATE INDEX inodes_changed ON inodes (generation) WHERE pub_version > 0;
CREATE INDEX inodes_dirty   ON inodes (ino) WHERE dirty = 1;
CREATE INDEX inodes_orphan  ON inodes (ino) WHERE nlink = 0;

CREATE TABLE xattrs (
	ino   INTEGER NOT NULL,
	name  BLOB NOT NULL,
	value BLOB NOT NULL,
	PRIMARY KEY (ino, name)
) STRICT, WITHOUT ROWID;

-- ino: live, pub: published. A row has at least one of them, and is pending while they differ.
-- needs: the version of ino that was there when it got the name, if that was not published then.
CREATE TABLE dirents (
	parent     INTEGER NOT NULL,
	name       BLOB NOT NULL,
	ino        INTEGER,
	pub        INTEGER,
	cookie     INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	needs      INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (parent, name),
	CHECK (ino IS NOT NULL OR pub IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX dirents_cookie  ON dirents (parent, cookie, ino) WHERE ino IS NOT NULL;
CREATE INDEX dirents_ino     ON dirents (ino) WHERE ino IS NOT NULL;
CREATE INDEX dirents_pending ON dirents (generation) WHERE ino IS NOT pub;
CREATE INDEX dirents_pub     ON dirents (pub) WHERE pub IS NOT NULL AND ino IS NOT pub;

-- The published content of files, in generations born <= g < dead.
CREATE TABLE extents (
	ino     INTEGER NOT NULL,
	dead    INTEGER NOT NULL,
	off     INTEGER NOT NULL CHECK (off >= 0),
	len     INTEGER NOT NULL CHECK (len > 0),
	segment INTEGER NOT NULL,
	pos     INTEGER NOT NULL,
	born    INTEGER NOT NULL,
	PRIMARY KEY (ino, dead, off)
) STRICT, WITHOUT ROWID;

CREATE INDEX extents_dead ON extents (dead) WHERE dead < 9223372036854775807;

-- Superseded published versions.
CREATE TABLE past (
	ino     INTEGER NOT NULL,
	dead    INTEGER NOT NULL,
	born    INTEGER NOT NULL,
	size    INTEGER NOT NULL,
	mtime   INTEGER NOT NULL,
	version INTEGER NOT NULL,
	PRIMARY KEY (dead, ino)
) STRICT, WITHOUT ROWID;

-- Keyed hashes of ranges of 1 MiB of the published content.
CREATE TABLE hashes (
	ino  INTEGER NOT NULL,
	idx  INTEGER NOT NULL,
	hash BLOB NOT NULL CHECK (length(hash) = 32),
	PRIMARY KEY (ino, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
	ino     INTEGER PRIMARY KEY,
	version INTEGER NOT NULL,
	queued  INTEGER NOT NULL,
	tries   INTEGER NOT NULL,
	next    INTEGER NOT NULL,
	error   TEXT
) STRICT;

CREATE INDEX jobs_queued ON jobs (queued);

CREATE TABLE partials (
	ino     INTEGER NOT NULL,
	off     INTEGER NOT NULL,
	len     INTEGER NOT NULL CHECK (len > 0),
	version INTEGER NOT NULL,
	segment INTEGER NOT NULL,
	pos     INTEGER NOT NULL,
	PRIMARY KEY (ino, off)
) STRICT, WITHOUT ROWID;

CREATE TABLE held (
	ino    INTEGER PRIMARY KEY,
	size   INTEGER NOT NULL,
	base   INTEGER NOT NULL,
	mtime  INTEGER NOT NULL,
	blocks BLOB
) STRICT;

CREATE TABLE copies (
	ino   INTEGER PRIMARY KEY,
	bytes INTEGER NOT NULL,
	used  INTEGER NOT NULL
) STRICT;

CREATE INDEX copies_used ON copies (used);

-- Stages: 1 encoded, 2 registered, 3 stored, 4 certified, 5 finished.
CREATE TABLE segments (
	number       INTEGER PRIMARY KEY,
	generation   INTEGER NOT NULL,
	part         INTEGER NOT NULL,
	parts        INTEGER NOT NULL,
	blob         BLOB NOT NULL CHECK (length(blob) = 32),
	root         BLOB NOT NULL CHECK (length(root) = 32),
	size         INTEGER NOT NULL,
	header       BLOB NOT NULL CHECK (length(header) = 64),
	stage        INTEGER NOT NULL,
	object       BLOB NOT NULL CHECK (length(object) = 32),
	end_epoch    INTEGER NOT NULL,
	register_tx  BLOB NOT NULL CHECK (length(register_tx) = 32),
	certify_tx   BLOB NOT NULL CHECK (length(certify_tx) = 32),
	cert         BLOB,
	announced    INTEGER, -- generation of the first trailer that lists it
	tries        INTEGER NOT NULL,
	next         INTEGER NOT NULL,
	error        TEXT,
	packed_at    INTEGER NOT NULL,
	certified_at INTEGER NOT NULL
) STRICT;

CREATE INDEX segments_open      ON segments (stage) WHERE stage < 5;
CREATE INDEX segments_announced ON segments (announced);
CREATE INDEX segments_end       ON segments (end_epoch) WHERE end_epoch > 0;

-- Publications that the anchor does not cover yet, or that Finish has not told of.
CREATE TABLE unfinished (
	generation INTEGER NOT NULL,
	ino        INTEGER NOT NULL,
	PRIMARY KEY (generation, ino)
) STRICT, WITHOUT ROWID;

-- The encoded trailers of generations that are not finished, for Material.
CREATE TABLE trailers (
	generation INTEGER PRIMARY KEY,
	encoded    BLOB NOT NULL
) STRICT;

-- Places in the plaintext of segments that were made again: zeros instead of
-- what was packed of an inode. The anchor names no generation that shows one.
-- Those of a segment do not overlap. Inode 0: what a restore met in a segment that
-- tells its gaps; nothing newer is to come.
CREATE TABLE gaps (
	segment INTEGER NOT NULL,
	pos     INTEGER NOT NULL CHECK (pos >= 0),
	len     INTEGER NOT NULL CHECK (len > 0),
	ino     INTEGER NOT NULL,
	PRIMARY KEY (segment, pos)
) STRICT, WITHOUT ROWID;
