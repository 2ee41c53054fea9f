package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// statusWithin is how long a read of status.json may take; a ledger or a node that does not
// answer is a problem in it then. Tests wait longer.
var statusWithin = 2 * time.Second

// maxQueue is how many lines queue has at most for files, and for segments.
const maxQueue = 1000

// files are what a mount shows in its virtual folder.
func (s *service) files() []drivefs.VirtualFile {
	return []drivefs.VirtualFile{
		{Name: "status.json", Read: s.statusText},
		{Name: "queue", Read: s.d.queueText},
		{Name: "errors", Read: func(context.Context) ([]byte, error) { return s.d.recent.text(), nil }},
		{Name: "metrics", Read: s.metricsText},
	}
}

// statusText is what walfs status --json prints.
func (s *service) statusText(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	at, err := s.d.answerStatus(ctx, nothing{}, nil)
	if err != nil {
		return nil, err
	}
	return ui.Line("status", at)
}

// queueText has a line for each file that waits to be stored, and for each segment on its way:
// what it is, bytes, how long it waits, how often it failed, path or number, and why it failed.
func (d *drive) queueText(ctx context.Context) ([]byte, error) {
	jobs, err := d.index.Claim(ctx, maxQueue, true)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := range jobs {
		j := &jobs[i]
		path, err := d.index.Path(ctx, j.Ino)
		if errors.Is(err, index.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "file %d %s %d %s%s\n", j.Size, short(j.Waited), j.Tries, ui.Clean(path), because(j.Error))
	}
	if len(jobs) == maxQueue {
		fmt.Fprintf(&b, "# and more: the oldest %d are shown\n", maxQueue)
	}
	segments, err := d.index.Segments(ctx, index.SegmentFilter{Below: index.Finished, Max: maxQueue})
	if err != nil {
		return nil, err
	}
	for i := range segments {
		r := &segments[i]
		fmt.Fprintf(&b, "segment %d %s %d %d %s%s\n", r.Size, short(time.Since(r.PackedAt)), r.Tries, r.Number, r.Stage, because(r.Error))
	}
	return []byte(b.String()), nil
}

func short(d time.Duration) time.Duration { return max(0, d).Round(time.Second) }

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + ui.Clean(strings.Join(strings.Fields(text), " "))
}

// metricsText is in the text format of Prometheus.
func (s *service) metricsText(ctx context.Context) ([]byte, error) {
	d := s.d
	pending, err := d.index.Pending(ctx)
	if err != nil {
		return nil, err
	}
	usage, err := d.index.Usage(ctx)
	if err != nil {
		return nil, err
	}
	var m metrics
	m.requests(s.fsys.Counts())
	cached := d.cache.Stats()
	m.one("walfs_cache_hits_total", "counter", "Slivers found in the cache.", cached.Hits)
	m.one("walfs_cache_misses_total", "counter", "Slivers that were not in the cache.", cached.Misses)
	m.one("walfs_cache_corrupt_total", "counter", "Cached slivers that were dropped as damaged.", cached.Corrupt)
	m.one("walfs_cache_evicted_total", "counter", "Cached slivers that made room.", cached.Evicted)
	m.one("walfs_cache_bytes", "gauge", "Bytes of cached slivers.", d.cache.Used())
	m.one("walfs_copies_bytes", "gauge", "Bytes of clean local copies.", d.index.CopiesSum().Bytes)
	m.one("walfs_cache_budget_bytes", "gauge", "Bytes that both may take.", d.budget)
	m.one("walfs_queue_files", "gauge", "Files that wait to be stored.", pending.Jobs)
	m.one("walfs_queue_bytes", "gauge", "Bytes of those files.", pending.Bytes)
	m.one("walfs_queue_segments", "gauge", "Segments that are packed and not certified.", pending.Segments)
	pass := s.fsys.Passing()
	on := 0
	if pass.On {
		on = 1
	}
	m.one("walfs_passthrough", "gauge", "1 when the kernel may read and write whole files in staging by itself.", on)
	m.one("walfs_passthrough_opens_total", "counter", "Opens that did.", pass.Opens)
	m.one("walfs_passthrough_failures_total", "counter", "Opens that the kernel refused to let.", pass.Failed)
	m.head("walfs_bytes", "gauge", "Bytes of files by state.")
	for _, state := range []struct {
		name  string
		bytes int64
	}{{"dirty", usage.Dirty}, {"staged", usage.Staged}, {"storing", usage.Storing}, {"certified", usage.Certified}, {"local", usage.Ignored}} {
		m.labelled("walfs_bytes", "state", state.name, state.bytes)
	}
	m.one("walfs_inodes", "gauge", "Files, folders and others.", usage.Inodes)
	m.one("walfs_room_bytes", "gauge", "Bytes that can still be stored.", d.room.get().Free)
	readOnly := 0
	if s.mounted().readOnly != nil {
		readOnly = 1
	}
	m.one("walfs_read_only", "gauge", "1 while nothing can be written.", readOnly)
	return []byte(m.String()), nil
}

// metrics writes the text format of Prometheus.
type metrics struct{ strings.Builder }

func (m *metrics) head(name, kind, help string) {
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (m *metrics) one(name, kind, help string, value any) {
	m.head(name, kind, help)
	fmt.Fprintf(m, "%s %v\n", name, value)
}

func (m *metrics) labelled(name, label, is string, value any) {
	fmt.Fprintf(m, "%s{%s=%q} %v\n", name, label, is, value)
}

func (m *metrics) requests(c drivefs.Counts) {
	m.head("walfs_requests_total", "counter", "Requests of the kernel by kind.")
	for _, kind := range sortedKeys(c.Requests) {
		m.labelled("walfs_requests_total", "op", kind, c.Requests[kind])
	}
	m.head("walfs_errors_total", "counter", "Requests that failed, by errno. That there is no such name is one too.")
	for _, errno := range sortedKeys(c.Errors) {
		m.labelled("walfs_errors_total", "errno", syscall.Errno(errno).Error(), c.Errors[errno])
	}
	m.one("walfs_read_bytes_total", "counter", "Bytes that the kernel has read.", c.Read)
	m.one("walfs_written_bytes_total", "counter", "Bytes that the kernel has written.", c.Written)
	m.one("walfs_panics_total", "counter", "Requests that ran into a broken invariant.", c.Panics)
}

func sortedKeys[K ~int | ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
