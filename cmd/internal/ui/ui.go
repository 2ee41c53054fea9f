// Package ui speaks with people and programs: results, errors with hints,
// progress, tables, sizes, JSON and passphrases.
//
// The rules of the terminal, which this package keeps for every command:
//
//   - Results go to stdout, everything else to stderr. Success with nothing to
//     report is silent.
//   - An error is "walfs: error: …", and "walfs: hint: …" follows when the next
//     step is known. The exit codes are the constants of type Code.
//   - Progress is one line on a terminal, redrawn at most ten times a second, and
//     elsewhere a plain line every 30 s. Quiet silences it.
//   - With JSON every line is one object that has a "type": results on stdout,
//     and errors, warnings, notes and progress on stderr. Names are snake_case,
//     sizes are in bytes, times in RFC 3339. Fields are added, never changed.
//   - Colour comes only on a terminal with NO_COLOR unset or empty, and means
//     nothing by itself.
//   - Text that comes from outside, such as names of files, cannot move the
//     cursor: Clean shows control characters as escapes.
//
// A command makes one UI and gives it everything that it prints, so that lines
// never mix with a progress line.
package ui

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Config says where to and how to speak. The zero value speaks to people on the
// streams of the process.
type Config struct {
	Stdout  io.Writer           // nil: os.Stdout
	Stderr  io.Writer           // nil: os.Stderr
	JSON    bool                // --json
	Quiet   bool                // -q
	Verbose int                 // how many -v: 0 logs warnings, 1 info, 2 debug
	Getenv  func(string) string // nil: os.Getenv; asked for NO_COLOR and TERM
	TTY     string              // where to ask for passphrases; "": /dev/tty
}

// UI is the mouth and ear of a command. It is safe for concurrent use.
type UI struct {
	cfg      Config
	out, err stream

	// mu guards the fields below and writes to both streams.
	mu     sync.Mutex
	drawn  bool      // the cursor stands behind a progress line
	active *Progress // the one that may draw
}

// stream is one of the two writers and what it can do.
type stream struct {
	w        io.Writer
	terminal bool // can redraw a line
	colour   bool
}

// New returns a UI as cfg says.
func New(cfg Config) *UI {
	if cfg.Stdout == nil {
		cfg.Stdout = os.Stdout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	if cfg.TTY == "" {
		cfg.TTY = "/dev/tty"
	}
	return &UI{cfg: cfg, out: newStream(cfg.Stdout, cfg), err: newStream(cfg.Stderr, cfg)}
}

func newStream(w io.Writer, cfg Config) stream {
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd())) && cfg.Getenv("TERM") != "dumb"
	return stream{w: w, terminal: terminal, colour: terminal && cfg.Getenv("NO_COLOR") == "" && !cfg.JSON}
}

// JSON reports whether results are to be given by Emit instead of in words.
func (u *UI) JSON() bool { return u.cfg.JSON }

// eraseLine goes to the start of the line and empties it.
const eraseLine = "\r\x1b[K"

// write writes b to s after taking a progress line out of the way.
func (u *UI) write(s stream, b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	return s.w.Write(b)
}

// erase removes the progress line, which the next tick draws again. The caller
// holds mu.
func (u *UI) erase() {
	if u.drawn {
		_, _ = io.WriteString(u.err.w, eraseLine) // a terminal that is gone shows nothing
		u.drawn = false
	}
}

// lines is one of the streams as a writer for whole lines.
type lines struct {
	u *UI
	s stream
}

func (l lines) Write(b []byte) (int, error) { return l.u.write(l.s, b) }

// Stdout returns the writer for results. Write whole lines to it.
func (u *UI) Stdout() io.Writer { return lines{u, u.out} }

// Stderr returns the writer for everything else. Write whole lines to it.
func (u *UI) Stderr() io.Writer { return lines{u, u.err} }

// Print writes one line of a result to stdout.
func (u *UI) Print(format string, args ...any) error {
	_, err := fmt.Fprintf(u.Stdout(), format+"\n", args...)
	return err
}

// Redraw shows text in place of what is on the screen; elsewhere than on a
// terminal it comes below what came before, after an empty line.
func (u *UI) Redraw(text string) error {
	if !u.out.terminal {
		return u.Print("%s\n", text)
	}
	clear := strings.ReplaceAll(text, "\n", eraseEnd+"\n")
	_, err := u.write(u.out, []byte(home+clear+eraseEnd+"\n"+eraseBelow))
	return err
}

// Where the cursor goes and what it takes away, by ECMA-48.
const (
	home       = "\x1b[H"
	eraseEnd   = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// Note writes one line to stderr that a person should see but need not act on.
// Quiet silences it.
func (u *UI) Note(format string, args ...any) {
	if !u.cfg.Quiet {
		u.say("note", "", format, args...)
	}
}

// Warn writes one line to stderr about something that needs attention.
func (u *UI) Warn(format string, args ...any) {
	u.say("warning", u.err.paint(Yellow, "walfs: warning: "), format, args...)
}

func (u *UI) say(kind, prefix, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if u.cfg.JSON {
		u.emit(u.err, kind, message{Message: text})
		return
	}
	u.sayLines(prefix, text)
}

// sayLines writes text to stderr with prefix before each line. An error of
// stderr has nowhere to go.
func (u *UI) sayLines(prefix, text string) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(prefix + Clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	_, _ = io.WriteString(u.Stderr(), b.String())
}

// asText gives a log line in JSON the text of values that have one, and not their fields.
func asText(_ []string, a slog.Attr) slog.Attr {
	if text, ok := a.Value.Any().(fmt.Stringer); ok && a.Value.Kind() == slog.KindAny {
		a.Value = slog.StringValue(text.String())
	}
	return a
}

// Logger returns a logger to stderr: text, or with JSON objects of type "log".
func (u *UI) Logger() *slog.Logger {
	level := slog.LevelWarn
	switch {
	case u.cfg.Verbose == 1:
		level = slog.LevelInfo
	case u.cfg.Verbose > 1:
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	if u.cfg.JSON {
		o.ReplaceAttr = asText
		return slog.New(slog.NewJSONHandler(u.Stderr(), o)).With("type", "log")
	}
	if u.err.terminal { // who watches knows the time
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(u.Stderr(), o))
}
