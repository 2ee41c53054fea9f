package keep_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// TestTrashClock expires a link by the time that really passed, whatever the
// machine's clock says.
func TestTrashClock(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Unix(1_700_000_000, 0)
	type look struct {
		boot   string
		wall   time.Duration // since start
		uptime time.Duration
		left   int64
	}
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"seven days of work", []look{{"a", 6 * day, 6*day + time.Hour, 1}, {"a", 7 * day, 7*day + time.Hour, 1}, {"a", 8 * day, 7*day + 2*time.Hour, 0}}},
		{"a clock that is years ahead", []look{{"a", 9000 * day, 2 * time.Hour, 1}, {"a", 9001 * day, 3 * time.Hour, 1}}},
		{"years ahead from a boot on", []look{{"b", 9000 * day, time.Minute, 1}, {"b", 9000 * day, time.Hour, 1}, {"c", 9000 * day, time.Minute, 1}}},
		{"a clock that goes back", []look{{"b", -9000 * day, time.Minute, 1}, {"c", 0, time.Minute, 1}, {"c", 0, 7*day + time.Hour, 0}}},
		{"short sessions", []look{{"b", day, 1, 1}, {"c", 2 * day, 1, 1}, {"d", 3 * day, 1, 1}, {"e", 4 * day, 1, 1}, {"f", 5 * day, 1, 1},
			{"g", 6 * day, 1, 1}, {"h", 7 * day, 1, 1}, {"i", 8 * day, 1, 0}}},
		{"a fortnight off", []look{{"b", 14 * day, 1, 1}, {"b", 14 * day, 6*day + time.Hour, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			db, err := index.Open(ctx, index.Config{Path: filepath.Join(t.TempDir(), "index.db"), Trash: true})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			at := look{boot: "a", uptime: time.Hour}
			expire := func() {
				t.Helper()
				trash := keep.NewTrash(keep.TrashConfig{
					Index: db, Keep: 7 * day, Boot: at.boot,
					Wall:   func() time.Time { return start.Add(at.wall) },
					Uptime: func() (time.Duration, error) { return at.uptime, nil },
				})
				if _, err := trash.Expire(ctx); err != nil {
					t.Fatal(err)
				}
			}
			expire()
			deleteLink(t, db)
			for i, next := range tt.looks {
				at = next
				expire()
				if left := db.TrashSum().Files; left != next.left {
					t.Fatalf("look %d: %d files are left, want %d", i, left, next.left)
				}
			}
		})
	}
}

// deleteLink makes a symbolic link, publishes it and deletes it.
func deleteLink(t *testing.T, db *index.DB) {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(db.Init(ctx, index.Drive{ID: id}))
	_, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("link"), Mode: 0o120777, Target: []byte("to")})
	check(err)
	trailer, err := db.CutTrailer(ctx, nil)
	check(err)
	check(db.CommitSegments(ctx, index.Commit{Trailer: trailer, Segments: []index.SegmentRow{{Number: 1, Parts: 1, Size: 1}}}))
	_, err = db.Unlink(ctx, index.Root, []byte("link"))
	check(err)
	check(db.Barrier(ctx, nil)) // what was answered is counted once it is committed
	if db.TrashSum().Files != 1 {
		t.Fatal("the link is not in the trash")
	}
}
