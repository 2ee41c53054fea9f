package fs_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestPanic lets a request run into a broken invariant: it fails alone, is
// counted, and the log says where.
func TestPanic(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("a"), []byte("before"), 0o600))
	for range 2 {
		if err := syscall.Setxattr(d.path("a"), "user.walfs.evict", []byte("1"), 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want EIO", err)
		}
	}
	if n := d.do("panics"); n != "2" {
		t.Errorf("%s panics were counted", n)
	}
	must(t, os.WriteFile(d.path("a"), []byte("after"), 0o600))
	if b, err := os.ReadFile(d.path("a")); err != nil || string(b) != "after" {
		t.Errorf("%q, %v", b, err)
	}
	d.unmount() // all of the log is there
	if log := d.log(); !strings.Contains(log, "a broken invariant") || !strings.Contains(log, "setOwn") {
		t.Errorf("the log has no stack:\n%s", log)
	}
}
