package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
)

func newPutCommand(a *app) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "put SRC [PATH]",
		Short: "Copy files into the drive, mounted or not",
		Long: "Put copies a file to PATH in the drive, or into it where it is a folder; to the root without PATH.\n" +
			"It needs no FUSE: where the drive is not mounted it opens it itself. What it has copied is staged,\n" +
			"safe on this machine; walfs sync stores it on the nodes. A file that is there is replaced when the\n" +
			"new one is whole. " + keptHelp,
		Args: arguments(1, "SRC", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/"
			if len(args) > 1 {
				path = args[1]
			}
			return a.put(cmd.Context(), args[0], path, recursive)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy folders with all that is in them")
	return cmd
}

func (a *app) put(ctx context.Context, src, path string, recursive bool) (err error) {
	info, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if info.IsDir() && !recursive {
		return ui.Errorf(ui.Usage, "%s is a folder", ui.Clean(src)).WithHint("-r copies it")
	}
	h, err := a.home()
	if err != nil {
		return err
	}
	if err := a.checkHome(h); err != nil {
		return err
	}
	c := newCopier(a)
	c.base = filepath.Dir(absolute(src))
	if c.tree, err = folderTree(c.base); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.tree.close()) }()
	c.size = totalOf(info.Mode(), info.Size())
	client, err := control.Dial(ctx, h.dir)
	switch {
	case err == nil:
		return a.putMounted(ctx, client, c, src, path)
	case errors.Is(err, control.ErrNotRunning):
		return a.putOpened(ctx, h, c, src, path)
	}
	return err
}

// putMounted copies to the files below the mount point.
func (a *app) putMounted(ctx context.Context, client *control.Client, c *copier, src, path string) error {
	l := &line{call: client.Call, close: client.Close, mounted: true}
	var s status
	inner, err := l.inside(ctx, path)
	if err == nil {
		err = l.call(ctx, opStatus, nothing{}, nil, &s)
	}
	if err == nil && s.Detached {
		err = errDetached(s.Mountpoint)
	}
	if err = errors.Join(err, l.close()); err != nil {
		return err
	}
	root, name, err := openDest(filepath.Join(s.Mountpoint, string(inner)), absolute(src))
	if err != nil {
		return err
	}
	if err := s.reaches(root); err != nil {
		return errors.Join(err, root.close())
	}
	c.sink = (&folderWriter{to: root, lost: &c.lost}).sink()
	return errors.Join(a.putInto(ctx, c, src, name), root.close())
}

// reaches reports why files below root are not files of the mount: else what is copied there
// would only seem to be in the drive.
func (s *status) reaches(root *folder) error {
	at, err := root.grip(".")
	if err != nil {
		return err
	}
	st, err := at.stat()
	if err = errors.Join(err, at.close()); err != nil {
		return err
	}
	if st.Dev == unix.Mkdev(0, uint32(s.Connection)) {
		return nil
	}
	return ui.Errorf(ui.Failed, "%s is not in the drive", ui.Clean(root.name))
}

// putOpened opens the drive and copies into it.
func (a *app) putOpened(ctx context.Context, h home, c *copier, src, path string) (err error) {
	d, err := a.openDrive(ctx, h, a.logTo(h))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	fsys, err := d.recover(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, fsys.Stop)
	defer func() {
		stop()
		err = errors.Join(err, fsys.Close(context.WithoutCancel(ctx)))
	}()
	if err := d.committer.Reconcile(ctx); commit.MustStop(err) {
		return err // what is staged here would never be stored
	}
	to := filepath.Join("/", path)
	attr, err := d.index.Resolve(ctx, to)
	if err == nil && attr.IsDir() {
		to = filepath.Join(to, filepath.Base(absolute(src)))
	} else if strings.HasSuffix(path, "/") {
		return noFolder(path)
	}
	c.sink = (&driveWriter{d: d, fsys: fsys, lost: &c.lost}).sink()
	return a.putInto(ctx, c, src, to)
}

func (a *app) putInto(ctx context.Context, c *copier, src, to string) error {
	c.progress = a.Progress("put", "files")
	defer c.progress.End()
	return c.run(ctx, "put", filepath.Base(absolute(src)), to)
}
