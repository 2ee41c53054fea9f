package ui_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// step lets virtual time pass; all goroutines of the bubble come to rest after it.
func step(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestProgressPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, out, stderr := capture(ui.Config{})
		p := u.Progress("commit", "files")
		p.Total(ui.Count{Items: 40, Bytes: 4 << 30})
		for range 29 {
			p.Add(ui.Count{Bytes: 38 << 20})
			step(time.Second)
		}
		if stderr.Len() > 0 {
			t.Errorf("line after 29 s: %q", stderr)
		}
		p.Add(ui.Count{Items: 12, Bytes: 38 << 20})
		step(1500 * time.Millisecond)
		if want := "commit  12/40 files  1.1/4.0 GiB  38 MiB/s  1m18s\n"; stderr.String() != want {
			t.Errorf("line after 30 s: %q, want %q", stderr, want)
		}
		stderr.Reset()
		step(30 * time.Second) // nothing moves
		if want := "commit  12/40 files  1.1/4.0 GiB  0 B/s\n"; stderr.String() != want {
			t.Errorf("line after a stall: %q, want %q", stderr, want)
		}
		stderr.Reset()
		p.Set(ui.Count{Items: 40, Bytes: 4 << 30}, ui.Count{Items: 40, Bytes: 4 << 30})
		p.End()
		p.End()
		if got := stderr.String(); !strings.HasPrefix(got, "commit  40/40 files  4.0/4.0 GiB  ") || !strings.HasSuffix(got, "  0s\n") {
			t.Errorf("last line: %q", got)
		}
		if out.Len() > 0 {
			t.Errorf("progress on stdout: %q", out)
		}
	})
}

func TestProgressForms(t *testing.T) {
	cases := []struct {
		name        string
		done, total ui.Count
		want        string
	}{
		{"nothing known", ui.Count{}, ui.Count{}, "scan\n"},
		{"items", ui.Count{Items: 60}, ui.Count{}, "scan  60 slivers  2 slivers/s\n"},
		{"items of all", ui.Count{Items: 60}, ui.Count{Items: 180}, "scan  60/180 slivers  2 slivers/s  1m0s\n"},
		{"bytes", ui.Count{Bytes: 3 << 20}, ui.Count{}, "scan  3.0 MiB  102 KiB/s\n"},
		{"bytes of all", ui.Count{Bytes: 30 << 10}, ui.Count{Bytes: 30 << 10}, "scan  30/30 KiB  1.0 KiB/s  0s\n"},
		{"not begun", ui.Count{}, ui.Count{Items: 3, Bytes: 999}, "scan  0/3 slivers  0/999 B  0 B/s\n"},
		{"more than all", ui.Count{Items: 90}, ui.Count{Items: 30}, "scan  90/30 slivers  3 slivers/s  0s\n"},
		{"for decades", ui.Count{Bytes: 30}, ui.Count{Bytes: 1 << 40}, "scan  0.0/1.0 TiB  1 B/s\n"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, _, stderr := capture(ui.Config{})
				p := u.Progress("scan", "slivers")
				p.Set(tc.done, tc.total)
				step(30 * time.Second)
				if stderr.String() != tc.want {
					t.Errorf("got %q, want %q", stderr, tc.want)
				}
				p.End()
			})
		})
	}
}

func TestProgressJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _, stderr := capture(ui.Config{JSON: true})
		p := u.Progress("commit", "files")
		p.Set(ui.Count{}, ui.Count{Items: 2, Bytes: 1000})
		step(time.Second)
		p.Add(ui.Count{Items: 1, Bytes: 250})
		step(time.Second)
		p.End()
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines, want 3: %s", len(lines), stderr)
		}
		if want := `{"type":"progress","name":"commit","items_done":0,"items_total":2,"bytes_done":0,"bytes_total":1000,"items_per_second":0,"bytes_per_second":0}`; lines[0] != want {
			t.Errorf("first line %s, want %s", lines[0], want)
		}
		var second map[string]any
		if err := json.Unmarshal([]byte(lines[1]), &second); err != nil {
			t.Fatal(err)
		}
		if second["bytes_per_second"] != 125.0 || second["seconds_left"] != 6.0 {
			t.Errorf("second line %s", lines[1])
		}
	})
}

func TestProgressIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet, _, stderr := capture(ui.Config{Quiet: true})
		p := quiet.Progress("commit", "files")
		p.Add(ui.Count{Items: 1})
		step(time.Minute)
		p.End()
		if stderr.Len() > 0 {
			t.Errorf("quiet: %q", stderr)
		}
		short, _, stderr := capture(ui.Config{})
		p = short.Progress("commit", "files")
		p.Add(ui.Count{Items: 1})
		step(20 * time.Second)
		p.End()
		if stderr.Len() > 0 {
			t.Errorf("done before the first line: %q", stderr)
		}
	})
}

// TestProgressTogether shows that the newer of two Progresses shows alone, and
// lets the race detector see many callers.
func TestProgressTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _, stderr := capture(ui.Config{})
		first := u.Progress("first", "files")
		second := u.Progress("second", "files")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					first.Add(ui.Count{Items: 1})
					second.Add(ui.Count{Items: 1})
					u.Warn("meanwhile")
				}
			})
		}
		step(31 * time.Second)
		wg.Wait()
		second.End()
		first.End()
		if s := stderr.String(); strings.Contains(s, "first") || !strings.Contains(s, "second  400 files") || strings.Count(s, "meanwhile") != 400 {
			t.Errorf("got %q", s)
		}
	})
}
