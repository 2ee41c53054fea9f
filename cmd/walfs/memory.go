package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
)

// memory is the file in which this machine keeps the most that the ledger ever
// said of a drive. It lies outside of all state folders, so that an older ledger
// is noticed by a restore into a new one too: $XDG_STATE_HOME/walfs/drives/ID.json.
type memory struct {
	path string // "": this user has no folder for it
}

// remembered is what the file holds.
type remembered struct {
	Generation uint64    `json:"generation"`
	Head       string    `json:"head"`   // blob ID
	Anchor     string    `json:"anchor"` // object ID
	Version    uint64    `json:"version"`
	Time       time.Time `json:"time"`
}

// memoryOf returns what is remembered of a drive.
func memoryOf(drive [16]byte, getenv func(string) string) memory {
	base, err := xdg(getenv, "XDG_STATE_HOME", ".local/state")
	if err != nil { // no HOME: nothing can be remembered
		return memory{}
	}
	return memory{filepath.Join(base, "walfs", "drives", hex.EncodeToString(drive[:])+".json")}
}

// load returns the most that was seen, the zero value if nothing was.
func (m memory) load() (keep.Seen, error) {
	if m.path == "" {
		return keep.Seen{}, nil
	}
	text, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return keep.Seen{}, nil
	}
	if err != nil {
		return keep.Seen{}, fmt.Errorf("look up what was seen of the drive: %w", err)
	}
	var r remembered
	err = json.Unmarshal(text, &r)
	seen := keep.Seen{Generation: r.Generation, Version: r.Version, Time: r.Time}
	if err == nil {
		seen.Head, err = walrus.ParseBlobID(r.Head)
	}
	if err == nil {
		seen.Object, err = walrus.ParseObjectID(r.Anchor)
	}
	if err != nil {
		return keep.Seen{}, ui.Errorf(ui.Failed, "look up what was seen of the drive: %s: %w", m.path, err).
			WithHint("remove the file if you trust the ledger")
	}
	return seen, nil
}

// note remembers what was seen now, if it is more than what is remembered.
func (m memory) note(now keep.Seen) error {
	before, err := m.load()
	if err == nil && (now.Generation < before.Generation || now.Generation == before.Generation && now.Version <= before.Version) {
		return nil
	}
	return m.set(now) // what cannot be read is written anew
}

// set remembers what was seen now, although it may be less.
func (m memory) set(now keep.Seen) error {
	if m.path == "" {
		return nil
	}
	text, err := json.Marshal(remembered{now.Generation, now.Head.String(), now.Object.String(), now.Version, now.Time})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return fmt.Errorf("remember what was seen of the drive: %w", err)
	}
	return writeWhole(m.path, append(text, '\n'))
}

// rememberAfter is how long after a change of an open drive it is looked whether its anchor has moved.
const rememberAfter = 30 * time.Second

// rememberAll notes where the anchor is, until ctx ends, and then once more. It sleeps while nothing changes.
func (d *drive) rememberAll(ctx context.Context) error {
	defer d.remember(context.WithoutCancel(ctx))
	for {
		changed := d.index.NextChange()
		d.remember(context.WithoutCancel(ctx))
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(rememberAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// remember notes where the anchor is. That it cannot is not worth more than a line in the log.
func (d *drive) remember(ctx context.Context) {
	state, err := d.index.Anchored(ctx)
	if err == nil && state.Anchor != nil && state.Version > 0 {
		a := state.Anchor
		err = d.memory.note(keep.Seen{
			Generation: a.Generation, Head: a.Head, Object: state.Object, Version: state.Version, Time: time.Unix(0, a.Time),
		})
	}
	if err != nil {
		d.log.Warn("where the anchor is is not remembered", "err", err)
	}
}
