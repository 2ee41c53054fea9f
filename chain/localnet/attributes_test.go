package localnet

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/chain/localnet/pagesum"
	"github.com/walfs/walfs/chain/move"
)

// attributesLog is a log of version 2 that has a table of attributes in its state: the ledger of a
// blob with two attributes was compacted, and another blob with one came later.
const attributesLog = "attributes.log"

// fromSchema4 puts into a database what schema 4 took out of it.
const fromSchema4 = `CREATE TABLE attributes (object BLOB NOT NULL, key TEXT NOT NULL, PRIMARY KEY (object, key)) STRICT, WITHOUT ROWID;
CREATE INDEX attributes_by_key ON attributes (key, object)`

// checkAttributes reads the attributes of the ledger of attributesLog, and writes another.
func checkAttributes(t *testing.T, what string, n *Net) {
	t.Helper()
	has := map[string]string{}
	for _, id := range mustIDs(t, n, n.facts.packages.MetadataField()) {
		o, err := n.Object(t.Context(), id)
		must(t, err)
		var m move.Metadata
		must(t, move.Unmarshal(o.Contents, &move.Field{Name: make([]byte, 9), Value: &m}))
		for _, pair := range m.Pairs {
			has[pair.Key] += pair.Value + " "
		}
	}
	if len(has) != 2 || len(has["name"]) != len("before behind ") || has["walfs.anchor"] != "x " {
		t.Errorf("%s: attributes %q", what, has)
	}
	if n.home.header.version != logVersion {
		t.Errorf("%s: log of version %d", what, n.home.header.version)
	}
	checkRows(t, n)
	fund(t, n, numbered('h', 1), alice, 1e9)
	checkLog(t, what, n)
	b, err := os.ReadFile(filepath.Join(n.dir, LogFile))
	must(t, err)
	if bytes.Contains(b, []byte(tableGone+"\x02")) {
		t.Errorf("%s: the log has the table still", what)
	}
	var tables, version int
	must(t, n.store.reader.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE tbl_name = ?`, tableGone).Scan(&tables))
	must(t, n.store.reader.QueryRow(`PRAGMA user_version`).Scan(&version))
	if tables != 0 || version != schemaVersion {
		t.Errorf("%s: schema %d, with %d tables and indexes that are to be gone", what, version, tables)
	}
}

// TestTableGone opens ledgers that have a table of attributes: the log alone, database and log, and
// the two as a crash leaves them between the one and the other.
func TestTableGone(t *testing.T) {
	golden := filepath.Join("testdata", attributesLog)
	checkAttributes(t, "log", rebuilt(t, golden))

	whole, err := os.ReadFile(golden)
	must(t, err)
	if whole[8] != 2 || !bytes.Contains(whole, []byte(tableGone+"\x02")) {
		t.Fatalf("the golden log of version %d has no such table", whole[8])
	}
	for what, schema := range map[string]int{"both": 3, "crash between": 4} {
		n := rebuilt(t, golden)
		dir, want := n.dir, tables(t, n)
		must(t, n.Close())
		must(t, os.WriteFile(filepath.Join(dir, LogFile), whole, 0o600))
		at := endOf(t, filepath.Join(dir, LogFile))
		if at.number != n.home.tip.number {
			t.Fatalf("opening it made %d records", n.home.tip.number-at.number)
		}
		db, err := openRaw(filepath.Join(dir, databaseFile), "vfs="+pagesum.VFS)
		must(t, err)
		_, err = db.Exec(`UPDATE meta SET value = ? WHERE key = ?`, at.encode(), metaLog)
		if schema == 3 && err == nil {
			_, err = db.Exec(fromSchema4 + `;
				INSERT INTO attributes VALUES (x'01', 'name');
				PRAGMA user_version = 3`)
		}
		must(t, errors.Join(err, db.Close()))
		again := openNet(t, Config{Dir: dir})
		diffTables(t, what, tables(t, again), want)
		checkAttributes(t, what, again)
	}
}

// endOf reads a log to its end.
func endOf(t *testing.T, path string) tip {
	t.Helper()
	l, err := openLog(path)
	must(t, err)
	defer l.close()
	for {
		if _, err := l.next(); err != nil {
			return tip{number: l.number, hash: l.hash, era: l.era, end: l.off}
		}
	}
}
