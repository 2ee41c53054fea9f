package main

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	drivefs "github.com/walfs/walfs/fs"

	"github.com/walfs/walfs/cmd/internal/ui"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		options string
		want    mountSettings
	}{
		{"", mountSettings{}},
		{"defaults,x-systemd.automount,X-mount.mkdir,x-gvfs-name=Drive,_netdev,nofail,user,users,noauto,user=me,comment=x", mountSettings{}},
		{"allow_other,ro", mountSettings{allowOther: true, readOnly: true}},
		{"ro,rw", mountSettings{}},
		{"fsync=certified", mountSettings{certify: true}},
		{"fsync=certified,fsync=staged", mountSettings{}},
		{"dev,noexec,noatime", mountSettings{kernel: []string{"dev", "noexec", "noatime"}}},
		{"uid=1000,gid=100,umask=027", mountSettings{show: drivefs.Shown{UID: new(uint32(1000)), GID: new(uint32(100)), Umask: new(uint32(0o27))}}},
	}
	for _, tt := range tests {
		got, err := parseOptions(strings.Split(tt.options, ","))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.options, got, err)
		}
	}
	for _, bad := range []string{"bogus", "allow_others", "ro=1", "allow_other=0", "fsync=never", "fsync", "uid", "uid=", "uid=me", "uid=-1",
		"uid=4294967295", "umask=8", "umask=1777", "gid=1x", "xyz", "subtype=x", "nofsync"} {
		_, err := parseOptions([]string{bad})
		if ui.CodeOf(err) != ui.Usage || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, option := range strings.Fields(strings.ReplaceAll(optionsHelp, ",", " ")) {
		option = strings.NewReplacer("=N", "=1", "=OCTAL", "=22").Replace(option)
		if _, err := parseOptions([]string{option}); err != nil {
			t.Errorf("help names %s: %v", option, err)
		}
	}
}

func TestParseHelper(t *testing.T) {
	tests := map[string]struct {
		args    []string
		want    []string // of walfs; nil: refused
		options string
		fake    bool
	}{
		"as mount calls":      {[]string{"/var/lib/walfs", "/mnt", "-o", "rw,_netdev"}, []string{"mount", "--background", "--home", "/var/lib/walfs", "-o", "rw,_netdev", "--", "/mnt"}, "", false},
		"no state folder":     {[]string{"walfs", "/mnt", "-n", "-t", "fuse.walfs"}, []string{"mount", "--background", "--", "/mnt"}, "", false},
		"flags first":         {[]string{"-v", "-o", "ro", "none", "-x"}, nil, "", false},
		"verbose":             {[]string{"-v", "-o", "ro", "none", "/mnt"}, []string{"mount", "--background", "-v", "-o", "ro", "--", "/mnt"}, "", false},
		"a fake one":          {[]string{"none", "/mnt", "-f"}, []string{"mount", "--background", "--", "/mnt"}, "", true},
		"sloppy":              {[]string{"none", "/mnt", "-s", "-o", "bogus,ro"}, []string{"mount", "--background", "-o", "ro", "--", "/mnt"}, "", false},
		"not sloppy":          {[]string{"none", "/mnt", "-o", "bogus,ro"}, []string{"mount", "--background", "-o", "bogus,ro", "--", "/mnt"}, "", false},
		"one name":            {[]string{"/mnt", "-o", "ro"}, nil, "", false},
		"three":               {[]string{"a", "b", "c"}, nil, "", false},
		"options want a word": {[]string{"a", "b", "-o"}, nil, "", false},
	}
	for name, tt := range tests {
		c, err := parseHelper(tt.args)
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%s: %v", name, err)
		} else if err == nil && (!slices.Equal(c.args(), tt.want) || c.fake != tt.fake) {
			t.Errorf("%s: %q, fake %v", name, c.args(), c.fake)
		}
	}
	if !isHelper("/sbin/mount.walfs") || !isHelper("mount.fuse.walfs") || isHelper("/usr/bin/walfs") {
		t.Error("names of the helper")
	}
}

// TestNotify listens as a service manager does, at a path and at an abstract name.
func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@walfs-test-" + filepath.Base(t.TempDir())} {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		getenv := func(string) string { return name }
		if err := notify(getenv, notifyReady, "mounted at /a\nREADY=0"); err != nil {
			t.Error(err)
		}
		b := make([]byte, 256)
		n, err := socket.Read(b)
		if text := string(b[:n]); err != nil || !strings.HasPrefix(text, "READY=1\nMAINPID=") || !strings.HasSuffix(text, "\nSTATUS=mounted at /a READY=0\n") {
			t.Errorf("got %q, %v", text, err)
		}
		_ = socket.Close()
	}
	if err := notify(func(string) string { return "" }, notifyReady, ""); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
	if err := notify(func(string) string { return filepath.Join(os.TempDir(), "walfs-nobody") }, notifyReady, ""); err == nil {
		t.Error("a socket that is not there was written to")
	}
}
