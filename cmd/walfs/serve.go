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
	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// defaultMemory is the soft limit of the process's memory in bytes, unless GOMEMLIMIT or the configuration says more. It is
// above what is in use once programs have looked at a million names: below that the collector would run all the time.
const defaultMemory = 1 << 30

// leaveWithin is how long a mount that is in use may keep the process after a signal.
const leaveWithin = 10 * time.Second

// closeWithin is how long it may take to bring what is staged onto the disk after that. Tests wait longer.
var closeWithin = 15 * time.Second

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

	mu         sync.Mutex // guards the fields below
	connection int        // the kernel's number of the mount
	readOnly   error      // why nothing can be committed
}

// serve mounts the drive at dir, calls ready when the kernel can use it, and returns when it is
// unmounted: by umount, by fusermount3, or by a signal, which ends ctx.
func (a *app) serve(ctx context.Context, h home, dir string, o mountOptions, log *slog.Logger, ready func(mountedDrive) error) (err error) {
	opening := context.WithoutCancel(ctx)
	last := &recent{}
	d, err := a.openDrive(opening, h, last.remembering(log))
	if err != nil {
		return err
	}
	d.recent = last
	defer func() { err = errors.Join(err, d.Close()) }()
	limitMemory(d.config)
	fsys, err := d.recover(opening)
	if err != nil {
		return err
	}
	s := &service{d: d, dir: dir, fsys: fsys, gone: make(chan error, 1)}
	d.mounted = s.mounted
	s.checkWriter(opening)
	kernel := o.settings.mount(dir, d)
	kernel.Hooks.Files = s.files()
	kernel.Debug = d.log.Enabled(opening, slog.LevelDebug)
	if kernel.ReadOnly {
		s.readOnly = errAskedReadOnly
	}
	if err := s.mount(kernel); err != nil {
		return err
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
	err = ready(s.mountedDrive(h))
	if err == nil {
		s.notify(notifyReady, "mounted at "+dir)
		err = s.wait(ctx, failed)
	}
	err = errors.Join(err, socket.Close()) // the answer to umount goes out
	stop()
	workers.Wait()
	return err
}

// mount mounts the drive at an empty folder, and finds out which of the kernel's mounts it is.
func (s *service) mount(kernel drivefs.MountOptions) error {
	at, err := openMountPoint(s.dir)
	if err != nil {
		return err
	}
	if s.server, err = s.fsys.Mount(kernel); err != nil {
		return errors.Join(err, at.Close())
	}
	go func() { s.gone <- s.server.Wait() }()
	if err := errors.Join(s.connected(), at.checkEmpty(), at.Close()); err != nil {
		return errors.Join(err, s.unmount(false))
	}
	return nil
}

// garbagePercent is how much garbage there may be for each byte in use before it is collected: a
// good part of what is in use always is, and not garbage (tables of the encoding, 75 MiB), and most
// of the rest are large buffers, which cost the collector little.
const garbagePercent = 50

// limitMemory sets the soft limit, which GOMEMLIMIT overrides, and how much garbage there may be, which GOGC overrides.
func limitMemory(c config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(c.Memory)
	if limit == 0 {
		limit = defaultMemory
	}
	debug.SetMemoryLimit(limit)
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
		s.takenOver(s.d.whyReadOnly(ctx, err))
	} else if err != nil {
		s.d.log.Warn("the anchor cannot be looked at now", "err", err)
	}
}

// takenOver makes the drive read-only.
func (s *service) takenOver(why error) {
	s.d.lost.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if commit.MustStop(s.readOnly) {
		return
	}
	s.readOnly = why
	s.fsys.SetReadOnly(true)
	s.d.log.Error("the drive is read-only from now on", "err", why)
}

// connected looks up the kernel's number of the mount.
func (s *service) connected() error {
	connection, err := connectionAt(s.dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connection = connection
	return err
}

// mounted says where the drive is mounted. A mount can be taken out of the tree by anybody who may.
func (s *service) mounted() mounting {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mounting{dir: s.dir, connection: s.connection, readOnly: s.readOnly, closing: s.server.Ended()}
	if at, err := lookupMount(s.dir); err == nil && s.connection != 0 {
		m.detached = at.kind != fsType || at.minor != s.connection
	}
	return m
}

// mountedDrive tells who mounted it of the mount.
func (s *service) mountedDrive(h home) mountedDrive {
	m := mountedDrive{Mountpoint: s.dir, Home: h.dir, PID: os.Getpid()}
	if why := s.mounted().readOnly; why != nil {
		m.ReadOnly, m.Why = true, sayReadOnly(why)
	}
	return m
}

// sayReadOnly says why a mount cannot be written, and what can be done.
func sayReadOnly(why error) string {
	var said *ui.Error
	switch {
	case errors.As(why, &said) && said.Hint != "":
		return why.Error() + "; when it is not mounted: " + said.Hint
	case errors.Is(why, commit.ErrRolledBack):
		return why.Error() + "; the network folder was put back to an earlier state: walfs takeover --allow-rollback, when it is not mounted, goes on with that"
	case commit.MustStop(why):
		return why.Error() + "; walfs takeover, when it is not mounted, makes this machine the writer"
	}
	return why.Error()
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
	s.notify(notifyStopping, "unmounting")
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
	return awaitGone(s.gone, func() error {
		if s.server.Ended() { // the programs have gone by themselves
			return nil
		}
		s.d.log.Warn("programs lose what they have open")
		return abort(s.mounted().connection)
	})
}

// awaitGone waits for the end of a mount, which it brings about when programs do not go.
func awaitGone(gone <-chan error, end func() error) error {
	select {
	case err := <-gone:
		return err
	case <-time.After(leaveWithin):
	}
	trouble := end()
	select {
	case err := <-gone: // which all programs may have left just before they were to
		return err
	case <-time.After(closeWithin):
		return errors.Join(trouble, fmt.Errorf("what was staged is not on the disk after %s", closeWithin))
	}
}

// notify tells a service manager how the mount stands. That it hears nothing harms no data.
func (s *service) notify(state, text string) {
	if err := notify(os.Getenv, state, text); err != nil {
		s.d.log.Warn("the service manager does not know", "err", err)
	}
}

// unmount unmounts for a command, which is told when programs use the mount.
func (s *service) unmount(lazy bool) error {
	if lazy {
		return detach(s.dir)
	}
	return busy(s.dir, s.server.Unmount())
}
