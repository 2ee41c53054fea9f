package main

import (
	"context"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// patterns are for names of files, as in index.CheckPattern.
type patterns []string

// defaultIgnore is what editors, office programs and desktops leave beside files for a while, and
// what a network file system calls a deleted file that is open. Names under which somebody keeps
// what he cares for are not among them: not *.part (a download that is not finished), not ._*
// (where macOS puts attributes), not 4913 (vim's trial, which is gone at once, but a mail in an MH folder, too).
var defaultIgnore = patterns{
	".*.sw[j-p]", ".sw[j-p]", "*.swp", // vim
	".~lock.*#", // LibreOffice
	".DS_Store", "Thumbs.db",
	".nfs0000*", ".fuse_hidden*",
}

// ignored returns the names of files that stay on this machine.
func (c *config) ignored() patterns {
	if c.Ignore == nil {
		return defaultIgnore
	}
	return append(patterns{}, *c.Ignore...) // not nil
}

// ignored is what stays on this machine.
type ignored struct {
	Files int64 `json:"ignored_files"`
	Bytes int64 `json:"ignored_bytes"`
}

func (d *drive) ignored(ctx context.Context) (ignored, error) {
	usage, err := d.index.Usage(ctx)
	return ignored{Files: usage.IgnoredFiles, Bytes: usage.Ignored}, err
}

// text says it in words.
func (i ignored) text() string {
	return ui.Plural(int(i.Files), "file", "files") + " with " + ui.Size(i.Bytes)
}

// noteIgnored tells of files that are stored nowhere else, if there are any.
func (a *app) noteIgnored(i ignored) {
	if i.Files > 0 && !a.JSON() {
		a.Note("only on this machine, since the ignore list has their names: %s", i.text())
	}
}
