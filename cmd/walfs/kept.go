package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
)

// kept returns the files of the state folder of which every node folder keeps a
// copy: the locked keys, and the note that they were exported. An identity in the clear is never among them.
func (h home) kept() (map[string][]byte, error) {
	pairs, err := h.pairs()
	if err != nil {
		return nil, err
	}
	names := []string{h.exported()}
	for _, p := range pairs {
		names = append(names, p.key, p.wallet)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[filepath.Base(name)] = text
	}
	return files, nil
}

// mine returns what tells, by the mark of who wrote the drive last, whether the copies of keys
// in a node folder are to be those of this state folder. Who only reads the drive, or
// was taken over, leaves them alone: what opens ours may exist nowhere else.
func (c config) mine(h home) func(mark []byte) bool {
	return func(text []byte) bool {
		claimed, ok, err := h.lastClaims()
		writer, mark := parseMark(text)
		switch {
		case err != nil:
			return false
		case writer == "": // nobody has written the drive yet, as far as can be seen here
			return ok || inside(h.dir, c.networkFolder(h))
		}
		return slices.Contains(claimed.Marks, mark) || slices.Contains(claimed.Past, mark)
	}
}

// keepKeys brings the copies in the node folders up to date after a change of
// the keys. A folder that is out of reach is brought up to date when its node comes up.
func (a *app) keepKeys(h home, c config) {
	files, err := h.kept()
	if err == nil {
		err = embedded.Keep(c.networkFolder(h), files, c.mine(h))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.Warn("the node folders do not all have the keys as they are now: %v", err)
	}
}

// keysAtRisk reports whether the keys would be lost with the state folder: what
// opens them lies in it, and was never exported.
func (h home) keysAtRisk(c config) bool {
	file := c.identityFile(h)
	return !h.keysExported() && file != "" && inside(h.dir, file)
}

// spread says over how many disks the nodes lie, and from how many the drive comes back.
type spread struct {
	Disks int `json:"disks"`
	// DisksNeeded is how many of the disks suffice, whichever they are; 0: not even all.
	DisksNeeded int `json:"disks_needed"`
}

// spreadOf looks where the folders of the nodes lie. A node that is down, or has
// no whole copy of the log, does not count for what is needed.
func spreadOf(nodes []nodeStatus, device func(dir string) (uint64, error)) spread {
	shards, disks := 0, map[uint64]int{}
	for _, n := range nodes {
		shards += n.Shards
		disk, err := device(n.Dir)
		if err != nil {
			continue
		}
		if n.State != "up" || n.Log != "" {
			disks[disk] += 0
		} else {
			disks[disk] += n.Shards
		}
	}
	var weights []int
	for _, w := range disks {
		weights = append(weights, w)
	}
	slices.Sort(weights)
	s := spread{Disks: len(weights)}
	need, sum := walrus.Geometry{Shards: shards}.SourcePrimary(), 0
	for i, w := range weights { // the smallest ones are the worst to be left with
		if sum += w; sum >= need && shards > 0 {
			s.DisksNeeded = i + 1
			break
		}
	}
	return s
}

// deviceOf returns the number of the device on which a folder lies.
func deviceOf(dir string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	return st.Dev, err
}

// text says what spread means to a person.
func (s spread) text() string {
	switch {
	case s.Disks <= 1:
		return "on this machine only: not a backup"
	case s.DisksNeeded == 0:
		return fmt.Sprintf("on %d disks, of which not even all would bring the drive back now", s.Disks)
	case s.DisksNeeded == s.Disks:
		return fmt.Sprintf("on %d disks: it takes all of them to bring the drive back", s.Disks)
	}
	return fmt.Sprintf("on %d disks: any %d of them bring the drive back", s.Disks, s.DisksNeeded)
}
