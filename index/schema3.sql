-- Version 3 of the index: pins, and names in the trash.

-- pinned: 1 what is kept on this machine, and what is below it; 0 an exception from a pin above.
CREATE TABLE pins (
	ino    INTEGER PRIMARY KEY,
	pinned INTEGER NOT NULL
) STRICT;

-- A name of a file that had others left goes to the trash as well: it is made a link of that file
-- again while that has the content of then.
ALTER TABLE trash ADD COLUMN ino INTEGER;                       -- of the file; NULL in rows of before
ALTER TABLE trash ADD COLUMN version INTEGER;                   -- of the content
ALTER TABLE trash ADD COLUMN shared INTEGER NOT NULL DEFAULT 0; -- other names were left

CREATE INDEX trash_shared ON trash (ino) WHERE shared = 1;
