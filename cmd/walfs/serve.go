package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/walfs/walfs/cmd/internal/control"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// defaultMemory is the soft limit of the process's memory in bytes, unless GOMEMLIMIT or the configuration says more.
const defaultMemory = 512 << 20

// How long a mount that is in use may keep the process after a signal, and how long it may
// take to bring what is staged onto the disk after that.
const (
	leaveWithin = 10 * time.Second
	closeWithin = 15 * time.Second
)

// defaultFsyncTimeout is how long an fsync that waits for certification bears
// that nothing is certified.
const defaultFsyncTimeout = 5 * time.Minute

// service is a drive that is mounted.
type service struct {
	d      *drive
	dir    string
	fsys   *drivefs.FS
	server *drivefs.Server
	gone   chan error // the mount is gone, and what was staged is on the disk

	connection int // the kernel's number of it

	mu       sync.Mutex // guards the field below
	readOnly error      // why nothing can be committed
}

// serve mounts the drive at dir, calls ready when the kernel can use it, and returns when it is
// unmounted: by umount, by fusermount3, or by a signal, which ends ctx.
func (a *app) serve(ctx context.Context, h home, dir string, o mountOptions, log *slog.Logger, ready func(mountedDrive) error) (err error) {
	opening := context.WithoutCancel(ctx)
	d, err := a.openDrive(opening, h, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	limitMemory(d.config)
	fsys, err := d.recover(opening)
	if err != nil {
		return err
	}
	s := &service{d: d, dir: dir, fsys: fsys, gone: make(chan error, 1)}
	d.mounted = s.mounted
	s.checkWriter(opening)
	kernel := o.kernel(dir, d)
	if kernel.ReadOnly {
		s.readOnly = errors.New("mounted with -o ro")
	}
	if s.server, err = fsys.Mount(kernel); err != nil {
		return err
	}
	go func() { s.gone <- s.server.Wait() }()
	if s.connection, err = connectionAt(dir); err != nil {
		return errors.Join(err, s.unmount(false))
	}
	socket, err := control.Listen(h.dir)
	if err != nil {
		return errors.Join(err, s.unmount(false))
	}
	working, stop := context.WithCancel(opening)
	var workers sync.WaitGroup
	failed := make(chan error, 2)
	s.answerAt(socket)
	workers.Go(func() { failed <- socket.Serve(working) })
	workers.Go(func() { failed <- d.run(working, s.takenOver) })
	err = ready(mountedDrive{Mountpoint: dir, Home: h.dir, PID: os.Getpid(), ReadOnly: s.mounted().readOnly != nil})
	if err == nil {
		err = s.wait(ctx, failed)
	}
	err = errors.Join(err, socket.Close()) // the answer to umount goes out
	stop()
	workers.Wait()
	return err
}

// limitMemory sets the soft limit, which GOMEMLIMIT overrides.
func limitMemory(c config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(c.Memory)
	if limit == 0 {
		limit = defaultMemory
	}
	debug.SetMemoryLimit(limit)
}

// kernel returns what the file system is mounted with.
func (o mountOptions) kernel(dir string, d *drive) drivefs.MountOptions {
	m := drivefs.MountOptions{Dir: dir, Name: mountName(fmt.Sprintf("%x", d.about.ID)), Debug: d.log.Enabled(context.Background(), slog.LevelDebug)}
	for _, option := range o.options {
		switch option {
		case "allow_other":
			m.AllowOther = true
		case "ro":
			m.ReadOnly = true
		case fsyncStaged:
		case fsyncCertified:
			m.Certify = d.certify
		default:
			m.Options = append(m.Options, option)
		}
	}
	return m
}

// certify is what fsync waits for with -o fsync=certified.
func (d *drive) certify(ctx context.Context, ino index.Ino) error {
	patience := time.Duration(d.config.FsyncTimeout)
	if patience == 0 {
		patience = defaultFsyncTimeout
	}
	return d.committer.Certify(ctx, ino, patience)
}

// mountName is what df calls the mount of a drive: by the first digits of its ID.
func mountName(drive string) string { return "walfs-" + drive[:min(8, len(drive))] }

// checkWriter asks the ledger whether this machine may still write. A ledger that does not
// answer is asked again by the committer.
func (s *service) checkWriter(ctx context.Context) {
	if err := s.d.committer.Reconcile(ctx); commit.MustStop(err) {
		s.takenOver(err)
	} else if err != nil {
		s.d.log.Warn("the anchor cannot be looked at now", "err", err)
	}
}

// takenOver makes the drive read-only.
func (s *service) takenOver(why error) {
	s.d.lost.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readOnly != nil {
		return
	}
	s.readOnly = why
	s.fsys.SetReadOnly(true)
	s.d.log.Error("the drive is read-only from now on", "err", why)
}

func (s *service) mounted() mounting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mounting{dir: s.dir, readOnly: s.readOnly}
}

// answerAt makes the socket answer for the drive and for the mount.
func (s *service) answerAt(socket *control.Server) {
	for op, handler := range s.d.calls() {
		socket.Handle(op, handler)
	}
	socket.Handle(opUmount, answer(func(_ context.Context, args umountArgs, _ func(any) error) (nothing, error) {
		return nothing{}, s.unmount(args.Lazy)
	}))
}

// wait returns when the mount is gone. A signal unmounts; a second one leaves at once.
func (s *service) wait(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-s.gone:
		return err
	case err := <-failed:
		return errors.Join(err, s.leave())
	case <-ctx.Done():
		s.d.log.Info("unmounting")
		return s.leave()
	}
}

// leave unmounts. A mount that is in use is taken out of the tree, so that nobody new
// comes, and those in it have a while to go.
func (s *service) leave() error {
	s.fsys.StopCertifying() // else programs that wait keep the mount in use
	stop := onSignal(func() {
		_ = detach(s.dir) // so that no dead mount stays behind
		os.Exit(exitInterrupted)
	})
	defer stop()
	if err := s.server.Unmount(); err != nil {
		s.d.log.Warn("the mount is in use; what is open stays so for a while", "err", err)
		if err := detach(s.dir); err != nil {
			return err
		}
	}
	select {
	case err := <-s.gone:
		return err
	case <-time.After(leaveWithin):
	}
	s.d.log.Warn("programs lose what they have open")
	if err := abort(s.connection); err != nil {
		return err
	}
	select {
	case err := <-s.gone:
		return err
	case <-time.After(closeWithin):
		return fmt.Errorf("what was staged is not on the disk after %s", closeWithin)
	}
}

// unmount unmounts for a command, which is told when programs use the mount.
func (s *service) unmount(lazy bool) error {
	if lazy {
		return detach(s.dir)
	}
	return busy(s.dir, s.server.Unmount())
}
