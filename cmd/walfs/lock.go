package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// lockRetry is how often a wait for the lock looks at it.
const lockRetry = 50 * time.Millisecond

// takeLock makes this process the only one that has the drive open. The kernel
// lets go of the lock when the process ends, however it ends.
func takeLock(h home) (*flock.Flock, error) {
	lock := flock.New(h.lock(), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock state folder: %w", err)
	}
	if !ok {
		return nil, errors.Join(inUse(h), lock.Close())
	}
	if err := os.WriteFile(h.lock(), strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state folder: %w", err), lock.Close())
	}
	return lock, nil
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
	return ui.Errorf(ui.InUse, "the drive in %s is in use by %s", h.dir, who).
		WithHint("walfs umount ends a mount; walfs status shows where it is")
}
