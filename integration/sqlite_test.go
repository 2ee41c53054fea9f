package integration

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sqliteEnv makes a process of this test binary a writer: it names the
// database and the number of the writer.
const sqliteEnv = "WALFS_TEST_SQLITE"

// writeSQLite commits one transaction after the other, and says the number of
// each once it is told that it is safe. It returns when the drive is gone.
func writeSQLite(database, writer string) error {
	db, err := sql.Open("sqlite3", "file:"+database+"?_busy_timeout=60000&_synchronous=FULL&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var next int
	if err := db.QueryRow("SELECT coalesce(max(n), 0) + 1 FROM t WHERE w = ?", writer).Scan(&next); err != nil {
		return err
	}
	for ; ; next++ {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := tx.Exec("INSERT INTO t VALUES (?, ?, randomblob(900))", writer, next); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		fmt.Println(next)
	}
}

// committed runs a writer until the drive is gone and returns the last number
// that it said.
func (d *drive) committed(database string, writer int, begun chan<- struct{}) (last int, err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", sqliteEnv, d.path(database), writer))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); first = false {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			last = n
		}
		if first {
			begun <- struct{}{}
		}
	}
	if cmd.Wait() == nil {
		err = fmt.Errorf("writer %d of %s ended well", writer, database)
	}
	return last, err
}

// TestSQLiteOutlivesDaemon kills the daemon while several processes write to
// databases of both kinds: each transaction that was committed is there.
func TestSQLiteOutlivesDaemon(t *testing.T) {
	t.Parallel()
	rounds := 2
	if soak() {
		rounds = 100
	}
	rng := seeded(t)
	d := newDrive(t)
	d.mount()
	databases := []string{"delete", "wal"}
	for _, mode := range databases {
		d.execSQLite(mode, "PRAGMA journal_mode="+mode, "CREATE TABLE t (w, n, pad)")
	}
	const writers = 2
	for range rounds {
		lasts := make([]int, len(databases)*writers)
		errs := make([]error, len(lasts))
		begun, ended := make(chan struct{}, len(lasts)), make(chan struct{})
		for i := range lasts {
			go func() {
				lasts[i], errs[i] = d.committed(databases[i/writers], i%writers, begun)
				ended <- struct{}{}
			}()
		}
		for range lasts {
			select {
			case <-begun:
			case <-time.After(patience):
				t.Error("a writer does not begin")
			}
		}
		time.Sleep(time.Duration(rng.Int64N(int64(400 * time.Millisecond)))) // the crash comes at a moment that nothing announces
		d.kill()
		for range lasts {
			<-ended
		}
		d.mount()
		for i, last := range lasts {
			if errs[i] != nil {
				t.Error(errs[i])
			}
			d.checkSQLite(databases[i/writers], i%writers, last)
		}
		if t.Failed() {
			break
		}
	}
	d.umount()
}

func (d *drive) execSQLite(database string, statements ...string) {
	d.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+d.path(database))
	must(d.t, err)
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		must(d.t, err)
	}
}

func (d *drive) checkSQLite(database string, writer, last int) {
	d.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+d.path(database))
	must(d.t, err)
	defer db.Close()
	var integrity string
	must(d.t, db.QueryRow("PRAGMA integrity_check").Scan(&integrity))
	if !strings.HasPrefix(integrity, "ok") {
		d.t.Errorf("%s: %s", database, integrity)
	}
	var rows, newest int
	must(d.t, db.QueryRow("SELECT count(*), coalesce(max(n), 0) FROM t WHERE w = ?", fmt.Sprint(writer)).Scan(&rows, &newest))
	if newest < last || rows != 3*newest {
		d.t.Errorf("%s, writer %d: %d rows up to %d; transaction %d was committed", database, writer, rows, newest, last)
	}
}
