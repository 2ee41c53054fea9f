-- Schema 4 of ledger.db. One ledger transaction is one SQL transaction, and one record of the log.

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

-- Executed transactions, in order.
CREATE TABLE transactions (
  seq        INTEGER PRIMARY KEY,    -- number of the checkpoint, too
  digest     BLOB NOT NULL UNIQUE,
  sender     BLOB NOT NULL,
  -- Of what was signed zeros and nothing; of what the ledger made a transaction for: the caller's
  -- key and the hash of what was asked; of before there were transactions: that hash and the answer.
  request    BLOB NOT NULL,
  outcome    BLOB NOT NULL,
  time_ms    INTEGER NOT NULL,
  -- Of programmable transactions that are not old, else null. Of old ones that failed the effects stay.
  bcs        BLOB,                   -- TransactionData
  signatures BLOB,                   -- BCS of a vector
  effects    BLOB,                   -- BCS
  details    BLOB                    -- BCS: types of changed objects, changes of balances, name of an abort
) STRICT;

CREATE INDEX transactions_by_request ON transactions (request) WHERE length(outcome) > 0;

-- Events, in order; seq is the cursor of those who follow.
CREATE TABLE events (
  seq     INTEGER PRIMARY KEY,
  tx      INTEGER NOT NULL REFERENCES transactions (seq),
  type    INTEGER NOT NULL REFERENCES types (id),
  bcs     BLOB NOT NULL,
  package BLOB,                      -- that was called; null for what was not signed
  module  TEXT
) STRICT;
CREATE INDEX events_by_tx ON events (tx);
