package fs

import (
	"context"
	"errors"
	"time"

	"github.com/walfs/walfs/index"
)

// errEnding is why waits for certification end when the mount does.
var errEnding = errors.New("the mount ends before the file is certified; it is staged")

// certify waits until a file is certified as it is now, if the mount was made
// so. A signal ends the wait only if it kills the caller, as with a fetch: Go
// sends itself signals all the time.
func (fs *FS) certify(ctx context.Context, ino index.Ino) error {
	if fs.certifier == nil {
		return nil
	}
	waiting, giveUp := fs.untilEnding()
	defer giveUp()
	done := make(chan error, 1)
	go func() { done <- fs.certifier(waiting, ino) }()
	select {
	case err := <-done:
		return certified(waiting, err)
	case <-ctx.Done():
	}
	_, _, pid := caller(ctx)
	look := time.NewTicker(stillAlive)
	defer look.Stop()
	for !dying(pid) {
		select {
		case err := <-done:
			return certified(waiting, err)
		case <-look.C:
		}
	}
	return errInterrupted
}

// certified says why a wait was ended from here, if it was.
func certified(waiting context.Context, err error) error {
	if err != nil && waiting.Err() != nil {
		return errEnding
	}
	return err
}

// StopCertifying ends all waits for certification, those to come included, with
// EIO: what was synced is staged. It is called before a mount is made to end,
// which waits for the requests of programs.
func (fs *FS) StopCertifying() { fs.stopCertifying() }
