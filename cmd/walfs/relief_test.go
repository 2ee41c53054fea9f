package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// tmpDisk mounts a file system of its own on a folder, for the test's time.
func tmpDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestRelieved fills a disk below its reserve and makes room on it: that is noticed once for each
// step that is worth a try.
func TestRelieved(t *testing.T) {
	dir := tmpDisk(t, "64m") // of which 3.2 MiB are the reserve
	k := disk{path: dir}
	want := func(what string, want bool) {
		t.Helper()
		if got, err := k.relieved(); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	file := func(name string, size int) func() {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("an empty disk", false)
	dropLarge, dropSome, dropLittle := file("large", 60<<20), file("some", 2<<20), file("little", 1<<19)
	want("a full disk", false)
	dropLittle()
	want("too little room", false)
	dropSome()
	want("some room", true)
	want("as much room", false)
	file("some", 2<<20)
	want("full again", false)
	dropLarge()
	want("a disk with room", true)
	want("a disk that has room", false)
}

// runDrive opens a drive in dir and lets it work in virtual time, until the test ends. Nothing is mounted.
func runDrive(t *testing.T, dir string, o initOptions) *drive {
	t.Helper()
	a := newApp(io.Discard, io.Discard)
	h := home{dir: dir, given: true}
	if _, err := a.initDrive(t.Context(), h, o); err != nil {
		t.Fatal(err)
	}
	d, err := a.openDrive(t.Context(), h, a.Logger())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx, func(err error) { t.Error(err) }) }()
	synctest.Wait() // what is looked at first has been
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// stage writes a file of the root, without a mount. The committer is not told.
func (d *drive) stage(t *testing.T, name string, size int) index.Ino {
	t.Helper()
	attr, err := d.index.Create(t.Context(), index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: unix.S_IFREG | 0o600})
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.staging.File(t.Context(), attr.Ino, staging.Shape{Version: attr.Version, New: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	_, err = f.WriteAt(t.Context(), content, 0, nil)
	if err = errors.Join(err, d.index.Queue(t.Context(), attr.Ino, f.State())); err != nil {
		t.Fatal(err)
	}
	return attr.Ino
}

// wantRetried has a drive wait for half an hour for what is in its way: the status says so, and
// when the next try is. Once that has gone the file is stored long before.
func (d *drive) wantRetried(t *testing.T, ino index.Ino, says *regexp.Regexp, goes func()) {
	t.Helper()
	const soon = 10 * time.Second
	time.Sleep(30 * time.Minute)
	var s status
	for range 60 {
		var err error
		if s, err = d.answerStatus(t.Context(), nothing{}, nil); err != nil {
			t.Fatal(err)
		}
		if next, err := time.Parse(time.RFC3339, s.NextRetry); err == nil && time.Until(next) > 2*soon {
			break
		}
		time.Sleep(10 * time.Second)
	}
	if next, err := time.Parse(time.RFC3339, s.NextRetry); err != nil || time.Until(next) <= 2*soon {
		t.Fatalf("next retry %q", s.NextRetry)
	}
	if all := strings.Join(s.Problems, "\n"); !says.MatchString(all) {
		t.Errorf("the status does not say %s:\n%s", says, all)
	}
	goes()
	time.Sleep(soon)
	if at, err := d.index.State(t.Context(), ino); err != nil || at.State != index.StateCertified {
		t.Errorf("%s after nothing was in the way any more the file is %s, %v", soon, at.State, err)
	}
}

// TestNodeStartRetries stops nodes until none can be stored with: storing goes on when
// one is started, not when the next try was planned.
func TestNodeStartRetries(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := runDrive(t, dir, initOptions{nodes: 4, shards: 7})
		stopped := nodeArgs{d.net.Nodes()[0].Name}
		other := nodeArgs{d.net.Nodes()[1].Name}
		for _, node := range []nodeArgs{stopped, other} {
			if _, err := d.answerNodeStop(t.Context(), node, nil); err != nil {
				t.Fatal(err)
			}
		}
		ino := d.stage(t, "file", 100_000)
		d.committer.Wake()
		d.wantRetried(t, ino, regexp.MustCompile("storing needs 5"), func() {
			for _, node := range []nodeArgs{stopped, other} {
				if _, err := d.answerNodeStart(t.Context(), node, nil); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// TestRoomRetries fills the disk of the state folder: storing goes on when there is
// room again, not when the next try was planned, and if only a name waits.
func TestRoomRetries(t *testing.T) {
	for name, waits := range map[string]func(t *testing.T, d *drive) index.Ino{
		"file":   func(t *testing.T, d *drive) index.Ino { return d.stage(t, "file", 4<<20) },
		"folder": func(t *testing.T, d *drive) index.Ino { return d.folder(t, "folder") },
	} {
		t.Run(name, func(t *testing.T) { testRoomRetries(t, waits) })
	}
}

// folder makes a folder in the root, without a mount. The committer is not told.
func (d *drive) folder(t *testing.T, name string) index.Ino {
	t.Helper()
	attr, err := d.index.Create(t.Context(), index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: unix.S_IFDIR | 0o700})
	if err != nil {
		t.Fatal(err)
	}
	return attr.Ino
}

func testRoomRetries(t *testing.T, waits func(t *testing.T, d *drive) index.Ino) {
	dir, nodes := tmpDisk(t, "64m"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := runDrive(t, filepath.Join(dir, "home"), initOptions{nodes: 4, shards: 7, nodeDirs: []string{nodes}})
		ino := waits(t, d)
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		d.committer.Wake()
		d.wantRetried(t, ino, regexp.MustCompile("no space left on device|disk is full"), func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestRoomWatches looks whether the disks are watched: while nothing happens they are not, and
// when something comes to wait they are, also when it comes right after a look, and without a mount.
func TestRoomWatches(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := runDrive(t, dir, initOptions{nodes: 4, shards: 7})
		watched := func() bool { return d.room.draining(-1) }
		time.Sleep(time.Hour) // what init made is stored
		for _, tt := range []struct {
			what  string
			comes func()
		}{
			{"a name", func() { d.folder(t, "folder") }},
			{"a file", func() { d.stage(t, "file", 1000) }},
			{"an empty file, by a mount", func() { must(t, d.room.take(0)); d.stage(t, "empty", 0) }},
		} {
			if watched() {
				t.Errorf("before %s: the disks of an idle drive are watched", tt.what)
			}
			must(t, d.room.refresh(t.Context(), 0))
			tt.comes()
			time.Sleep(2 * roomWatch)
			if !watched() {
				t.Errorf("%s waits, and nobody watches the disks", tt.what)
			}
			must(t, d.committer.Drain(t.Context(), nil))
			time.Sleep(2 * roomWatch)
		}
		if watched() {
			t.Error("the disks are watched on and on")
		}
	})
}
