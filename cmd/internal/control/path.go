package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names in the home.
const (
	socketName = "control.sock"
	recordName = "control.path"
	lockName   = "control.lock"
)

// maxPath is how long the path of a socket may be. Source: sun_path has 108
// bytes on Linux and 104 on macOS, a zero at the end included; two more are
// needed for newSuffix.
const maxPath = 100

// newSuffix marks a socket that is bound but not in its place yet.
const newSuffix = ".n"

// probeWithin bounds the wait for the process behind a socket.
const probeWithin = 2 * time.Second

// canonical returns the one name of home that both sides derive paths from.
func canonical(home string) (string, error) {
	abs, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// choosePath returns the path of the socket for a new server. It makes the
// folder if the home's own path is too long; then recorded is true.
func choosePath(home string) (path string, recorded bool, err error) {
	path = filepath.Join(home, socketName)
	if len(path) <= maxPath {
		return path, false, nil
	}
	sum := sha256.Sum256([]byte(home))
	name := fmt.Sprintf("%x.sock", sum[:16])
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		path = filepath.Join(run, "walfs", name)
		if len(path) <= maxPath && privateDir(filepath.Dir(path)) == nil {
			return path, true, nil
		}
	}
	path = filepath.Join(fmt.Sprintf("/tmp/walfs-%d", os.Geteuid()), name)
	if err := privateDir(filepath.Dir(path)); err != nil {
		return "", false, err
	}
	return path, true, nil
}

// privateDir makes dir, or checks that the one that is there is this user's own
// and closed to others: in /tmp somebody else may have come first.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of mode 0700 of this user: %w", dir, ErrPeer)
	}
	return nil
}

// findPath returns the path of the socket of a running server, if there is one.
func findPath(home string) (string, error) {
	b, err := os.ReadFile(filepath.Join(home, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Join(home, socketName), nil
	}
	if err != nil {
		return "", err
	}
	path, ok := strings.CutSuffix(string(b), "\n")
	if !ok || !filepath.IsAbs(path) || len(path) > maxPath {
		return "", fmt.Errorf("%s does not hold the path of a socket", filepath.Join(home, recordName))
	}
	return path, nil
}

// record writes path where findPath looks, or removes it for a path that needs
// no record. The caller holds the lock.
func record(home, path string, recorded bool) error {
	name := filepath.Join(home, recordName)
	if !recorded {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	tmp := name + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(path + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// locked runs f while no other process makes or removes a socket of home.
func locked(home string, f func() error) (err error) {
	lock, err := os.OpenFile(filepath.Join(home, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which unlocks it
	for {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

// alive reports whether a process answers behind path.
func alive(path string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	conn, err := connect(ctx, path)
	if err == nil {
		_ = conn.Close() // it was only to be opened
	}
	return !errors.Is(err, ErrNotRunning)
}

// connect opens the socket at path. It returns ErrNotRunning when there is none
// or nobody listens; anything else may be a server that is busy.
func connect(ctx context.Context, path string) (*net.UnixConn, error) {
	if len(path) > maxPath {
		return nil, ErrNotRunning // no server makes such a socket
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
