package commit

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// TestLookFails has the index tell nothing of what waits: that is shown as what stands still,
// logged once, and tried again soon; what waits is found when the index tells again.
func TestLookFails(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "index.db")
	open := func() *index.DB {
		db, err := index.Open(ctx, index.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("folder"), Mode: 0o40755}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := &Committer{cfg: Config{Index: db}, log: slog.New(slog.NewTextHandler(&said, nil))}
	c.cfg.Policy.setDefaults(1)
	c.clock.init()
	c.clock.begin() // of the pass after the start
	for range 3 {
		c.clock.stir(false)
		c.look(ctx)
		if wait, resting := c.dueIn(ctx); wait > lookEvery || !resting {
			t.Errorf("looked again in %s", wait)
		}
	}
	if list, next := c.trouble.standing(); len(list) != 1 || !strings.Contains(list[0], "tried 3 times") || next.IsZero() {
		t.Errorf("what stands still: %q, next try %s", list, next)
	}
	c.Wake()
	c.clock.began = time.Time{}
	c.dueIn(ctx) // counts the bytes that wait
	if list, _ := c.trouble.standing(); len(list) != 1 || !strings.Contains(list[0], "tried 4 times") {
		t.Errorf("while changes come in, what stands still: %q", list)
	}
	c.clock.first = time.Time{}
	if n := strings.Count(said.String(), "\n"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &said)
	}
	db = open()
	defer db.Close()
	c.cfg.Index = db
	c.clock.stir(false)
	c.look(ctx)
	if list, _ := c.trouble.standing(); len(list) != 0 {
		t.Errorf("it goes on, and %q stands still", list)
	}
	if c.clock.first.IsZero() {
		t.Error("the folder that waits is not found")
	}
}
