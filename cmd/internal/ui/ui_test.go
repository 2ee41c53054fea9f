package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func (b *buffer) Len() int { return len(b.String()) }

// capture returns a UI that writes to the two buffers.
func capture(cfg ui.Config) (u *ui.UI, out, err *buffer) {
	out, err = new(buffer), new(buffer)
	cfg.Stdout, cfg.Stderr = out, err
	return ui.New(cfg), out, err
}

func TestError(t *testing.T) {
	hinted := ui.Errorf(ui.NoDrive, "open drive: %w", io.ErrUnexpectedEOF).WithHint("run %q first", "walfs init")
	cases := []struct {
		name string
		err  error
		code ui.Code
		text string
		json string
	}{
		{"nil", nil, ui.OK, "", ""},
		{"plain", errors.New("mount: DIR is not empty"), ui.Failed,
			"walfs: error: mount: DIR is not empty\n",
			`{"type":"error","message":"mount: DIR is not empty","code":1}`},
		{"with hint", hinted, ui.NoDrive,
			"walfs: error: open drive: unexpected EOF\nwalfs: hint: run \"walfs init\" first\n",
			`{"type":"error","message":"open drive: unexpected EOF","hint":"run \"walfs init\" first","code":10}`},
		{"wrapped", fmt.Errorf("mount: %w", hinted), ui.NoDrive,
			"walfs: error: mount: open drive: unexpected EOF\nwalfs: hint: run \"walfs init\" first\n",
			`{"type":"error","message":"mount: open drive: unexpected EOF","hint":"run \"walfs init\" first","code":10}`},
		{"outer code, inner hint", &ui.Error{Err: hinted, Code: ui.Chain}, ui.Chain,
			"walfs: error: open drive: unexpected EOF\nwalfs: hint: run \"walfs init\" first\n",
			`{"type":"error","message":"open drive: unexpected EOF","hint":"run \"walfs init\" first","code":14}`},
		{"cancelled", fmt.Errorf("sync: %w", context.Canceled), ui.Interrupted,
			"walfs: error: sync: context canceled\n",
			`{"type":"error","message":"sync: context canceled","code":130}`},
		{"no code", &ui.Error{Err: io.EOF}, ui.Failed, "walfs: error: EOF\n", `{"type":"error","message":"EOF","code":1}`},
		{"joined", errors.Join(errors.New("a"), errors.New("b")), ui.Failed,
			"walfs: error: a\nwalfs: error: b\n", `{"type":"error","message":"a\nb","code":1}`},
		{"control characters", errors.New("open \x1b[2Jx\r<&>"), ui.Failed,
			"walfs: error: open \\x1b[2Jx\\r<&>\n", `{"type":"error","message":"open \u001b[2Jx\r<&>","code":1}`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			u, out, stderr := capture(ui.Config{Quiet: true})
			if code := u.Error(tc.err); code != tc.code {
				t.Errorf("code %d, want %d", code, tc.code)
			}
			if stderr.String() != tc.text || out.Len() > 0 {
				t.Errorf("stderr %q, stdout %q, want %q on stderr", stderr, out, tc.text)
			}
			u, out, stderr = capture(ui.Config{JSON: true})
			if code := u.Error(tc.err); code != tc.code {
				t.Errorf("JSON: code %d, want %d", code, tc.code)
			}
			if strings.TrimSpace(stderr.String()) != tc.json || out.Len() > 0 {
				t.Errorf("JSON: stderr %s, stdout %q, want %s", stderr, out, tc.json)
			}
		})
	}
	if !errors.Is(hinted, io.ErrUnexpectedEOF) {
		t.Error("Errorf does not wrap")
	}
}

func TestEmit(t *testing.T) {
	type file struct {
		Path string    `json:"path"`
		Size int64     `json:"size_bytes"`
		When time.Time `json:"mtime"`
	}
	u, out, stderr := capture(ui.Config{JSON: true})
	when := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, v := range []any{file{"a<b>&c", 7, when}, nil, map[string]int{"n": 1}, struct{}{}} {
		if err := u.Emit("file", v); err != nil {
			t.Fatalf("Emit %v: %v", v, err)
		}
	}
	want := `{"type":"file","path":"a<b>&c","size_bytes":7,"mtime":"2026-08-01T12:00:00Z"}
{"type":"file"}
{"type":"file","n":1}
{"type":"file"}
`
	if out.String() != want || stderr.Len() > 0 {
		t.Errorf("stdout\n%s, want\n%s", out, want)
	}
	for _, v := range []any{1, "x", []int{1}, map[string]string{"type": "x"}, func() {}, (*file)(nil)} {
		if err := u.Emit("bad", v); err == nil {
			t.Errorf("Emit of %T: no error", v)
		}
	}
	if !u.JSON() {
		t.Error("JSON() = false")
	}
}

func TestStreams(t *testing.T) {
	u, out, stderr := capture(ui.Config{})
	if err := u.Print("%d files", 3); err != nil {
		t.Fatal(err)
	}
	u.Note("drive made at %s", "/x")
	u.Warn("node %d is away", 4)
	if out.String() != "3 files\n" {
		t.Errorf("stdout %q", out)
	}
	if want := "drive made at /x\nwalfs: warning: node 4 is away\n"; stderr.String() != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
	u, _, stderr = capture(ui.Config{Quiet: true})
	u.Note("unheard")
	u.Warn("heard")
	if stderr.String() != "walfs: warning: heard\n" {
		t.Errorf("quiet: stderr %q", stderr)
	}
	u, _, stderr = capture(ui.Config{JSON: true})
	u.Note("n")
	u.Warn("w")
	if want := `{"type":"note","message":"n"}` + "\n" + `{"type":"warning","message":"w"}` + "\n"; stderr.String() != want {
		t.Errorf("JSON: stderr %q, want %q", stderr, want)
	}
}

func TestBrokenStdout(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	u := ui.New(ui.Config{Stdout: w, Stderr: io.Discard})
	table := u.Table("A")
	table.Row(1)
	for name, err := range map[string]error{"Print": u.Print("x"), "Emit": u.Emit("x", nil), "Table": table.Flush()} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s to a closed pipe: %v", name, err)
		}
	}
}

// named has a text and fields.
type named struct{ Number int }

func (n named) String() string { return fmt.Sprintf("node-%02d", n.Number) }

func TestLogger(t *testing.T) {
	for verbose, want := range []string{"w", "iw", "diw", "diw"} {
		u, out, stderr := capture(ui.Config{Verbose: verbose, JSON: true})
		log := u.Logger()
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		got := ""
		for line := range strings.Lines(stderr.String()) {
			var l struct{ Type, Msg string }
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.Type != "log" {
				t.Errorf("line %q: %v", line, err)
			}
			got += l.Msg
		}
		if got != want || out.Len() > 0 {
			t.Errorf("-v %d times logs %q, want %q", verbose, got, want)
		}
	}
	u, _, stderr := capture(ui.Config{JSON: true})
	u.Logger().Warn("slot is damaged", "node", named{3})
	if s := stderr.String(); !strings.Contains(s, `"node":"node-03"`) {
		t.Errorf("a value with a text of its own: %q", s)
	}
	u, _, stderr = capture(ui.Config{})
	u.Logger().Warn("healed", "sliver", 3)
	if s := stderr.String(); !strings.Contains(s, "level=WARN msg=healed sliver=3") || !strings.Contains(s, "time=") {
		t.Errorf("text log %q", s)
	}
}

func TestTable(t *testing.T) {
	u, out, _ := capture(ui.Config{})
	table := u.Table("NODE", "STATE", "SHARDS")
	if err := u.Table("EMPTY").Flush(); err != nil || out.Len() > 0 {
		t.Errorf("table without rows: %q, %v", out, err)
	}
	table.Row("node-00", "up", 10)
	table.Styled(ui.Red, "näher am\tTal\n", "down", 100)
	table.Row("x")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`NODE             STATE  SHARDS`,
		`node-00          up     10`,
		`näher am\tTal\n  down   100`,
		`x`, ``}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s, want\n%s", out, want)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain name.txt":         "plain name.txt",
		"Größe 大きさ 🙂":            "Größe 大きさ 🙂",
		"a\x1b]0;title\x07b":     `a\x1b]0;title\ab`,
		"two\nlines\ttab\r":      `two\nlines\ttab\r`,
		"bad \xff\xc3 bytes":     `bad \xff\xc3 bytes`,
		"gnp.\u202egnp.exe":      `gnp.\u202egnp.exe`,
		"zero\u200bwidth\ufeff":  `zero\u200bwidth\ufeff`,
		"c1 \u009b31m":           `c1 \u009b31m`,
		"replacement \ufffd":     "replacement \ufffd",
		"line\u2028paragraph":    `line\u2028paragraph`,
		"delete \x7f":            `delete \x7f`,
		"unassigned \U000e0001z": `unassigned \U000e0001z`,
	} {
		if got := ui.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		c := ui.Clean(s)
		if strings.ContainsFunc(c, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
			t.Errorf("Clean(%q) = %q", s, c)
		}
		if again := ui.Clean(c); again != c {
			t.Errorf("Clean(%q) = %q, but then %q", s, c, again)
		}
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1024: "1.0 KiB", 1395864371: "1.3 GiB", 39845888: "38 MiB", -2048: "-2.0 KiB", 1<<63 - 1: "8.0 EiB"} {
		if got := ui.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[string]int64{"512": 512, "20G": 20e9, "20 GB": 20e9, "20GiB": 20 << 30, "1.5 MiB": 3 << 19, "0": 0} {
		if got, err := ui.ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "G", "-1", "1 XB", "9 EiB", "1e3"} {
		if got, err := ui.ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d", s, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", 59 * time.Second: "59s", 72 * time.Second: "1m12s",
		3661 * time.Second: "1h1m", 76 * time.Hour: "3d4h",
	} {
		if got := ui.Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

// TestExitCodes fixes the numbers: scripts rely on them.
func TestExitCodes(t *testing.T) {
	for code, want := range map[ui.Code]int{ui.OK: 0, ui.Failed: 1, ui.Usage: 2, ui.Partial: 3, ui.NoDrive: 10, ui.InUse: 11,
		ui.WrongKey: 12, ui.TooFewNodes: 13, ui.Chain: 14, ui.Interrupted: 130} {
		if int(code) != want {
			t.Errorf("code %d, want %d", code, want)
		}
	}
}
