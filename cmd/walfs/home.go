package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/staging"
)

// home is a state folder. Its methods name what lies in it; a name in the
// configuration may lead elsewhere.
type home struct {
	dir   string // absolute
	given bool   // by --home or WALFS_HOME: then nothing lies outside of it
}

func (h home) config() string   { return filepath.Join(h.dir, "config.toml") }
func (h home) identity() string { return filepath.Join(h.dir, "identity.txt") }
func (h home) key() string      { return filepath.Join(h.dir, "key.age") }
func (h home) wallet() string   { return filepath.Join(h.dir, "wallet.age") }
func (h home) index() string    { return filepath.Join(h.dir, "index.db") }
func (h home) staging() string  { return filepath.Join(h.dir, "staging") }
func (h home) network() string  { return filepath.Join(h.dir, "network") }
func (h home) lock() string     { return filepath.Join(h.dir, "lock") }
func (h home) log() string      { return filepath.Join(h.dir, "walfs.log") }
func (h home) boot() string     { return filepath.Join(h.dir, "boot") }
func (h home) birth() string    { return filepath.Join(h.dir, "init.json") }
func (h home) scrubs() string   { return filepath.Join(h.dir, "scrub.json") }
func (h home) backups() string  { return filepath.Join(h.dir, "backups") }      // copies of the index
func (h home) place() string    { return filepath.Join(h.dir, "place") }        // see claim
func (h home) writer() string   { return filepath.Join(h.dir, "writer.json") }  // see claim
func (h home) journal() string  { return filepath.Join(h.dir, "transactions") } // what the wallet signed
func (h home) journals() string { return filepath.Join(h.dir, "journals") }     // what other wallets signed
func (h home) wallets() string  { return filepath.Join(h.dir, "wallets") }      // other wallets
func (h home) spool() string    { return filepath.Join(h.dir, "spool") }        // of blob put
func (h home) exported() string { return filepath.Join(h.dir, "exported.json") }

// cache lies under the XDG cache folder, or in a home that was given, where a
// second home has a cache of its own.
func (h home) cache(getenv func(string) string) (string, error) {
	if h.given {
		return filepath.Join(h.dir, "cache"), nil
	}
	base, err := xdg(getenv, "XDG_CACHE_HOME", ".cache")
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "walfs"), nil
}

// findHome decides where the state folder is: flag, WALFS_HOME, XDG data folder.
func findHome(flag string, getenv func(string) string) (home, error) {
	dir := flag
	if dir == "" {
		dir = getenv("WALFS_HOME")
	}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return home{}, fmt.Errorf("state folder %s: %w", dir, err)
		}
		return home{dir: abs, given: true}, nil
	}
	base, err := xdg(getenv, "XDG_DATA_HOME", ".local/share")
	if err != nil {
		return home{}, err
	}
	return home{dir: filepath.Join(base, "walfs")}, nil
}

// xdg returns a base folder of the XDG specification, which ignores relative names.
func xdg(getenv func(string) string, name, fallback string) (string, error) {
	if dir := getenv(name); filepath.IsAbs(dir) {
		return dir, nil
	}
	user := getenv("HOME")
	if !filepath.IsAbs(user) {
		return "", ui.Errorf(ui.Failed, "HOME is not set").WithHint("name a state folder with --home or WALFS_HOME")
	}
	return filepath.Join(user, fallback), nil
}

// exists reports whether a drive was ever begun here.
func (h home) exists() bool {
	for _, name := range []string{h.index(), h.birth(), h.key()} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return false
}

// check refuses a state folder that another user owns, and closes one that others can enter.
// It returns fs.ErrNotExist when there is none.
func (h home) check() error {
	info, err := os.Stat(h.dir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if !info.IsDir() {
		return usagef("state folder %s is not a folder", h.dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return ui.Errorf(ui.Failed, "state folder %s belongs to user %d, not to user %d", h.dir, st.Uid, os.Geteuid()).
			WithHint("run walfs as its owner, or name another folder with --home")
	}
	if err := h.usable(info.Mode()); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(h.dir, 0o700); err != nil {
			return fmt.Errorf("close state folder: %w", err)
		}
	}
	return nil
}

// usable says why its owner cannot use a state folder, if so.
func (h home) usable(mode fs.FileMode) error {
	err := unix.Faccessat(unix.AT_FDCWD, h.dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return ui.Errorf(ui.Failed, "state folder %s is on a read-only file system", h.dir).
			WithHint("mount it so that it can be written, or name another folder with --home")
	case errors.Is(err, unix.EACCES) && mode.Perm()&0o700 != 0o700:
		return ui.Errorf(ui.Failed, "state folder %s has mode %04o: it cannot be used", h.dir, mode.Perm()).WithHint("chmod 700 %s", h.dir)
	}
	return fmt.Errorf("use state folder %s: %w", h.dir, err)
}

// make makes the state folder where there is none, and refuses a folder that holds other things.
func (h home) make() error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if h.exists() {
		return h.check()
	}
	info, err := os.Stat(h.dir)
	if err == nil {
		err = h.usable(info.Mode())
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	for _, entry := range entries {
		if !h.ours(entry) {
			return usagef("state folder %s holds other things, such as %q", h.dir, entry.Name())
		}
	}
	return h.check()
}

// ours reports whether an entry may lie in a state folder before there is a drive.
func (h home) ours(entry fs.DirEntry) bool {
	name := filepath.Join(h.dir, entry.Name())
	for _, known := range []string{h.config(), h.identity(), h.wallet(), h.network(), h.journal(), h.journals(), h.wallets(), h.lock(), h.log()} {
		if name == known || strings.HasPrefix(name, known+".") {
			return true
		}
	}
	return entry.Name() == "cache" || name == h.staging() && holdsNoFile(name)
}

// holdsNoFile reports whether dir has nothing of anybody, as a restore that failed leaves its
// staging: only folders, and what staging reserves. Or there is no dir at all.
func holdsNoFile(dir string) bool {
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != staging.Reserve(dir) {
			err = fs.ErrExist
		}
		return err
	})
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// inside reports whether dir is base or lies below it, after symbolic links.
func inside(base, dir string) bool {
	rel, err := filepath.Rel(resolve(base), resolve(dir))
	return err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, "../"))
}

// resolve follows the symbolic links of as much of dir as exists.
func resolve(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return dir
	}
	return filepath.Join(resolve(parent), filepath.Base(dir))
}

// absolute makes a name from the command line independent of the working folder.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}
