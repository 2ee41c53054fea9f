-- Schema 2 of ledger.db. One ledger transaction is one SQL transaction, and one record of the log.

-- Facts of the ledger as a whole: ids of genesis, the clock.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Names of Move types, which are long and few.
CREATE TABLE types (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The newest version of every object.
CREATE TABLE objects (
  id              BLOB NOT NULL UNIQUE,
  version         INTEGER NOT NULL,
  digest          BLOB NOT NULL,
  type            INTEGER NOT NULL REFERENCES types (id),
  public          INTEGER NOT NULL,  -- has public transfer
  owner_kind      INTEGER NOT NULL,  -- variant of Sui's enum Owner
  owner           BLOB,              -- address or object; null when shared or immutable
  initial_version INTEGER,           -- of a shared object
  contents        BLOB NOT NULL,     -- BCS
  previous_tx     BLOB NOT NULL,
  blob            BLOB               -- the blob id of a blob object, to find it by
) STRICT;
CREATE INDEX objects_by_owner ON objects (owner, type);
CREATE INDEX objects_by_blob ON objects (blob, owner) WHERE blob IS NOT NULL;

-- Which blob objects have an attribute. Derived from objects.
CREATE TABLE attributes (
  object BLOB NOT NULL,
  key    TEXT NOT NULL,
  PRIMARY KEY (object, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX attributes_by_key ON attributes (key, object);

-- Executed transactions, in order.
CREATE TABLE transactions (
  seq     INTEGER PRIMARY KEY,
  digest  BLOB NOT NULL UNIQUE,
  sender  BLOB NOT NULL,
  request BLOB NOT NULL,             -- hash of what was asked
  outcome BLOB NOT NULL,             -- what the caller was told, BCS
  time_ms INTEGER NOT NULL
) STRICT;

-- Events, in order; seq is the cursor of those who follow.
CREATE TABLE events (
  seq  INTEGER PRIMARY KEY,
  tx   INTEGER NOT NULL REFERENCES transactions (seq),
  type INTEGER NOT NULL REFERENCES types (id),
  bcs  BLOB NOT NULL
) STRICT;
