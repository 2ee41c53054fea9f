-- Version 4 of the index: clean local copies that survive a reboot, in two segments of use.

-- synced: the version of which all bytes are on stable storage; 0: none; -1: the machine was stopped before
-- they were, so that the copy must not be read and goes; -2: none, since the copy is not the whole content.
-- hot: it was used since it became a copy, so that what never was goes first.
ALTER TABLE copies ADD COLUMN synced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE copies ADD COLUMN hot    INTEGER NOT NULL DEFAULT 0;

DROP INDEX copies_used;
CREATE INDEX copies_order    ON copies (hot, used);
CREATE INDEX copies_unsynced ON copies (ino) WHERE synced = 0;
