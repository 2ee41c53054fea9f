-- Version 5 of the index: files that never leave the machine.

-- ignored: the file was never published and all its names are on the list of those that are not to be.
ALTER TABLE jobs ADD COLUMN ignored INTEGER NOT NULL DEFAULT 0;

DROP INDEX jobs_queued;
CREATE INDEX jobs_queued  ON jobs (queued) WHERE ignored = 0;
CREATE INDEX jobs_ignored ON jobs (ino) WHERE ignored = 1;
