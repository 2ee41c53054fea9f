package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
)

// A copy of a state folder would be the same writer to the ledger. Two things tell
// one from the other. Each time the drive is opened to be written, a random mark is
// left in the network's folder and in node folders elsewhere, and noted in the state
// folder before: a mark that it did not note is another copy's. And the state folder
// knows when a file in it was made, by the file system's own account, which a copy of
// the file does not keep; moving the folder within a file system does.

// maxMarks is how many marks a state folder remembers. A node folder that was away for
// longer is taken for its own.
const maxMarks = 1024

// claims is what writer.json in the state folder holds.
type claims struct {
	Writer string   `json:"writer"`         // this machine's ID when it wrote this; another one begins anew
	Born   int64    `json:"born"`           // when the file "place" was made, Unix ns; 0: the file system does not tell
	Marks  []string `json:"marks"`          // that it has left, the newest last
	Past   []string `json:"past,omitempty"` // those that it has left under other IDs
}

// markText is a mark as it is left.
func markText(writer, mark string) []byte {
	return fmt.Appendf(nil, "walfs writer 1\nwriter %s\nmark %s\n", writer, mark)
}

// parseMark reads a mark. What is no mark belongs to nobody.
func parseMark(text []byte) (writer, mark string) {
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) != 4 {
		return "", ""
	}
	writer, mark = string(bytes.TrimPrefix(lines[1], []byte("writer "))), string(bytes.TrimPrefix(lines[2], []byte("mark ")))
	if !bytes.Equal(markText(writer, mark), text) {
		return "", ""
	}
	return writer, mark
}

// claimOnce returns what claims the drive when it is called first.
func (d *drive) claimOnce() func() error {
	var mu sync.Mutex
	done := false
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := d.claim(false)
		done = err == nil
		return err
	}
}

// claim makes sure that this state folder is the one that wrote the drive last, and leaves
// a new mark. With moved set it may have been copied since; the other copy is not used any more.
func (d *drive) claim(moved bool) error {
	writer := hex.EncodeToString(d.about.Writer[:])
	c, err := d.home.claims(writer)
	if err != nil {
		return err
	}
	if err := onlyOurs(d.home, d.config, d.net, writer, c); err != nil {
		return err
	}
	born, err := d.home.born()
	if err != nil {
		return err
	}
	if c.Marks != nil && c.Born != 0 && born != c.Born && !moved {
		return ui.Errorf(ui.Failed, "%s was moved to another file system, put back from a backup, or is a copy of the state folder that writes the drive: %w",
			d.home.dir, commit.ErrCopied).WithHint("if no other one is used any more: walfs --home %s takeover --moved", d.home.dir)
	}
	return d.home.leaveMark(d.net, writer, c, moved)
}

// claimAs notes that this state folder writes the drive under a new ID, and leaves a mark.
func (h home) claimAs(net *embedded.Network, writer [16]byte) error {
	id := hex.EncodeToString(writer[:])
	c, err := h.claims(id)
	if err != nil {
		return err
	}
	return h.leaveMark(net, id, c, false)
}

// leaveMark leaves a new mark, and notes it before. With anew set, or where there was none
// under this ID, the state folder has its place from now on.
func (h home) leaveMark(net *embedded.Network, writer string, c claims, anew bool) error {
	place := h.born
	if c.Marks == nil || anew {
		place = h.settle
	}
	born, err := place()
	if err != nil {
		return err
	}
	mark := make([]byte, 16)
	if _, err := rand.Read(mark); err != nil {
		return err
	}
	c.Writer, c.Born, c.Marks = writer, born, append(c.Marks, hex.EncodeToString(mark))
	c.Marks = c.Marks[max(0, len(c.Marks)-maxMarks):]
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := writeWhole(h.writer(), append(text, '\n')); err != nil { // before anybody can see the mark
		return err
	}
	return net.Mark(markText(writer, c.Marks[len(c.Marks)-1]))
}

// onlyOurs returns ErrCopied if another state folder has left a mark as this writer.
func onlyOurs(h home, conf config, net *embedded.Network, writer string, c claims) error {
	marks, err := net.Marks()
	if err != nil {
		return err
	}
	ours := make(map[string]bool, len(c.Marks))
	for _, mark := range c.Marks {
		ours[mark] = true
	}
	for folder, text := range marks {
		who, mark := parseMark(text)
		if who != writer || ours[mark] || len(c.Marks) == maxMarks && folder != conf.networkFolder(h) {
			continue
		}
		return ui.Errorf(ui.Failed, "another copy of %s has written the drive since, by what it left in %s: %w", h.dir, folder, commit.ErrCopied).
			WithHint("use that one; walfs --home %s takeover makes this one the writer, and keeps apart what was never stored here", h.dir)
	}
	return nil
}

// claims reads what the state folder has claimed as a writer. Marks is nil for one that has not yet.
func (h home) claims(writer string) (claims, error) {
	c, ok, err := h.lastClaims()
	switch {
	case err != nil || !ok:
		return claims{}, err
	case c.Marks == nil: // as if it were another's
		return claims{Writer: writer, Born: -1, Marks: []string{}}, nil
	case c.Writer != writer: // the drive was taken over since, from here
		past := append(c.Past, c.Marks...)
		return claims{Past: past[max(0, len(past)-maxMarks):]}, nil
	}
	return c, nil
}

// lastClaims reads what the state folder has claimed last, under whatever ID, and whether
// it has at all. Marks is nil if that cannot be read.
func (h home) lastClaims() (c claims, ok bool, err error) {
	text, err := os.ReadFile(h.writer())
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("look up what was claimed: %w", err)
	}
	if json.Unmarshal(text, &c) != nil {
		return claims{}, true, nil
	}
	return c, true, nil
}

// provenance tells a rebuild as whom this state folder has written the drive, or that another
// copy of it has since. The index that knew is lost.
func provenance(h home, conf config, net *embedded.Network, cfg *keep.RebuildConfig) error {
	c, _, err := h.lastClaims()
	if err != nil || c.Marks == nil {
		return err
	}
	if err := onlyOurs(h, conf, net, c.Writer, c); errors.Is(err, commit.ErrCopied) {
		cfg.Copied = err.Error()
		return nil
	} else if err != nil {
		return err
	}
	writer, err := hex.DecodeString(c.Writer)
	if err != nil || len(writer) != len(cfg.Claimed) {
		return nil
	}
	if born, err := h.born(); err != nil || c.Born != 0 && born != c.Born { // moved, or a copy of which nothing is seen
		return err
	}
	cfg.Claimed = [16]byte(writer)
	return nil
}

// born returns when the file "place" was made, in Unix ns. 0: there is none, or the file
// system does not tell.
func (h home) born() (int64, error) {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, h.place(), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &s)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOSYS) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", h.place(), err)
	}
	if s.Mask&unix.STATX_BTIME == 0 {
		return 0, nil
	}
	return s.Btime.Sec*1e9 + int64(s.Btime.Nsec), nil
}

// settle makes the file "place" anew, and returns when that was.
func (h home) settle() (int64, error) {
	if err := os.Remove(h.place()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err := writeWhole(h.place(), nil); err != nil {
		return 0, err
	}
	return h.born()
}
