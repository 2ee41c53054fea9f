package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// mountOptions says how a drive is mounted.
type mountOptions struct {
	init       initOptions
	options    []string      // of -o, split at commas
	settings   mountSettings // what they say
	background bool
	readyFD    int // set in the process that mount --background starts
}

func newMountCommand(a *app) *cobra.Command {
	var o mountOptions
	cmd := &cobra.Command{
		Use:   "mount DIR",
		Short: "Mount the drive at a folder; make a drive first where there is none",
		Long: "Mount serves the drive at DIR in the foreground and prints one line when DIR can be used.\n" +
			"Without a drive in the state folder it makes an embedded one and says where its keys are; the\n" +
			"flags from --node-dir to --shards are for that. DIR is made where there is none, and must be empty.\n" +
			"The first SIGINT or SIGTERM unmounts and brings what is staged onto the disk, not to the\n" +
			"nodes; the second leaves at once. What is staged is safe either way.\n" +
			"With -o fsync=certified fsync of a file waits until it is certified too, so that a fresh machine\n" +
			"with the keys gets it back. It ends in EIO when nothing is certified for fsync_timeout (config.toml,\n" +
			"5m), or when only a person can help; the file is staged then, and stored as soon as it can be.\n" +
			"With -o uid=, gid= or umask= all files look as if they were that user's, that group's, or had the\n" +
			"mode that the mask leaves; what is stored of them stays. The options are:\n" +
			optionsHelp + ".\n" +
			"Those for mount(8), systemd and file managers (x-*, _netdev, nofail, noauto, user, …) are passed over.",
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.mount(cmd.Context(), args[0], o) },
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&o.options, "options", "o", nil, "mount `OPTIONS` as for mount -o, with commas in between")
	_ = cmd.RegisterFlagCompletionFunc("options", completeOptions) // fails only for a flag that is not there
	flags.BoolVarP(&o.background, "background", "b", false, "return when the mount answers; the log goes to walfs.log in the state folder")
	flags.IntVar(&o.readyFD, "ready-fd", -1, "")
	_ = flags.MarkHidden("ready-fd") // fails only for a flag that is not there
	o.init.flags(flags)
	return cmd
}

// mountedDrive is what mount prints when the kernel can use the mount.
type mountedDrive struct {
	Mountpoint string `json:"mountpoint"`
	Home       string `json:"home"`
	PID        int    `json:"pid"`
	ReadOnly   bool   `json:"read_only"`
	Why        string `json:"why_read_only,omitempty"`
}

// mount makes the drive if there is none, and serves it at dir.
func (a *app) mount(ctx context.Context, dir string, o mountOptions) (err error) {
	if o.settings, err = parseOptions(o.options); err != nil {
		return err
	}
	if o.readyFD >= 0 {
		return a.serveForParent(ctx, dir, o)
	}
	h, err := a.home()
	if err != nil {
		return err
	}
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return err
	}
	if err := checkOptions(o.settings, fuseConf, os.Geteuid()); err != nil {
		return err
	}
	if err := checkFUSE(fuseDevice); err != nil {
		return err
	}
	fresh := !h.exists() || h.begun()
	if !fresh {
		if err := o.init.fits(a, h, c); err != nil {
			return err
		}
	}
	dir, undo, err := prepareMountPoint(dir, h, c)
	if err != nil {
		return err
	}
	mounted := false
	defer func() {
		if err != nil && !mounted {
			undo()
		}
	}()
	if fresh {
		made, err := a.initDrive(ctx, h, o.init)
		if err != nil {
			return err
		}
		if err := a.result("init", made, func() error { return a.showMade(made) }); err != nil {
			return err
		}
	}
	atRisk := func() { // said once the mount is there: what is refused has an error to tell of
		if !fresh && h.keysAtRisk(c) {
			a.Note("the keys were never exported, and would be lost with this machine: %s key export --out DIR, or --sheet FILE", a.self)
		}
	}
	if o.background {
		err := a.background(ctx, h, c, dir, o)
		if err == nil {
			atRisk()
		}
		return err
	}
	return a.serve(ctx, h, dir, o, a.Logger(), func(m mountedDrive) error {
		mounted = true
		atRisk()
		return a.result("mount", m, func() error { return a.showServed(m) })
	})
}

// showServed is the line of a mount that is served in the foreground.
func (a *app) showServed(m mountedDrive) error {
	if m.ReadOnly {
		return a.Print("mounted at %s, read-only: %s", m.Mountpoint, ui.Clean(m.Why))
	}
	return a.Print("mounted at %s", m.Mountpoint)
}

// showMounted is what a background mount says to whom it leaves alone with it.
func (a *app) showMounted(h home, m mountedDrive) error {
	self := a.self
	if h.given {
		self += " --home " + h.dir
	}
	only := ""
	if m.ReadOnly {
		only = "\n  read-only: " + ui.Clean(m.Why)
	}
	return a.Print("mounted at %s by process %d, log in %s%s\n"+
		"  %s status   shows what is safe and what is under way\n"+
		"  %s sync     waits until all of it is certified\n"+
		"  %s umount   ends the mount",
		m.Mountpoint, m.PID, h.log(), only, self, self, self)
}

func newUmountCommand(a *app) *cobra.Command {
	var lazy bool
	cmd := &cobra.Command{
		Use:   "umount [DIR]",
		Short: "Unmount the drive",
		Long: "Umount ends the mount of the drive, or the one at DIR, and returns when what is staged is on\n" +
			"the disk and the drive is closed. It waits for no nodes: what is not certified goes on with\n" +
			"the next mount. Where a container, say, has the mount in a mount namespace of its own, it waits\n" +
			"for that, and says so. A dead mount at DIR is taken away. With --lazy it does not wait for programs that\n" +
			"use the mount, and says so; until they are done the drive is in use.",
		Args: arguments(0, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.umount(cmd.Context(), strings.Join(args, ""), lazy)
		},
	}
	cmd.Flags().BoolVarP(&lazy, "lazy", "l", false, "take the mount away although programs use it; they keep what they have open, and the drive is closed after them")
	return cmd
}

// umountArgs is the question of opUmount.
type umountArgs struct {
	Dir  []byte `json:"dir,omitempty"` // refuse when the drive is mounted elsewhere
	Lazy bool   `json:"lazy,omitempty"`
}

// umount asks the process that serves the drive, and waits until that has closed it.
func (a *app) umount(ctx context.Context, dir string, lazy bool) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	if dir != "" {
		dir = resolve(absolute(dir))
	}
	err = a.umountServed(ctx, h, umountArgs{Dir: []byte(dir), Lazy: lazy})
	if !errors.Is(err, errElsewhere) {
		return err
	}
	if dir == "" {
		if left := a.leftBehind(ctx, h); len(left) > 0 {
			return ui.Errorf(ui.Failed, "nothing is mounted from %s, but a process that was killed left a dead mount at %s", h.dir, left[0]).
				WithHint("%s umount %s takes it away", a.self, left[0])
		}
		return ui.Errorf(ui.Failed, "nothing is mounted from %s", h.dir).
			WithHint("%s mount DIR mounts the drive; --home names another state folder, and %s umount DIR a mount", a.self, a.self)
	}
	return umountOther(dir, lazy)
}
