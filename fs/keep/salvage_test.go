package keep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// head returns the segment of the newest generation.
func (m *machine) head() index.SegmentRow {
	m.Helper()
	state, err := m.db.Anchored(context.Background())
	m.must(err)
	return m.segmentOf(state.Anchor.Generation)
}

// mkdir makes a folder.
func (m *machine) mkdir(parent index.Ino, name string) index.Ino {
	m.Helper()
	attr, err := m.db.Create(context.Background(), index.CreateRequest{Parent: parent, Name: []byte(name), Mode: 0o040755})
	m.must(err)
	m.c.Wake()
	return attr.Ino
}

func (m *machine) rename(from index.Ino, name string, to index.Ino, as string) {
	m.Helper()
	_, err := m.db.Rename(context.Background(), index.RenameRequest{OldParent: from, OldName: []byte(name), NewParent: to, NewName: []byte(as)})
	m.must(err)
	m.c.Wake()
}

// salvageScene is a drive with a hole: what is said of it below, in and above the hole.
//
//	below:  old (deleted above), stays, partly, whole, moved
//	hole:   folder, hidden in it, changed (new), partly (rewritten in part), between (partly)
//	above:  above, folder/inside, whole (rewritten whole), partly (in part again), changed (in part)
type salvageScene struct {
	*live
	stays, below, whole, above, inside     []byte
	folderIno, oldIno, changedIno, pastIno index.Ino
}

func newSalvageScene(t *testing.T) *salvageScene {
	w := newWorld(t)
	s := &salvageScene{live: &live{machine: w.machine(t.TempDir())}}
	s.stays, s.below, s.above, s.inside = content(1, 1000), content(2, 200_000), content(3, 3000), content(4, 4000)
	s.oldIno = s.put("old", content(5, 1000))
	s.put("stays", s.stays)
	s.put("partly", s.below)
	s.put("whole", content(6, 300_000))
	s.pastIno = s.put("saved", content(11, 500))
	s.drain()
	s.must(s.stage.Remove(s.ino("partly"))) // so that only what changes is stored
	below := s.head().Number

	s.folderIno = s.mkdir(index.Root, "folder")
	s.changedIno = s.put("changed", content(7, 200_000))
	partly := s.rewrite("partly", s.below, content(8, 5000))
	s.drain()
	hole, err := s.db.Segments(context.Background(), index.SegmentFilter{After: below}) // more than one if this was slow
	s.must(err)
	s.must(s.stage.Remove(s.ino("partly")))
	s.must(s.stage.Remove(s.changedIno))

	s.put("above", s.above)
	s.put("inside", s.inside)
	s.rename(index.Root, "inside", s.folderIno, "inside")
	s.drain()
	s.rewrite("partly", partly, content(9, 7000))
	s.rewrite("changed", content(7, 200_000), content(10, 100))
	s.whole = s.rewrite("whole", content(6, 300_000), content(12, 300_000))
	s.put("tmp", content(13, 600))
	s.rename(index.Root, "tmp", index.Root, "saved")
	_, err = s.db.Unlink(context.Background(), index.Root, []byte("old"))
	s.must(err)
	s.c.Wake()
	s.drain()
	for _, segment := range hole {
		s.destroy(segment.Blob)
	}
	return s
}

// file reads what a restored index has at a path.
func (s *salvageScene) at(m *machine, path string) []byte {
	s.Helper()
	ctx := context.Background()
	at := index.Root
	for _, name := range strings.Split(path, "/") {
		attr, err := m.db.Lookup(ctx, at, []byte(name))
		if err != nil {
			s.Errorf("%s: %v", path, err)
			return nil
		}
		at = attr.Ino
	}
	return m.contentOf(at)
}

// TestRestoreSalvages: what readable generations above a hole tell all of is
// there, what they tell in part is as it was below, and all is reported. Versions
// are never mixed. It goes on from there, and the next restore has it too.
func TestRestoreSalvages(t *testing.T) {
	t.Parallel()
	s := newSalvageScene(t)
	for _, accept := range []bool{false, true} {
		dir := t.TempDir()
		report, err := s.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.AcceptLoss = !accept, accept })
		s.must(err)
		if report.Writer != accept || len(report.Passed) == 0 || len(report.Problems) > 0 {
			t.Errorf("report: %+v", report)
		}
		s.wantsReport(&report)
		m := s.machine.machine(dir)
		s.wantsSalvaged(m)
		if !accept {
			continue
		}
		m.put("next", content(20, 100))
		m.drain()
		again := t.TempDir()
		report, err = s.restore(again, readOnly)
		s.must(err)
		if len(report.Passed)+len(report.Problems)+report.MissedIn+report.LostIn > 0 {
			t.Errorf("report: %+v", report)
		}
		s.wantsSalvaged(s.machine.machine(again))
	}
}

func (s *salvageScene) wantsSalvaged(m *machine) {
	s.Helper()
	problems, err := m.db.Check(context.Background())
	s.must(err)
	if len(problems) > 0 {
		s.Errorf("not sound: %q", problems)
	}
	for path, want := range map[string][]byte{
		"stays": s.stays, "above": s.above, "whole": s.whole, "saved": content(13, 600),
		"partly": s.below, // neither of the two newer versions is known whole
		fmt.Sprintf("%s/%d/inside", index.LostFolder, s.folderIno): s.inside, // the folder has changed, and its name is not known
		index.LostFolder + "/" + name(s.oldIno, "old"):             content(5, 1000),
		index.LostFolder + "/" + name(s.pastIno, "saved"):          content(11, 500),
	} {
		if got := s.at(m, path); string(got) != string(want) {
			s.Errorf("%s: %d bytes that differ from the %d that were written", path, len(got), len(want))
		}
	}
	for _, name := range []string{"changed", "folder", "old", "tmp"} {
		if _, err := m.db.Lookup(context.Background(), index.Root, []byte(name)); !errors.Is(err, index.ErrNotExist) {
			s.Errorf("%s is there: %v", name, err)
		}
	}
}

func (s *salvageScene) wantsReport(r *keep.Report) {
	s.Helper()
	var paths []string
	for _, f := range r.Salvaged {
		paths = append(paths, strings.TrimPrefix(f.Path, "/"+index.LostFolder))
		lost := strings.HasPrefix(f.Path, "/"+index.LostFolder)
		if told := len(f.Uncertain) > 0; told != (lost || f.Path == "/whole" || f.Path == "/partly") {
			s.Errorf("%+v", f)
		}
	}
	want := []string{"/above", fmt.Sprintf("/%d", s.folderIno), fmt.Sprintf("/%d/inside", s.folderIno), "/" + name(s.oldIno, "old"), "/" + name(s.pastIno, "saved"), "/saved", "/whole"}
	slices.Sort(paths)
	slices.Sort(want)
	if !slices.Equal(slices.DeleteFunc(paths, func(p string) bool { return p == "/partly" }), want) {
		s.Errorf("salvaged %q, want %q", paths, want)
	}
	if want := []string{"/partly", name(s.changedIno, "")}; !slices.Equal(r.Missed, want) {
		s.Errorf("missed %q, want %q", r.Missed, want)
	}
}

// name is that of an inode in lost+found, or in a report if it has none.
func name(ino index.Ino, last string) string {
	if last == "" {
		return "inode " + fmt.Sprint(ino)
	}
	return fmt.Sprint(ino) + "-" + last
}

// TestRestoreSalvagesWhatCanBeRead: content in segments that nodes or ledger do
// not have any more does not take the place of an older version.
func TestRestoreSalvagesWhatCanBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	l := &live{machine: m}
	old := content(1, 100_000)
	m.put("a", old)
	m.drain()
	l.rewrite("a", old, content(2, 100_000))
	m.drain()
	hole := m.head()
	attr, err := m.db.Lookup(context.Background(), index.Root, []byte("a"))
	m.must(err)
	mode := uint32(0o640)
	_, err = m.db.SetAttr(context.Background(), attr.Ino, index.Change{Mode: &mode})
	m.must(err)
	m.c.Wake()
	m.drain()
	w.destroy(hole.Blob)
	dir := t.TempDir()
	report, err := w.restore(dir, readOnly)
	w.must(err)
	r := w.machine(dir)
	if got := r.contentOf(attr.Ino); string(got) != string(old) {
		t.Error("the older version has gone")
	}
	now, err := r.db.Get(context.Background(), attr.Ino)
	w.must(err)
	if now.Mode&0o777 != mode || len(report.Salvaged) != 1 || len(report.Salvaged[0].Uncertain) == 0 {
		t.Errorf("mode %o, salvaged %+v", now.Mode, report.Salvaged)
	}
}

// TestRestoreSalvagesBelowAnUnreadableHead: the head alone told where the third generation
// lies, and it cannot be read; but nobody else than the anchor's writer has sealed that.
func TestRestoreSalvagesBelowAnUnreadableHead(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1<<30)
	for range 4 {
		l.grow()
	}
	holes := []uint64{l.moments[3].generation, l.moments[1].generation}
	for _, g := range holes {
		l.destroy(l.segmentOf(g).Blob)
	}
	dir := t.TempDir()
	report, err := l.restore(dir, readOnly)
	l.must(err)
	if report.Generation != l.moments[0].generation || !slices.Equal(passed(report), holes) || report.SalvagedIn != 1 {
		t.Errorf("restored %d without %v: %+v", report.Generation, passed(report), report.Salvaged)
	}
	for _, f := range report.Salvaged {
		if f.Generation != l.moments[2].generation || len(f.Uncertain) == 0 {
			t.Errorf("%+v", f)
		}
	}
	l.wants(dir, l.salvagedFrom(0, holes))
}

// TestRestoreSalvagesNothingStrange: what only a search finds above a hole is of a history
// that may be another one, if the anchor's writer has not sealed it.
func TestRestoreSalvagesNothingStrange(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1<<30)
	for range 4 {
		l.grow()
	}
	// The third generation is gone, and one of its number stands there that some other
	// machine with the drive's key has made. Nothing leads to either.
	third := l.segmentOf(l.moments[2].generation)
	l.destroy(l.segmentOf(l.moments[3].generation).Blob)
	_, err := l.world.ledger.Delete(context.Background(), chain.TxID{9}, []walrus.ObjectID{third.Object})
	l.must(err)
	l.forge(&index.Trailer{
		Drive: id, Generation: third.Number, Previous: l.moments[1].generation, NextIno: 1 << 20,
		Inodes: []index.InodeRow{{Ino: 1 << 19, Mode: 0o40755, Version: 1}},
		Names:  []index.NameRow{{Parent: index.Root, Name: []byte("stray"), Ino: 1 << 19}},
	}, 2)
	l.destroy(l.segmentOf(l.moments[1].generation).Blob)
	dir := t.TempDir()
	report, err := l.restore(dir, readOnly)
	l.must(err)
	if report.Generation != l.moments[0].generation || report.SalvagedIn != 0 {
		t.Errorf("restored %d: %+v", report.Generation, report.Salvaged)
	}
	l.wants(dir, l.moments[0].files)
}
