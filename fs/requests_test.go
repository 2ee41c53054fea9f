package fs_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKnownAttributes looks at attributes that the kernel was just told: it does not ask again.
func TestKnownAttributes(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("file"), []byte("content"), 0o644))
	must(t, os.Mkdir(d.path("folder"), 0o755))
	asks := func(path string) bool {
		t.Helper()
		before := d.do("requests getattr")
		_, err := os.Stat(path)
		must(t, err)
		return d.do("requests getattr") != before
	}
	for _, path := range []string{d.path("file"), d.path("folder")} {
		for deadline := time.Now().Add(patience); asks(path); { // the kernel may still be closing the file
			if time.Now().After(deadline) {
				t.Fatalf("the kernel asks for %s again and again", path)
			}
		}
		for what, set := range map[string]func() error{
			"mode":  func() error { return os.Chmod(path, 0o700) },
			"times": func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
			"owner": func() error { return os.Lchown(path, os.Getuid(), os.Getgid()) },
		} {
			must(t, set())
			if asks(path) {
				t.Errorf("the kernel asks for %s after its %s was set", path, what)
			}
		}
	}
}

// TestLabels asks for SELinux's labels, as ls -l does for each file. As long as nobody has
// stored one the drive says that it has none, and ls asks no more.
func TestLabels(t *testing.T) {
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
		t.Skip("this kernel answers for the file system")
	}
	d := newDrive(t)
	must(t, os.WriteFile(d.path("a"), nil, 0o644))
	must(t, os.WriteFile(d.path("b"), nil, 0o644))
	if _, err := unix.Getxattr(d.path("a"), "security.selinux", nil); err != unix.EOPNOTSUPP {
		t.Errorf("no label on the drive: %v", err)
	}
	if _, err := unix.Getxattr(d.path("a"), "security.other", nil); err != unix.ENODATA {
		t.Errorf("another attribute: %v", err)
	}
	if os.Geteuid() != 0 {
		return // only root may store one
	}
	must(t, unix.Setxattr(d.path("a"), "security.selinux", []byte("label"), 0))
	if n, err := unix.Getxattr(d.path("a"), "security.selinux", nil); n != len("label") || err != nil {
		t.Errorf("stored label: %d, %v", n, err)
	}
	if _, err := unix.Getxattr(d.path("b"), "security.selinux", nil); err != unix.ENODATA {
		t.Errorf("a file without one beside it: %v", err)
	}
}
