package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// overwrite says what becomes of a file that is there.
type overwrite bool

const (
	keepOld    overwrite = false // and return fs.ErrExist
	replaceOld overwrite = true
)

// writeFile puts b at path, whole and durable or not at all, with mode 0600.
// The temporary file is made anew in the same folder and follows no link.
func writeFile(path string, b []byte, o overwrite) (err error) {
	tmp := path + ".tmp-" + rand.Text()
	if err := writeTemp(tmp, b); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if o == replaceOld {
		err = os.Rename(tmp, path)
	} else {
		// A link, unlike a rename, refuses a name that is taken.
		err = os.Link(tmp, path)
	}
	if o == keepOld || err != nil {
		err = errors.Join(err, os.Remove(tmp))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeTemp(tmp string, b []byte) (err error) {
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile returns the content of the regular file at path, up to limit bytes.
// It returns ErrPermissions if group or others have any right on the file. A
// symbolic link is followed: what counts is the file that is read, and it is
// looked at open.
func readFile(path string, limit int64) ([]byte, error) {
	return readChecked(path, limit, checkPrivate)
}

// readPublic is readFile for what everybody may read.
func readPublic(path string, limit int64) ([]byte, error) {
	return readChecked(path, limit, func(f *os.File) error {
		_, err := statRegular(f)
		return err
	})
}

func readChecked(path string, limit int64, check func(*os.File) error) (b []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := check(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	b, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: longer than %d bytes: %w", path, limit, ErrCorrupt)
	}
	return b, nil
}

func statRegular(f *os.File) (st unix.Stat_t, err error) {
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return st, errors.New("not a regular file")
	}
	return st, nil
}

func checkPrivate(f *os.File) error {
	st, err := statRegular(f)
	if err != nil {
		return err
	}
	if st.Mode&0o077 != 0 {
		return fmt.Errorf("mode is %04o, want 0600: %w", st.Mode&0o7777, ErrPermissions)
	}
	return nil
}
