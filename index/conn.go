package index

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"syscall"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// conn is one SQLite connection. It talks to the driver without database/sql,
// which would add a third to the time of a lookup. It belongs to one
// goroutine at a time. Statements are prepared on first use and kept for life.
type conn struct {
	raw   *sqlite3.SQLiteConn
	stmts map[string]*stmt
}

type stmt struct {
	raw  *sqlite3.SQLiteStmt
	args []driver.NamedValue
	row  row
}

// row is one result row. It is overwritten by the next one of its statement.
type row []driver.Value

func (r row) int(i int) int64 {
	n, _ := r[i].(int64)
	return n
}

func (r row) ino(i int) Ino       { return Ino(r.int(i)) }
func (r row) uint(i int) uint64   { return uint64(r.int(i)) }
func (r row) uint32(i int) uint32 { return uint32(r.int(i)) }
func (r row) null(i int) bool     { return r[i] == nil }

// bytes returns a blob, which belongs to the caller; nil for NULL.
func (r row) bytes(i int) []byte {
	b, _ := r[i].([]byte)
	return b
}

func (r row) text(i int) string {
	s, _ := r[i].(string)
	return s
}

// errNoRow is what one returns when there is none.
var errNoRow = errors.New("no row")

// busyMillis is how long a connection waits for another process that looks into the file.
const busyMillis = "10000"

// openConn opens a connection to a database that may be created.
func openConn(path string, pragmas ...string) (*conn, error) { return openWith(path, "", pragmas...) }

// openWith is openConn with further parameters of the URI, each with an & before it.
func openWith(path, parameters string, pragmas ...string) (*conn, error) {
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_mutex=no&_busy_timeout=" + busyMillis + parameters
	raw, err := (&sqlite3.SQLiteDriver{}).Open(uri)
	if err != nil {
		return nil, mapError(err)
	}
	c := &conn{raw: raw.(*sqlite3.SQLiteConn), stmts: make(map[string]*stmt)}
	for _, p := range pragmas {
		if err := c.script("PRAGMA " + p); err != nil {
			return nil, errors.Join(fmt.Errorf("pragma %s: %w", p, err), c.close())
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.raw.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

// script runs statements that are not worth keeping. A pragma has to be run
// this way, since it may take effect when it is compiled.
func (c *conn) script(sql string) error {
	_, err := c.raw.Exec(sql, nil)
	return mapError(err)
}

func (c *conn) prepare(sql string, args []any) (*stmt, error) {
	s := c.stmts[sql]
	if s == nil {
		raw, err := c.raw.Prepare(sql)
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", sql, mapError(err))
		}
		s = &stmt{raw: raw.(*sqlite3.SQLiteStmt)}
		s.args = make([]driver.NamedValue, s.raw.NumInput())
		c.stmts[sql] = s
	}
	if len(args) != len(s.args) {
		return nil, fmt.Errorf("%d arguments for %q", len(args), sql)
	}
	for i, a := range args {
		s.args[i] = driver.NamedValue{Ordinal: i + 1, Value: value(a)}
	}
	return s, nil
}

// value converts what the package works with to what the driver takes.
func value(a any) driver.Value {
	switch v := a.(type) {
	case Ino:
		return int64(v)
	case uint64:
		return int64(v)
	case uint32:
		return int64(v)
	case int:
		return int64(v)
	}
	return a
}

// exec runs a statement that returns no rows and reports how many it changed.
func (c *conn) exec(sql string, args ...any) (int64, error) {
	s, err := c.prepare(sql, args)
	if err != nil {
		return 0, err
	}
	res, err := s.raw.ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, mapError(err)
	}
	n, err := res.RowsAffected()
	return n, mapError(err)
}

// run is exec for callers that do not count.
func (c *conn) run(sql string, args ...any) error {
	_, err := c.exec(sql, args...)
	return err
}

// query calls each for every row. It must not run the same statement again.
func (c *conn) query(sql string, each func(row) error, args ...any) (err error) {
	s, err := c.prepare(sql, args)
	if err != nil {
		return err
	}
	rows, err := s.raw.QueryContext(context.Background(), s.args)
	if err != nil {
		return mapError(err)
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = mapError(cerr)
		}
	}()
	if s.row == nil {
		s.row = make(row, len(rows.Columns()))
	}
	for {
		switch err := rows.Next(s.row); {
		case err == io.EOF:
			return nil
		case err != nil:
			return mapError(err)
		}
		if err := each(s.row); err != nil {
			return err
		}
	}
}

// errStop ends a query early.
var errStop = errors.New("stop")

// one returns the first row, valid until the statement runs again, or errNoRow.
func (c *conn) one(sql string, args ...any) (row, error) {
	var first row
	err := c.query(sql, func(r row) error {
		first = r
		return errStop
	}, args...)
	switch {
	case err != nil && err != errStop:
		return nil, err
	case first == nil:
		return nil, errNoRow
	}
	return first, nil
}

// int returns the first column of the first row; 0 when there is no row or it is NULL.
func (c *conn) int(sql string, args ...any) (int64, error) {
	r, err := c.one(sql, args...)
	if errors.Is(err, errNoRow) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return r.int(0), nil
}

// mapError adds the package's errors to those of SQLite that callers branch on.
func mapError(err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case sqlite3.ErrFull:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if e.ExtendedCode == sqlite3.ErrConstraintTrigger {
		return fmt.Errorf("%w: %w", ErrCollected, err)
	}
	if e.SystemErrno == syscall.EROFS { // the file system turned read-only, as some do after an error
		return fmt.Errorf("%w: %w", e.SystemErrno, err)
	}
	return err
}
