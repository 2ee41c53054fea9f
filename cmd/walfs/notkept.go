package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// aspect is something of a file that a copy keeps where it can.
type aspect string

// The aspects, as they are named in JSON.
const (
	aspectOwner    aspect = "owner"
	aspectMode     aspect = "mode"
	aspectACL      aspect = "acl"
	aspectXattr    aspect = "xattr"
	aspectTime     aspect = "time"
	aspectHardLink aspect = "hard_link"
)

// aspects are all of them, in words.
var aspects = []struct {
	aspect aspect
	text   string
}{
	{aspectOwner, "owner"},
	{aspectMode, "permission bits"},
	{aspectACL, "ACL"},
	{aspectXattr, "extended attributes"},
	{aspectTime, "times"},
	{aspectHardLink, "hard link to another copy"},
}

// unkeepable are errors that say no to one aspect of a file for good, and nothing of the rest of it:
// of permissions, of file systems that do not have such a thing, and of those that have no room left for it.
var unkeepable = []error{
	syscall.EPERM, syscall.EACCES, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EINVAL, syscall.ERANGE, syscall.E2BIG, syscall.ENOSPC,
	syscall.EDQUOT, syscall.EMLINK, syscall.EXDEV, syscall.EOVERFLOW, index.ErrAttrSize, index.ErrAttrRoom, index.ErrRange, index.ErrLinks, errReplaced,
}

// losses counts what could not be kept of what was copied.
type losses struct {
	app     *app
	entries map[aspect]int64
	reasons map[aspect][]string
}

// note counts an entry of which one aspect could not be kept. It returns an error that is
// no reason to copy without, and nil for nil.
func (l *losses) note(path string, what aspect, err error) error {
	if err == nil || !slices.ContainsFunc(unkeepable, func(known error) bool { return errors.Is(err, known) }) {
		return err
	}
	if l.entries == nil {
		l.entries, l.reasons = map[aspect]int64{}, map[aspect][]string{}
	}
	l.entries[what]++
	l.app.Logger().Debug("not kept", "path", path, "what", string(what), "err", err)
	var errno syscall.Errno
	reason := err.Error()
	if errors.As(err, &errno) {
		reason = errno.Error()
	}
	if !slices.Contains(l.reasons[what], reason) {
		l.reasons[what] = append(l.reasons[what], reason)
	}
	return nil
}

// warn says in one line what was not kept, and why.
func (l *losses) warn() {
	var lost []string
	for _, a := range aspects {
		if n := l.entries[a.aspect]; n > 0 {
			lost = append(lost, fmt.Sprintf("%s of %s (%s)", a.text, ui.Plural(n, "entry", "entries"), strings.Join(l.reasons[a.aspect], ", ")))
		}
	}
	if len(lost) > 0 {
		l.app.Warn("not kept: %s", strings.Join(lost, "; "))
	}
}
