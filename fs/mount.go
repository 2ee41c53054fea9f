package fs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// MountOptions says where and how to mount.
type MountOptions struct {
	Dir        string
	Name       string   // of the drive, shown by df
	Options    []string // such as IsKernelOption knows
	AllowOther bool
	ReadOnly   bool
	Debug      bool // log every request, names included
	Show       Shown
	Pass       PassMode
	// Certify is what fsync of a file waits for once it is staged; nil: nothing.
	// It is called with a context that ends when the mount does.
	Certify func(context.Context, index.Ino) error
	Hooks   Hooks
}

// fsName is the type of the mount, after "fuse.".
const fsName = "walfs"

// The kernel learns of every change, because it asks for it, so what it knows
// stays true. It looks again for names that do not exist, lest a mistake of
// ours hide a file for long.
const (
	cacheFor       = 10 * time.Minute
	cacheAbsentFor = time.Minute
)

const (
	maxRequest    = 1 << 20 // bytes of a read or write; the kernel's limit
	maxBackground = 64      // reads that the kernel sends ahead
	maxInFlight   = 256 << 20
	readAheadKiB  = 4096 // of the kernel, if we may set it
)

// mountFlags are the options that are flags of mount(2).
var mountFlags = map[string]struct{ set, clear uintptr }{
	"ro": {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY},
	"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
	"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
	"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
	"noatime": {set: unix.MS_NOATIME}, "nodiratime": {set: unix.MS_NODIRATIME}, "relatime": {set: unix.MS_RELATIME},
	"atime": {clear: unix.MS_NOATIME}, "diratime": {clear: unix.MS_NODIRATIME},
	"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS}, "dirsync": {set: unix.MS_DIRSYNC},
}

// IsKernelOption reports whether an option of mount(8) is one that the kernel obeys.
func IsKernelOption(option string) bool {
	_, ok := mountFlags[option]
	return ok
}

// Server is a mounted file system.
type Server struct {
	fs     *FS
	server *fuse.Server
	stop   chan struct{}
	done   sync.WaitGroup
	once   sync.Once
	err    error // of the shutdown
	ended  atomic.Bool
}

// Mount mounts the file system and returns when the kernel can use it. An FS
// is mounted once.
func (fs *FS) Mount(o MountOptions) (*Server, error) {
	fs.readOnly.Store(fs.readOnly.Load() || o.ReadOnly || slices.Contains(o.Options, "ro"))
	fs.certifier, fs.shown, fs.hooks = o.Certify, o.Show, o.Hooks
	server, err := fs.serve(o)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", o.Dir, err)
	}
	if err := fs.startPassing(server, o.Pass); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", o.Dir, err), server.Unmount())
	}
	fs.raiseReadAhead(o.Dir)
	fs.mu.Lock()
	fs.served = true
	fs.mu.Unlock()
	s := &Server{fs: fs, server: server, stop: make(chan struct{})}
	s.done.Go(func() { fs.runFlusher(s.stop) })
	s.done.Go(func() { fs.runWatch(s.stop) })
	return s, nil
}

// serve mounts with mount(2) if we may, else through fusermount3.
func (fs *FS) serve(o MountOptions) (*fuse.Server, error) {
	if os.Geteuid() == 0 {
		opts := fs.options(o)
		opts.DirectMountStrict = true
		opts.DirectMountFlags, opts.Options = splitFlags(opts.Options)
		server, err := fs.newServer(o.Dir, opts)
		if err == nil {
			return server, nil
		}
		fs.log.Debug("direct mount", "err", err)
	}
	return fs.newServer(o.Dir, fs.options(o))
}

func splitFlags(options []string) (flags uintptr, rest []string) {
	flags = unix.MS_MGC_VAL // the library takes 0 for its own default
	for _, option := range options {
		if f, ok := mountFlags[option]; ok {
			flags = flags&^f.clear | f.set
		} else {
			rest = append(rest, option)
		}
	}
	return flags, rest
}

func (fs *FS) options(o MountOptions) *fusefs.Options {
	entry, attr, negative := cacheFor, cacheFor, cacheAbsentFor
	options := []string{"default_permissions", "nosuid", "nodev"}
	if o.ReadOnly {
		options = append(options, "ro")
	}
	name := o.Name
	if name == "" {
		name = fsName
	}
	return &fusefs.Options{
		EntryTimeout: &entry, AttrTimeout: &attr, NegativeTimeout: &negative,
		NullPermissions: true,
		RootStableAttr:  &fusefs.StableAttr{Ino: uint64(index.Root)},
		Logger:          slog.NewLogLogger(fs.log.Handler(), slog.LevelWarn),
		MountOptions: fuse.MountOptions{
			AllowOther:              o.AllowOther,
			Options:                 append(options, o.Options...),
			FsName:                  name,
			Name:                    fsName,
			MaxWrite:                maxRequest,
			MaxBackground:           maxBackground,
			MaxInflightRequestBytes: maxInFlight,
			EnableSymlinkCaching:    true,
			// Nothing changes content but writes through this mount.
			ExplicitDataCacheControl: true,
			// Else the kernel asks for an attribute at each write. For that it
			// leaves it to us to clear set-uid and set-gid bits.
			ExtraCapabilities: fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_DIRECT_IO_ALLOW_MMAP | fuse.CAP_DONT_MASK,
			EnableAcl:         o.Show == (Shown{}), // else they would grant and refuse what nobody sees
			PanicHandler:      fs.panicked,
			Debug:             o.Debug,
			Logger:            log.New(requestLog{fs.log}, "", 0),
		},
	}
}

// panicked answers a request that ran into a broken invariant, and that only.
func (fs *FS) panicked(reason any) fuse.Status {
	fs.counters.panics.Add(1)
	fs.log.Error("panic in a request", "op", "serve", "err", fmt.Sprint(reason), "stack", string(debug.Stack()))
	return fuse.EIO
}

// raiseReadAhead lets the kernel read further ahead than the 128 KiB that it
// offers. Only root may, and without it nothing is lost but speed.
func (fs *FS) raiseReadAhead(dir string) {
	device, err := deviceOf(dir)
	if err == nil {
		path := filepath.Join("/sys/class/bdi", device, "read_ahead_kb")
		err = os.WriteFile(path, fmt.Append(nil, readAheadKiB), 0)
	}
	if err != nil {
		fs.log.Debug("kernel readahead stays as it is", "err", err)
	}
}

// deviceOf returns the device number, as major:minor, of the mount on a
// folder, without touching the mount.
func deviceOf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	device := ""
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == escape.Replace(dir) {
			device = fields[2] // the last one is on top
		}
	}
	if device == "" {
		return "", fmt.Errorf("%s: %w", dir, os.ErrNotExist)
	}
	return device, nil
}

// Wait returns when the file system is unmounted, by whomever, and its state
// is on stable storage.
func (s *Server) Wait() error {
	s.server.Wait()
	s.ended.Store(true)
	s.once.Do(func() {
		close(s.stop)
		s.done.Wait()
		s.err = s.fs.shutdown(context.Background())
	})
	return s.err
}

// Ended reports whether nobody uses the mount any more: Wait only brings the state to stable storage.
func (s *Server) Ended() bool { return s.ended.Load() }

// Unmount unmounts and waits. It fails while the file system is in use.
func (s *Server) Unmount() error {
	if err := s.server.Unmount(); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return s.Wait()
}
