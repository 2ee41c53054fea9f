package keep_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// TestBackups copies the index once a day, whatever the clock does, and keeps a few.
func TestBackups(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	db, err := index.Open(ctx, index.Config{Path: filepath.Join(dir, "index.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Init(ctx, index.Drive{ID: id}); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	copies := filepath.Join(dir, "backups")
	look := func() (made bool) {
		t.Helper()
		// Each is a process of its own: what one knows of its running time the next does not.
		made, err := keep.NewBackups(keep.BackupConfig{Index: db, Dir: copies, Now: func() time.Time { return now }}).Look(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	for _, step := range []struct {
		what string
		at   time.Time
		want bool
	}{
		{"the first", now, true},
		{"the same day", now.Add(11 * time.Hour), false},
		{"the next day", now.Add(12 * time.Hour), true},
		{"ten years on", now.AddDate(10, 0, 0), true},
		{"and back", now.AddDate(0, 0, 2), true},
		{"again", now.AddDate(0, 0, 2), false},
		{"a day later", now.AddDate(0, 0, 3), true},
	} {
		now = step.at
		if made := look(); made != step.want {
			t.Errorf("%s: made %v, want %v", step.what, made, step.want)
		}
	}
	list, err := keep.ListBackups(copies)
	if err != nil || len(list) != keep.DefaultBackups {
		t.Fatalf("%d copies, %v", len(list), err)
	}
	if want := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC); !list[0].Time.Equal(want) || !list[2].Time.After(want.AddDate(9, 0, 0)) {
		t.Errorf("the newest is of %v, the oldest of %v: the order is that in which they were made", list[0].Time, list[2].Time)
	}
	for _, b := range list {
		if d, err := index.Verify(ctx, b.Path); err != nil || d.ID != id {
			t.Errorf("%s: %+v, %v", b.Path, d, err)
		}
		if info, err := os.Stat(b.Path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", b.Path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(copies); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(copies); err != nil || len(entries) != 2*keep.DefaultBackups {
		t.Errorf("left %v, %v", entries, err)
	}
	// One process: a clock that jumps all the time makes no more than one in an hour.
	b := keep.NewBackups(keep.BackupConfig{Index: db, Dir: copies, Now: func() time.Time { return now }})
	made := 0
	for range 5 {
		now = now.AddDate(0, 0, 1)
		if ok, err := b.Look(ctx); err != nil {
			t.Fatal(err)
		} else if ok {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d copies while the clock jumped", made)
	}
}
