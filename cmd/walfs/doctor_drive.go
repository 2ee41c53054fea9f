package main

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
)

// indexHealth is the answer of opIndexCheck.
type indexHealth struct {
	Problems []string `json:"problems"`
}

func (d *drive) answerIndexCheck(ctx context.Context, _ nothing, _ func(any) error) (indexHealth, error) {
	problems, err := d.index.Check(ctx)
	return indexHealth{Problems: problems}, err
}

func (x *examination) index(found indexHealth) {
	for _, problem := range found.Problems {
		x.add(failing, "index", problem, "walfs check --repair puts right what it can, and says what else can be done")
	}
	if len(found.Problems) == 0 {
		x.ok("index", "sound")
	}
}

func (x *examination) mount(s status) {
	switch {
	case s.Detached:
		x.warn("mount", "end the programs that use it", "%s is no mount any more, but programs have files of it open", s.Mountpoint)
	case s.ReadOnly:
		x.warn("mount", "", "mounted read-only at %s", s.Mountpoint)
	case s.Mounted:
		x.ok("mount", "mounted at %s", s.Mountpoint)
	default:
		x.ok("mount", "not mounted")
	}
}

// copyAge is how old the newest copy of the index may be: a drive that is not
// mounted for days makes none.
const copyAge = 8 * 24 * time.Hour

// backup tells how old the newest copy of the index is.
func (x *examination) backup(s status) {
	const hint = "a mounted drive makes one a day, if the disk has room"
	made, err := time.Parse(time.RFC3339, s.IndexCopy)
	switch {
	case s.IndexCopy == "" || err != nil:
		x.ok("index copy", "none yet; a mounted drive makes one a day")
	case time.Since(made) > copyAge:
		x.warn("index copy", hint, "the newest local copy of the index is of %s", s.IndexCopy)
	default:
		x.ok("index copy", "the newest of %d is of %s", s.IndexCopies, s.IndexCopy)
	}
}

// nodes compares the shards that are up with what storing and reading need.
func (x *examination) nodes(s status) {
	up, shards, names := 0, 0, 0
	for _, n := range s.Nodes {
		shards += n.Shards
		if n.State == "up" {
			up += n.Shards
			names++
		}
	}
	const hint = "walfs node list shows them; walfs node start NAME takes one up, walfs node replace NAME gives one whose folder is lost a new one"
	g := walrus.Geometry{Shards: shards}
	switch {
	case up < g.SourcePrimary():
		x.add(failing, "nodes", "too few are up to read what is not on this machine", hint)
	case !g.IsQuorum(up):
		x.add(failing, "nodes", "too few are up to store anything; what is written waits on this machine", hint)
	case names < len(s.Nodes):
		x.warn("nodes", hint, "%d of %d are up, in epoch %d", names, len(s.Nodes), s.Epoch)
	default:
		x.ok("nodes", "all %d are up, in epoch %d", names, s.Epoch)
	}
}

// money tells whether the wallet has enough to renew everything; if not, that is a problem of status.
func (x *examination) money(s status) {
	if s.RenewalShort == 0 {
		x.ok("money", "%s", s.money.text())
	}
}

// soonEpochs is how many epochs before its end storage gets a warning. A drive that is
// mounted has renewed it by then.
const soonEpochs = commit.DefaultEpochs / 4

// expiry tells how long what is stored is paid for.
func (x *examination) expiry(s status) {
	hint := "a drive that is mounted renews it"
	if s.Mounted {
		hint = "it is not renewed: walfs status shows why; walfs get -r / DIR copies all to another place"
	}
	switch left := int64(s.NearestEndEpoch) - int64(s.Epoch); {
	case s.NearestEndEpoch == 0:
		x.ok("storage", "nothing is stored yet")
	case left <= 0:
		x.add(failing, "storage", "what was paid for some data has ended: nodes may drop it", hint)
	case left < soonEpochs:
		x.warn("storage", hint, "some data is paid for only until epoch %d; this is epoch %d", s.NearestEndEpoch, s.Epoch)
	default:
		x.ok("storage", "all is paid for until epoch %d; this is epoch %d", s.NearestEndEpoch, s.Epoch)
	}
	quota, more := "", ""
	if s.Quota > 0 {
		quota, more = fmt.Sprintf(", with a quota of %s", ui.Size(s.Quota)), "; or raise quota in config.toml, and mount again"
	}
	if s.FreeBytes == 0 {
		x.add(failing, "quota", "nothing more can be written"+quota, "make room on the disks of the state folder and the nodes"+more)
	} else {
		x.ok("quota", "%s can still be written%s", ui.Size(s.FreeBytes), quota)
	}
}
