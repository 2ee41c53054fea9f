package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

const (
	// lockRetry is how often a wait for the lock looks at it.
	lockRetry = 20 * time.Millisecond
	// lockPatience is how long the end of a process that serves nothing may take.
	lockPatience = 3 * time.Second
)

// takeLock makes this process the only one that has the drive open. The kernel
// lets go of the lock when the process ends, however it ends.
func takeLock(ctx context.Context, h home) (*flock.Flock, error) {
	lock := flock.New(h.lock(), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err == nil && !ok && !served(ctx, h) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lockPatience)
		defer cancel()
		ok, err = lock.TryLockContext(ctx, lockRetry)
	}
	switch {
	case ok:
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		return nil, errors.Join(inUse(h), lock.Close())
	case errors.Is(err, syscall.EROFS):
		return nil, errors.Join(ui.Errorf(ui.Failed, "lock state folder: %w", err).
			WithHint("a drive is opened on a disk that can be written: remount that, or restore the drive to another folder"), lock.Close())
	default:
		return nil, errors.Join(fmt.Errorf("lock state folder: %w", err), lock.Close())
	}
	if err := os.WriteFile(h.lock(), strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state folder: %w", err), lock.Close())
	}
	return lock, nil
}

// served reports whether a process answers for the drive.
func served(ctx context.Context, h home) bool {
	client, err := control.Dial(ctx, h.dir)
	if err != nil {
		return false
	}
	_ = client.Close() // nothing was asked
	return true
}

// waitUnlocked returns once no process has the drive open.
func waitUnlocked(ctx context.Context, h home) error {
	lock := flock.New(h.lock(), flock.SetPermissions(0o600))
	_, err := lock.TryLockContext(ctx, lockRetry)
	return errors.Join(wrapf(err, "wait for the drive to close"), lock.Close())
}

// inUse names the process that has the drive open.
func inUse(h home) error {
	who := "another process"
	if pid, err := os.ReadFile(h.lock()); err == nil && len(pid) > 0 {
		who = "process " + strings.TrimSpace(string(pid))
	}
	return ui.Errorf(ui.InUse, "in use: %s has the drive in %s open", who, h.dir).
		WithHint("walfs umount ends a mount; walfs status shows where it is")
}
