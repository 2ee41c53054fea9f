package embedded_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
)

// followed runs what looks after the nodes while the test goes on.
func followed(t *testing.T, n *embedded.Network) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// The folder of a node goes away under it, by an unmounted disk or for good. The node is down at once and says
// why, nothing is written to where it was, and it comes back with its own folder, not with another.
func TestFolderGoesAway(t *testing.T) {
	for name, c := range map[string]struct {
		late bool // it is away for longer than it takes to look
		copy bool // what comes back is a copy
	}{"for a moment": {}, "for long": {late: true}, "for long, from a copy": {late: true, copy: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := t.TempDir()
				n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 10, Shards: 10, NodeDirs: []string{disk}})
				followed(t, n)
				c1 := client(t, n)
				before := put(t, c1, "before")
				folder := n.Nodes()[3].Dir
				away := filepath.Join(t.TempDir(), "away")
				if err := os.Rename(folder, away); err != nil {
					t.Fatal(err)
				}
				down := func(when string) {
					t.Helper()
					if s := n.Nodes()[3]; s.State != "down" || !s.Absent || !strings.Contains(s.Reason, folder) {
						t.Errorf("%s: %+v", when, s)
					}
					if len(n.Up()) != 9 {
						t.Errorf("%s: %d nodes are up", when, len(n.Up()))
					}
				}
				down("at once")
				// What is at the mount point then is a folder that is empty, or that of another node.
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				read(t, c1, before, "before")
				meanwhile := put(t, c1, "meanwhile")
				if c.late {
					time.Sleep(2 * time.Minute)
					down("later")
				}
				n.Sync(t.Context())
				if err := n.Mark([]byte("mark")); err != nil {
					t.Error(err)
				}
				down("with an empty folder in its place")
				if list, err := os.ReadDir(folder); err != nil || len(list) != 0 {
					t.Errorf("%v was written where the folder had been, %v", list, err)
				}
				if c.late {
					key, err := os.ReadFile(filepath.Join(n.Nodes()[4].Dir, "key"))
					if err == nil {
						err = os.WriteFile(filepath.Join(folder, "key"), key, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Minute)
					down("with another node's folder")
				}
				if err := os.RemoveAll(folder); err != nil {
					t.Fatal(err)
				}
				if c.copy {
					if err := os.CopyFS(folder, os.DirFS(away)); err != nil {
						t.Fatal(err)
					}
					for _, key := range []string{"key", "network.key"} {
						if err := os.Chmod(filepath.Join(folder, key), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				} else if err := os.Rename(away, folder); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				if s := n.Nodes()[3]; s.State != "up" || s.Absent || s.Reason != "" || s.Blobs != 1 || s.Lacking != 1 {
					t.Errorf("after it is back: %+v", s)
				}
				if _, err := c1.Mend(t.Context(), n.Up()[3], meanwhile); err != nil {
					t.Error(err)
				}
				// The client that saw the node down would not wait for it.
				read(t, c1, put(t, client(t, n), "after"), "after")
				if s := n.Nodes()[3]; s.Blobs != 3 || s.Lacking != 0 {
					t.Errorf("after it was healed: %+v", s)
				}
			})
		})
	}
}

// A node whose folder has gone can be replaced, started and stopped; stopped it does not come back by itself.
func TestFolderIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10, NodeDirs: []string{t.TempDir()}})
		followed(t, n)
		lost, kept := n.Nodes()[1], n.Nodes()[2]
		if err := os.RemoveAll(lost.Dir); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context(), lost.Name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("start without the folder: %v", err)
		}
		if err := n.Replace(t.Context(), lost.Name, ""); err != nil {
			t.Fatal(err)
		}
		away := kept.Dir + ".away"
		if err := os.Rename(kept.Dir, away); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if err := n.Stop(kept.Name); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(away, kept.Dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if s := n.Nodes(); s[1].State != "up" || s[2].State != "down" || s[2].Reason != "stopped" || s[2].Absent {
			t.Errorf("%+v, %+v", s[1], s[2])
		}
		if err := n.Start(t.Context(), kept.Name); err != nil {
			t.Error(err)
		}
	})
}
