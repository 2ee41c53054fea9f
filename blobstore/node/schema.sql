-- The catalogue of a node: what the ledger said, and what lies in the folder.
-- All of it can be had again from the ledger's events and a scan.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;
-- Live blob objects.
CREATE TABLE registration (
  object    BLOB PRIMARY KEY,
  blob      BLOB NOT NULL,
  end_epoch INTEGER NOT NULL, -- exclusive
  deletable INTEGER NOT NULL,
  certified INTEGER,          -- epoch of the first certification; null: none yet
  tx        BLOB NOT NULL,    -- the event that told the latest of it: its transaction,
  place     INTEGER NOT NULL  -- and its place among the events of that
) WITHOUT ROWID;
CREATE INDEX registration_blob ON registration (blob);
CREATE INDEX registration_end ON registration (end_epoch);
-- Blobs that lost a registration: their files go unless another is live.
CREATE TABLE condemned (blob BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE file (
  blob  BLOB PRIMARY KEY,
  bytes INTEGER NOT NULL,
  whole INTEGER NOT NULL -- all slots came, or nobody has seen that one did not
) WITHOUT ROWID;
-- Certified blobs of which something is known to be missing or damaged.
CREATE TABLE lacking (blob BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE bad_slot (
  blob   BLOB NOT NULL,
  axis   INTEGER NOT NULL,
  number INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (blob, axis, number)
) WITHOUT ROWID;
PRAGMA user_version = 3;
