package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
)

// status is what walfs status prints. Sizes are in bytes; those by state are of files.
type status struct {
	Drive           string       `json:"drive"`
	Home            string       `json:"home"`
	Mounted         bool         `json:"mounted"`
	Mountpoint      string       `json:"mountpoint"`
	Connection      int          `json:"connection,omitempty"` // the kernel's number of the mount
	Detached        bool         `json:"detached,omitempty"`   // not mounted there any more, but in use
	Closing         bool         `json:"closing,omitempty"`    // not in use any more: the process is about to end
	ReadOnly        bool         `json:"read_only"`
	World           string       `json:"world"`
	Sealed          bool         `json:"sealed"`
	Files           int64        `json:"inodes"`
	DirtyBytes      int64        `json:"dirty_bytes"`
	StagedBytes     int64        `json:"staged_bytes"`
	StoringBytes    int64        `json:"storing_bytes"`
	CertifiedBytes  int64        `json:"certified_bytes"`
	ignored                      // by their names
	StoredBytes     int64        `json:"stored_bytes"` // on the nodes
	PendingJobs     int          `json:"pending_jobs"`
	Segments        int          `json:"pending_segments"`
	Generation      uint64       `json:"generation"`
	GarbageBytes    int64        `json:"garbage_bytes"` // condemned, on the nodes
	Blobs           int          `json:"blobs"`
	CacheBytes      int64        `json:"cache_bytes"`
	CopiesBytes     int64        `json:"copies_bytes"`
	CacheBudget     int64        `json:"cache_budget_bytes"` // for both
	FreeBytes       int64        `json:"free_bytes"`         // what can still be stored, by the disks and the quota
	Quota           int64        `json:"quota_bytes,omitempty"`
	TrashFiles      int64        `json:"trash_files"`
	TrashBytes      int64        `json:"trash_bytes"`
	Nodes           []nodeStatus `json:"nodes"`
	Epoch           walrus.Epoch `json:"epoch"`
	NearestEndEpoch walrus.Epoch `json:"nearest_end_epoch"` // 0: nothing is paid for yet
	EndedBlobs      int          `json:"ended_blobs"`       // their storage has ended, needed or not
	LostFiles       int          `json:"lost_files"`        // that were certified and cannot be read any more
	LostBytes       int64        `json:"lost_bytes"`        // of all files with content in those
	money
	undecided
	KeysExported bool             `json:"keys_exported"`
	IndexCopy    string           `json:"index_copy,omitempty"` // when the newest local copy was made, as RFC 3339
	IndexCopies  int              `json:"index_copies"`
	KeysAtRisk   bool             `json:"keys_at_risk"`          // what opens them lies in the state folder alone
	Passing      *drivefs.Passing `json:"passthrough,omitempty"` // of the mount
	spread
	// BytesPerSecond is how fast things are stored, over the last half minute.
	BytesPerSecond int64    `json:"bytes_per_second"`
	SecondsLeft    *int64   `json:"seconds_left,omitempty"`  // until all is certified at that rate; missing: it cannot be told
	OldestUnsent   string   `json:"oldest_unsent,omitempty"` // since when the oldest of what is not certified waits, as RFC 3339
	NextRetry      string   `json:"next_retry,omitempty"`    // when what failed is tried again, as RFC 3339
	LastError      string   `json:"last_error,omitempty"`
	Problems       []string `json:"problems"`
}

// nodeStatus is a storage node in status and node list.
type nodeStatus struct {
	Name        string `json:"name"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Shards      int    `json:"shards"`
	Blobs       int    `json:"blobs"`
	Bytes       int64  `json:"bytes"`
	SliverReads uint64 `json:"sliver_reads"`
	BadSlots    int    `json:"bad_slots"`
	// BadSlivers names what is damaged on the node or was answered wrongly, as
	// blob/axis/index; axis 2 is metadata. At most maxListed of each.
	BadSlivers []string `json:"bad_slivers,omitempty"`
	Dir        string   `json:"dir"`
	Scrubbed   string   `json:"scrubbed,omitempty"`   // when all of it was last read and checked, as RFC 3339
	Log        string   `json:"ledger_log,omitempty"` // why its copy of the ledger is not whole
	absent     bool     // its folder is not there
	healing
}

func newStatusCommand(a *app) *cobra.Command {
	every := span(watchEvery)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is safe, what is under way, and what is wrong",
		Long: "Status shows the bytes of files by state: dirty (written), staged (safe on this machine),\n" +
			"storing, and certified (a fresh machine with the keys gets them back). While something is on its\n" +
			"way it also tells how fast and how long still, since when the oldest of it waits, and when what\n" +
			"failed is tried again. With --watch it looks again every two seconds until it is interrupted.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("watch") {
				return a.watchStatus(cmd.Context(), time.Duration(every))
			}
			s, err := a.askStatus(cmd.Context())
			if err != nil {
				return err
			}
			return a.result("status", s, func() error { return a.Print("%s", a.statusText(s)) })
		},
	}
	cmd.Flags().VarP(&every, "watch", "w", "show it again every `TIME`, as in --watch=10s")
	cmd.Flags().Lookup("watch").NoOptDefVal = watchEvery.String()
	return cmd
}

func (d *drive) answerStatus(ctx context.Context, _ nothing, _ func(any) error) (s status, err error) {
	at, err := d.committer.Status(ctx)
	if err != nil {
		return s, err
	}
	usage, err := d.index.Usage(ctx)
	if err != nil {
		return s, err
	}
	s = status{
		Drive: fmt.Sprintf("%x", d.about.ID), Home: d.home.dir, World: "embedded", Sealed: !d.about.Plain,
		Files: usage.Inodes, DirtyBytes: at.Dirty, StagedBytes: at.Staged, StoringBytes: at.Storing, CertifiedBytes: at.Certified,
		ignored:     ignored{Files: at.IgnoredFiles, Bytes: at.Ignored},
		PendingJobs: at.Jobs, Segments: at.InFlight, Generation: at.Generation, LastError: at.LastError,
		BytesPerSecond: at.Rate, OldestUnsent: timeOf(at.Oldest), NextRetry: timeOf(at.NextTry),
		CacheBytes: d.cache.Used(), CacheBudget: d.budget, Problems: append([]string{}, at.Problems...),
	}
	s.SecondsLeft = secondsLeft(at.Dirty+at.Staged+at.Storing, at.Rate)
	copies, err := keep.ListBackups(d.home.backups())
	if err != nil {
		return s, err
	}
	if s.IndexCopies = len(copies); len(copies) > 0 {
		s.IndexCopy = timeOf(copies[0].Time)
	}
	s.KeysExported, s.KeysAtRisk = d.home.keysExported(), d.home.keysAtRisk(d.config)
	where := d.mounted()
	s.Mountpoint, s.Connection, s.Detached, s.Closing = where.dir, where.connection, where.detached, where.closing
	s.Mounted, s.ReadOnly = where.dir != "" && !where.detached, where.readOnly != nil
	if where.readOnly != nil && !errors.Is(where.readOnly, errAskedReadOnly) {
		s.Problems = append(s.Problems, "read-only: "+sayReadOnly(where.readOnly))
	} else if why := d.whyReadOnly(ctx, nil); why != nil {
		s.ReadOnly = true
		s.Problems = append(s.Problems, "read-only: "+why.Error()+"; walfs takeover makes this machine the writer")
	}
	s.CopiesBytes = d.index.CopiesSum().Bytes
	if budget := d.cache.Budget(); s.CopiesBytes > budget {
		s.Problems = append(s.Problems, fmt.Sprintf("copies that are pinned, in use, or the only ones take %s, more than the cache may have now: %s",
			ui.Size(s.CopiesBytes), ui.Size(budget)))
	}
	if err := d.room.refresh(ctx, roomStale); err != nil {
		return s, err
	}
	s.FreeBytes = d.room.get().Free
	if s.Quota = int64(d.config.Quota); s.Quota > 0 {
		used, err := d.index.Lengths(ctx)
		if err != nil {
			return s, err
		}
		s.FreeBytes = max(0, min(s.FreeBytes, s.Quota-used))
	}
	trash := d.index.TrashSum()
	s.TrashFiles, s.TrashBytes = trash.Files, trash.Bytes
	if where.dir != "" {
		passing := d.fsys.Passing()
		s.Passing = &passing
	}
	s.addNodes(d.nodes())
	s.spread = spreadOf(s.Nodes, deviceOf)
	paid, err := d.index.Stored(ctx)
	if err != nil {
		return s, err
	}
	s.NearestEndEpoch = paid.NearestEnd
	condemned, err := d.index.Condemned(ctx)
	if err != nil {
		return s, err
	}
	for _, c := range condemned {
		if n, err := d.blobs.Geometry().EncodedSize(c.Size); err == nil {
			s.GarbageBytes += int64(n)
		}
	}
	if err := d.addLost(ctx, &s); err != nil {
		return s, err
	}
	d.addLedger(ctx, &s, at)
	d.addProblems(&s)
	return s, nil
}

// garbageShare is the part of what is stored from which on garbage is worth a line.
const garbageShare = 10

func (s *status) addNodes(all []nodeStatus) {
	s.Nodes = all
	for _, n := range all {
		s.StoredBytes += n.Bytes
		s.Blobs = max(s.Blobs, n.Blobs)
	}
}

// maxListed is how many bad slivers of a node are listed by name, maxShown how
// many of them a problem's line names.
const (
	maxListed = 256
	maxShown  = 3
)

func newNodeStatus(n embedded.NodeStatus) nodeStatus {
	s := nodeStatus{
		Name: n.Name, State: n.State, Reason: n.Reason, Shards: n.Shards, Blobs: n.Blobs, Bytes: n.Bytes,
		SliverReads: n.SliverReads, BadSlots: len(n.BadSlots), Dir: n.Dir, absent: n.Absent,
	}
	for _, bad := range n.BadSlots[:min(len(n.BadSlots), maxListed)] {
		s.BadSlivers = append(s.BadSlivers, bad.ID.String())
	}
	if n.Log != nil {
		s.Log = n.Log.Error()
	}
	return s
}

// firstOf names the first slivers of a list.
func firstOf(names []string) string {
	text := strings.Join(names[:min(len(names), maxShown)], ", ")
	if len(names) > maxShown {
		text += ", …"
	}
	return text
}

// addLost adds the files of which a restore found that they cannot be read any more.
func (d *drive) addLost(ctx context.Context, s *status) error {
	lost, n, err := keep.LostFiles(ctx, d.index)
	if err != nil || n == 0 {
		return err
	}
	s.LostFiles += n
	var names []string
	for _, l := range lost {
		names = append(names, ui.Clean(l.Path))
	}
	s.Problems = append(s.Problems, fmt.Sprintf("%s lost: %s", ui.Plural(n, "file is", "files are"), firstOf(names)))
	return nil
}

// addLedger adds what the ledger says; that it does not answer is a problem, not an error.
func (d *drive) addLedger(ctx context.Context, s *status, at commit.Status) {
	d.addUndecided(s)
	state, err := d.ledger.State(ctx)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("the ledger does not answer: %v", err))
		return
	}
	s.Epoch = state.Epoch
	s.Problems = append(s.Problems, d.renewer.Problems()...)
	s.Problems = append(s.Problems, d.collector.Problems()...)
	s.Problems = append(s.Problems, d.watch.Problems()...)
	if looked := d.renewer.Found().Epoch != 0; !looked && s.NearestEndEpoch != 0 && s.NearestEndEpoch <= s.Epoch {
		s.Problems = append(s.Problems, fmt.Sprintf("storage of some data ended in epoch %d; this is epoch %d", s.NearestEndEpoch, s.Epoch))
	}
	balance, err := d.ledger.Balance(ctx)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("the wallet cannot be read: %v", err))
		return
	}
	d.addMoney(ctx, s, state, balance)
	d.addFunds(s, state, at)
	ended, err := d.index.Ended(ctx)
	if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("what is lost is not known: %v", err))
	}
	lost := ended.Files - ended.Local
	s.EndedBlobs, s.LostBytes = ended.Segments, ended.Bytes
	s.LostFiles += lost
	if ended.Files > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%s not renewed in time, with %s: %s lost, %s only on this machine",
			ui.Plural(ended.Files, "file was", "files were"), ui.Size(ended.Bytes), ui.Plural(lost, "is", "are"), ui.Plural(ended.Local, "is", "are")))
	}
}

// addProblems adds what is wrong with the nodes and how they stand to the quorums.
func (d *drive) addProblems(s *status) {
	up, shards := 0, 0
	for _, n := range s.Nodes {
		shards += n.Shards
		if n.State == "up" {
			up += n.Shards
		}
		if n.State != "up" && n.Reason != "stopped" {
			hint := ""
			if n.absent {
				hint = fmt.Sprintf("; if it is lost, walfs node replace %s makes the node anew", n.Name)
			}
			s.Problems = append(s.Problems, fmt.Sprintf("%s is down: %s%s", n.Name, n.Reason, hint))
		}
		if n.BadSlots > 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("%s has %s: %s", n.Name, ui.Plural(n.BadSlots, "damaged sliver", "damaged slivers"), firstOf(n.BadSlivers)))
		}
		if n.Log != "" && n.State == "up" {
			s.Problems = append(s.Problems, fmt.Sprintf("%s has no whole copy of the ledger: %s", n.Name, n.Log))
		}
		if text := n.problem(); text != "" {
			s.Problems = append(s.Problems, n.Name+" "+text)
		}
	}
	if n := d.found.Damaged; n > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%s not be read when the drive was opened, for damage in the map of local blocks: walfs check tells more", ui.Plural(n, "file could", "files could")))
	}
	if n := d.found.Lost; n > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("local content of %s that was not certified was gone when the drive was opened: walfs check tells more", ui.Plural(n, "file", "files")))
	}
	if n := d.found.Shelved; n > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("local content of %s that the index does not know was moved to %s", ui.Plural(n, "file", "files"), d.staging.Lost()))
	}
	s.Problems = append(append(s.Problems, d.backups.Problems()...), d.scrubber.Problems()...)
	g := walrus.Geometry{Shards: shards}
	switch {
	case up < g.SourcePrimary():
		s.Problems = append(s.Problems, fmt.Sprintf("%d of %d shards are up: reading needs %d", up, shards, g.SourcePrimary()))
	case !g.IsQuorum(up):
		s.Problems = append(s.Problems, fmt.Sprintf("%d of %d shards are up: storing needs %d", up, shards, g.Quorum()))
	}
	for _, p := range d.blobs.Problems() {
		var names []string
		for _, id := range p.Slivers {
			names = append(names, id.String())
		}
		s.Problems = append(s.Problems, fmt.Sprintf("%s gave %s: %s", p.Node, ui.Plural(p.Wrong, "wrong answer", "wrong answers"), firstOf(names)))
		if i := slices.IndexFunc(s.Nodes, func(n nodeStatus) bool { return n.Name == p.Node }); i >= 0 {
			s.Nodes[i].BadSlivers = append(s.Nodes[i].BadSlivers, names...)
		}
	}
}

// openToAll says what it means that a drive is not sealed.
const openToAll = "who has the nodes' folders can read everything"

func (a *app) statusText(s status) string {
	where := "not mounted"
	switch {
	case s.Mounted:
		where = "mounted at " + s.Mountpoint
	case s.Detached:
		where = "not mounted at " + s.Mountpoint + " any more, in use by programs with files open"
	}
	if s.ReadOnly {
		where += ", read-only"
	}
	up := 0
	for _, n := range s.Nodes {
		if n.State == "up" {
			up++
		}
	}
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, ui.Clean(fmt.Sprintf(format, args...)))
	}
	row("drive", "%s, %s", s.Drive, where)
	row("state", "%s", s.Home)
	if !s.Sealed {
		row("sealed", "no: %s", openToAll)
	}
	row("dirty", "%s", ui.Size(s.DirtyBytes))
	row("staged", "%s, safe on this machine; %s", ui.Size(s.StagedBytes), waiting(s.PendingJobs))
	row("storing", "%s in %s under way%s", ui.Size(s.StoringBytes), blobs(s.Segments), s.pace())
	if oldest, err := time.Parse(time.RFC3339, s.OldestUnsent); err == nil {
		row("oldest", "%s: since then something waits to be certified", sinceText(oldest))
	}
	if next, err := time.Parse(time.RFC3339, s.NextRetry); err == nil {
		row("retry", "in %s%s", ui.Duration(max(0, time.Until(next))), after(s.LastError))
	}
	row("certified", "%s in %s, %s on the nodes", ui.Size(s.CertifiedBytes), blobs(s.Blobs), ui.Size(s.StoredBytes))
	if s.GarbageBytes*garbageShare > s.StoredBytes {
		row("garbage", "%s on the nodes that no file needs, kept for older states of the drive", ui.Size(s.GarbageBytes))
	}
	if s.ignored.Files > 0 {
		row("ignored", "%s, only on this machine", s.ignored.text())
	}
	row("local", "%s of clean copies and %s of slivers, budget %s", ui.Size(s.CopiesBytes), ui.Size(s.CacheBytes), ui.Size(s.CacheBudget))
	quota := ""
	if s.Quota > 0 {
		quota = ", of a quota of " + ui.Size(s.Quota)
	}
	row("room", "%s%s", ui.Size(s.FreeBytes), quota)
	if s.TrashFiles > 0 {
		row("trash", "%s in %s that were deleted: %s trash list", ui.Size(s.TrashBytes), files(s.TrashFiles), a.self)
	}
	row("nodes", "%d of %d up, %s", up, len(s.Nodes), s.spread.text())
	for _, n := range s.Nodes {
		if text := n.text(); text != "" {
			row(n.Name, "%s", text)
		}
	}
	if s.NearestEndEpoch == 0 {
		row("epoch", "%d", s.Epoch)
	} else if s.NearestEndEpoch <= s.Epoch {
		row("epoch", "%d, storage of some data ended in %d", s.Epoch, s.NearestEndEpoch)
	} else {
		row("epoch", "%d, all is paid for until %d and renewed before", s.Epoch, s.NearestEndEpoch)
	}
	row("money", "%s", s.money.text())
	if s.IndexCopy != "" {
		row("index", "copied on %s; %s kept", s.IndexCopy, ui.Plural(s.IndexCopies, "copy is", "copies are"))
	}
	if s.KeysAtRisk {
		row("keys", "never exported: %s key export", a.self)
	}
	for _, problem := range s.Problems {
		row("problem", "%s", problem)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// after says what came before a new try, if that is known.
func after(cause string) string {
	if cause == "" {
		return ""
	}
	return ", after: " + cause
}

func waiting(n int) string { return ui.Plural(n, "file waits", "files wait") }

func blobs(n int) string { return ui.Plural(n, "blob", "blobs") }
