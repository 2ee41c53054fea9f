package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	drivefs "github.com/walfs/walfs/fs"
)

// The options that say what fsync of a file waits for. The first is the default.
const (
	fsyncStaged    = "fsync=staged"
	fsyncCertified = "fsync=certified"
)

// passthroughs are the options that say whether the kernel may read and write
// files in staging by itself.
var passthroughs = map[string]drivefs.PassMode{
	"passthrough=auto": drivefs.PassAuto, "passthrough=on": drivefs.PassOn, "passthrough=off": drivefs.PassOff,
}

// errAskedReadOnly is why a drive can only be read that was mounted so.
var errAskedReadOnly = errors.New("mounted with -o ro")

// mountSettings is what the options after -o say.
type mountSettings struct {
	kernel     []string // what the kernel is told
	allowOther bool
	readOnly   bool
	certify    bool // fsync waits until a file is certified
	pass       drivefs.PassMode
	show       drivefs.Shown
}

// Options that mean something to mount(8), to systemd or to file managers, and nothing to us.
// So do those that begin with x- or X-.
var othersOptions = []string{"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group",
	"_netdev", "nofail", "comment", "uhelper", "helper", "default_permissions"}

// optionsHelp lists the options for people.
const optionsHelp = "allow_other, ro, rw, suid, nosuid, dev, nodev, exec, noexec, atime, noatime, diratime, nodiratime, relatime,\n" +
	"sync, async, dirsync, fsync=staged, fsync=certified, passthrough=auto, passthrough=on, passthrough=off,\n" +
	"uid=N, gid=N, umask=OCTAL"

// parseOptions understands the options after -o, and refuses those that do not exist.
func parseOptions(options []string) (s mountSettings, err error) {
	for _, option := range options {
		name, value, valued := strings.Cut(option, "=")
		switch {
		case option == "", slices.Contains(othersOptions, name), strings.HasPrefix(name, "x-"), strings.HasPrefix(name, "X-"):
		case option == "allow_other":
			s.allowOther = true
		case option == "ro", option == "rw":
			s.readOnly = option == "ro" // the last one counts
		case name == "fsync":
			s.certify = option == fsyncCertified
			if option != fsyncStaged && option != fsyncCertified {
				return s, usagef("-o %s: it is %s or %s", option, fsyncStaged, fsyncCertified)
			}
		case name == "passthrough":
			pass, ok := passthroughs[option]
			if !ok {
				return s, usagef("-o %s: it is passthrough=auto, passthrough=on or passthrough=off", option)
			}
			s.pass = pass
		case valued && (name == "uid" || name == "gid" || name == "umask"):
			if err := s.override(name, value); err != nil {
				return s, err
			}
		case drivefs.IsKernelOption(option):
			s.kernel = append(s.kernel, option)
		default:
			return s, usagef("-o %s: there is no such option", option).
				WithHint("there are %s; x-*, _netdev, nofail, noauto, user and users are for others", strings.Join(strings.Fields(optionsHelp), " "))
		}
	}
	return s, nil
}

// override takes an option that says how owner or mode of all files look.
func (s *mountSettings) override(name, value string) error {
	base, most, kind := 10, uint64(math.MaxUint32-1), "a number" // -1 means nobody's
	if name == "umask" {
		base, most, kind = 8, 0o777, "octal, at most 777"
	}
	n, err := strconv.ParseUint(value, base, 32)
	if err != nil || n > most {
		return usagef("-o %s=%s: %s is %s", name, value, name, kind)
	}
	field := map[string]**uint32{"uid": &s.show.UID, "gid": &s.show.GID, "umask": &s.show.Umask}[name]
	*field = new(uint32(n))
	return nil
}

// mount returns what the file system is mounted with.
func (s mountSettings) mount(dir string, d *drive) drivefs.MountOptions {
	m := drivefs.MountOptions{Dir: dir, Name: mountName(fmt.Sprintf("%x", d.about.ID)), Options: s.kernel,
		AllowOther: s.allowOther, ReadOnly: s.readOnly, Show: s.show, Pass: s.pass, Hooks: d.hooks()}
	if s.certify {
		m.Certify = d.certify
	}
	return m
}
