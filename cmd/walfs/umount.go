package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// errElsewhere reports that the drive of this state folder is not mounted at the folder in question.
var errElsewhere = errors.New("mounted elsewhere, or not at all")

// umountServed ends the mount of the drive in h.
func (a *app) umountServed(ctx context.Context, h home, args umountArgs) error {
	client, err := control.Dial(ctx, h.dir)
	if errors.Is(err, control.ErrNotRunning) || errors.Is(err, fs.ErrNotExist) {
		return errElsewhere
	}
	if err != nil {
		return err
	}
	var s status
	err = client.Call(ctx, opStatus, nothing{}, nil, &s)
	if err == nil && len(args.Dir) > 0 && s.Mountpoint != string(args.Dir) {
		return errors.Join(errElsewhere, client.Close())
	}
	if errors.Is(err, control.ErrLost) { // it was being killed, and leaves a dead mount
		return errors.Join(errElsewhere, client.Close(), waitUnlocked(ctx, h))
	}
	if args.Lazy || s.Detached {
		if err == nil && !s.Detached {
			err = client.Call(ctx, opUmount, args, nil, nil)
		}
		if err = errors.Join(err, client.Close()); err != nil {
			return err
		}
		if !args.Lazy {
			return errDetached(s.Mountpoint)
		}
		a.noteIgnored(s.ignored)
		return a.leaveLazily(ctx, h, s.Mountpoint)
	}
	mount, _ := lookupMount(s.Mountpoint) // what is not known is not told
	return a.saying(ctx, func() string { return waitsFor(h, mount.minor) }, func() error {
		if err == nil {
			err = client.Call(ctx, opUmount, args, nil, nil)
		}
		if err = errors.Join(err, client.Close()); err != nil {
			return err
		}
		a.noteIgnored(s.ignored)
		return waitUnlocked(ctx, h)
	})
}

// errDetached tells of a mount that programs keep in use after it was taken away.
func errDetached(dir string) error {
	return ui.Errorf(ui.InUse, "%s is no mount any more, but programs have files of it open, and the drive with that", dir).
		WithHint("the drive is closed when they close those; walfs mount mounts it again then")
}

// lazyPatience is how long umount --lazy waits for a mount that nobody uses to end.
const lazyPatience = 2 * time.Second

// leaveLazily leaves a mount that was taken out of the tree to the programs that use it.
func (a *app) leaveLazily(ctx context.Context, h home, dir string) error {
	soon, cancel := context.WithTimeout(ctx, lazyPatience)
	defer cancel()
	err := waitUnlocked(soon, h)
	if soon.Err() == nil || ctx.Err() != nil {
		return err
	}
	if closing(ctx, h) {
		return waitUnlocked(ctx, h)
	}
	pid, _ := os.ReadFile(h.lock()) // what it is called without
	a.Note("%s is no mount any more, but programs have files of it open: process %s serves them and keeps the drive until they close those", dir, strings.TrimSpace(string(pid)))
	return nil
}

// closing reports whether the process that has the drive is about to end, however long that takes.
func closing(ctx context.Context, h home) bool {
	client, err := control.Dial(ctx, h.dir)
	if err != nil {
		return true
	}
	defer func() { _ = client.Close() }() // only asked
	var s status
	return client.Call(ctx, opStatus, nothing{}, nil, &s) != nil || s.Closing
}

// umountOther ends a mount of walfs that no process of this state folder serves.
func umountOther(dir string, lazy bool) error {
	if dead(dir) {
		return clearDead(dir)
	}
	kind, err := mountAt(dir)
	if err != nil {
		return err
	}
	if kind != fsType {
		return ui.Errorf(ui.Failed, "no drive is mounted at %s", dir)
	}
	if lazy {
		return detach(dir)
	}
	err = unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EPERM) {
		err = fusermount(dir, "-u")
	}
	return busy(dir, err)
}

// busy adds what can be done about programs that use the mount.
func busy(dir string, err error) error {
	if err == nil {
		return nil
	}
	text := strings.Join(strings.Fields(err.Error()), " ") // fusermount3 answers in two lines
	return ui.Errorf(ui.Failed, "unmount %s: %s", dir, text).
		WithHint("leave the folder and end the programs that use it (fuser -vm %s lists them), or add --lazy", dir)
}
