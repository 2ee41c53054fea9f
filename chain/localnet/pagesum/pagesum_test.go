package pagesum_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/walfs/walfs/chain/localnet/pagesum"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sum opens a database, does what it is told to, and adds up its rows.
func sum(path, parameters, statements string) (n int, err error) {
	db, err := sql.Open("sqlite3", pagesum.URI(path, parameters))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Exec(statements); err != nil {
		return 0, err
	}
	return n, db.QueryRow("SELECT sum(a) FROM rows").Scan(&n)
}

const (
	fill = `CREATE TABLE rows (a, b); CREATE INDEX rows_by_a ON rows (a);
		WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100) INSERT INTO rows SELECT x, zeroblob(100 + x % 50 * 100) FROM c`
	total = 100 * 101 / 2
)

// TestPages makes a database, and one of another, and changes each of their pages.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	plain, made, converted := filepath.Join(dir, "plain"), filepath.Join(dir, "made"), filepath.Join(dir, "converted")
	must(t, pagesum.Create(made))
	for path, parameters := range map[string]string{plain: "_journal_mode=WAL", made: "vfs=" + pagesum.VFS} {
		if n, err := sum(path, parameters, fill); n != total || err != nil {
			t.Fatal(n, err)
		}
	}
	must(t, pagesum.Create(made)) // again
	must(t, pagesum.Convert(plain, converted))
	if b, err := os.ReadFile(plain); err != nil || pagesum.Has(bytes.NewReader(b), int64(len(b))) {
		t.Errorf("checksums of nobody: %v", err)
	}
	for _, path := range []string{made, converted} {
		whole, err := os.ReadFile(path)
		must(t, err)
		verify := func(b []byte) []uint64 { return pagesum.Verify(bytes.NewReader(b), int64(len(b))) }
		if !pagesum.Has(bytes.NewReader(whole), int64(len(whole))) || verify(whole) != nil {
			t.Fatalf("%s: %v", path, verify(whole))
		}
		found := 0
		for at := 0; at < len(whole); at += pagesum.PageSize {
			bad := bytes.Clone(whole)
			bad[at+at/7%pagesum.PageSize] ^= 1
			page := uint64(at/pagesum.PageSize + 1)
			if got := verify(bad); !slices.Equal(got, []uint64{page}) {
				t.Errorf("page %d: %v", page, got)
			}
			if got := verify(bad[:at]); got == nil && at > 0 {
				t.Errorf("%d bytes: nothing is missing", at)
			}
			if page%8 != 1 {
				continue
			}
			must(t, os.WriteFile(path, bad, 0o600))
			n, err := sum(path, "vfs="+pagesum.VFS, "SELECT max(length(b)) FROM rows")
			var e sqlite3.Error
			if errors.As(err, &e) && e.Code == sqlite3.ErrCorrupt {
				found++
			} else if n != total || err != nil {
				t.Errorf("page %d: %d, %v", page, n, err)
			}
		}
		if found == 0 {
			t.Error("no page was read")
		}
	}
}

// TestWholeLog changes the log of an open database.
func TestWholeLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	must(t, pagesum.Create(path))
	db, err := sql.Open("sqlite3", pagesum.URI(path, "vfs="+pagesum.VFS))
	must(t, err)
	defer func() { must(t, db.Close()) }()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"PRAGMA wal_autocheckpoint = 0", fill, "PRAGMA wal_checkpoint(TRUNCATE)",
		"UPDATE rows SET b = 1 WHERE a < 60", "PRAGMA wal_checkpoint(RESTART)", "UPDATE rows SET b = zeroblob(4000) WHERE a < 9"} {
		_, err := db.Exec(statement)
		must(t, err)
	}
	whole, err := os.ReadFile(path + "-wal")
	must(t, err)
	const header, frame = 32, 24 + pagesum.PageSize
	ours := header // where the frames end that are of the last round
	for ours < len(whole) && bytes.Equal(whole[ours+8:ours+16], whole[16:24]) {
		ours += frame
	}
	if ours <= header+2*frame || ours >= len(whole) {
		t.Fatalf("%d of %d bytes are of the last round", ours, len(whole))
	}
	if !pagesum.WholeLog(nil) || !pagesum.WholeLog(whole) || !pagesum.WholeLog(whole[:ours]) || !pagesum.WholeLog(whole[:ours-frame/2]) {
		t.Error("what is whole is not")
	}
	last := ours - frame
	for _, at := range []int{0, 9, 17, 25, header, header + 8, header + 17, header + 500, last, last + 8, last + 17, last + 24, ours - 1} {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if pagesum.WholeLog(bad) {
			t.Errorf("byte %d: not noticed", at)
		}
	}
}
