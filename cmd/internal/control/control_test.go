package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/cmd/internal/control"
)

// newHome makes a home whose path is short enough for a socket.
func newHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("/tmp", "wctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	return home
}

// start serves home until the test ends or the returned function is called.
func start(t *testing.T, home string, handlers map[string]control.Handler) (stop func()) {
	t.Helper()
	s, err := control.Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	for op, h := range handlers {
		s.Handle(op, h)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func dial(t *testing.T, home string) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close client: %v", err)
		}
	})
	return c
}

// wait fails the test unless c is closed soon.
func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("waited a minute for %s", what)
	}
}

// echo answers with its args.
func echo(_ context.Context, args json.RawMessage, _ func(any) error) (any, error) {
	return args, nil
}

// count emits as many events as it is asked for.
func count(_ context.Context, args json.RawMessage, emit func(any) error) (any, error) {
	var a struct{ To int }
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, err
	}
	for i := range a.To {
		if err := emit(map[string]int{"done": i + 1}); err != nil {
			return nil, err
		}
	}
	return map[string]int{"counted": a.To}, nil
}

func TestCall(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{"echo": echo, "count": count,
		"nothing": func(context.Context, json.RawMessage, func(any) error) (any, error) { return nil, nil }})
	c := dial(t, home)
	for range 3 { // one connection serves many calls
		var got struct{ Path string }
		if err := c.Call(t.Context(), "echo", map[string]string{"path": "/a\n\"b\xff"}, nil, &got); err != nil || got.Path != "/a\n\"b\ufffd" {
			t.Errorf("echo: %q, %v", got.Path, err)
		}
		var events []string
		var counted map[string]int
		err := c.Call(t.Context(), "count", struct{ To int }{3}, func(e json.RawMessage) { events = append(events, string(e)) }, &counted)
		if want := `{"done":1} {"done":2} {"done":3}`; err != nil || strings.Join(events, " ") != want || counted["counted"] != 3 {
			t.Errorf("count: events %v, result %v, %v", events, counted, err)
		}
		if err := c.Call(t.Context(), "count", struct{ To int }{3}, nil, nil); err != nil {
			t.Errorf("count without a listener: %v", err)
		}
		var p *int
		if err := c.Call(t.Context(), "nothing", nil, nil, &p); err != nil || p != nil {
			t.Errorf("nothing: %v, %v", p, err)
		}
	}
	var wrong []string
	if err := c.Call(t.Context(), "echo", map[string]int{"a": 1}, nil, &wrong); err == nil {
		t.Error("a result of the wrong kind was taken")
	}
	if err := c.Call(t.Context(), "echo", map[string]int{"a": 1}, nil, nil); err != nil {
		t.Errorf("call after a wrong result: %v", err)
	}
}

func TestErrors(t *testing.T) {
	home := newHome(t)
	full := &control.Error{Message: "the nodes are full", Hint: "add a node", Code: 13}
	fail := func(err error) control.Handler {
		return func(context.Context, json.RawMessage, func(any) error) (any, error) { return nil, err }
	}
	start(t, home, map[string]control.Handler{
		"plain":   fail(errors.New("disk on fire")),
		"full":    fail(full),
		"wrapped": fail(fmt.Errorf("sync: %w", full)),
		"no-code": fail(&control.Error{Message: "x"}),
		"func":    func(context.Context, json.RawMessage, func(any) error) (any, error) { return func() {}, nil },
		"long": func(context.Context, json.RawMessage, func(any) error) (any, error) {
			return strings.Repeat("x", 16<<20), nil
		},
		"event": func(_ context.Context, _ json.RawMessage, emit func(any) error) (any, error) {
			return nil, emit(func() {})
		},
	})
	c := dial(t, home)
	for _, tc := range []struct {
		op, message, hint string
		code              int
	}{
		{"plain", "disk on fire", "", 1},
		{"full", "the nodes are full", "add a node", 13},
		{"wrapped", "sync: the nodes are full", "add a node", 13},
		{"no-code", "x", "", 1},
		{"unknown", `the mount does not know "unknown"`, "use the same walfs", 1},
		{"func", "result of func: json", "", 1},
		{"long", "result of long: line is too long", "", 1},
		{"event", "event: json", "", 1},
	} {
		err := c.Call(t.Context(), tc.op, nil, nil, nil)
		var e *control.Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Message, tc.message) || !strings.HasPrefix(e.Hint, tc.hint) || e.Code != tc.code ||
			tc.hint == "" && e.Hint != "" {
			t.Errorf("%s: %#v, want %q, hint %q, code %d", tc.op, err, tc.message, tc.hint, tc.code)
		}
	}
	for name, call := range map[string]func() error{
		"bad name":  func() error { return c.Call(t.Context(), "No Name", nil, nil, nil) },
		"no name":   func() error { return c.Call(t.Context(), "", nil, nil, nil) },
		"no object": func() error { return c.Call(t.Context(), "full", []int{1}, nil, nil) },
		"no JSON":   func() error { return c.Call(t.Context(), "full", func() {}, nil, nil) },
		"long args": func() error {
			return c.Call(t.Context(), "full", map[string]string{"a": strings.Repeat("x", 1<<20)}, nil, nil)
		},
		"cancelled":   func() error { return c.Call(cancelled(), "full", nil, nil, nil) },
		"after close": func() error { c.Close(); return c.Call(t.Context(), "full", nil, nil, nil) },
	} {
		var e *control.Error
		if err := call(); err == nil || name != "cancelled" && name != "after close" && errors.As(err, &e) {
			t.Errorf("%s: %v, want an error of this side", name, err)
		}
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestNotRunning(t *testing.T) {
	home := newHome(t)
	for _, h := range []string{home, filepath.Join(home, "none")} {
		if c, err := control.Dial(t.Context(), h); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("Dial %s: %v, %v, want ErrNotRunning", h, c, err)
		}
	}
	if s, err := control.Listen(filepath.Join(home, "none")); err == nil {
		t.Errorf("Listen in no folder: %v", s)
	}
	stop := start(t, home, nil)
	dial(t, home)
	stop()
	stop()
	if c, err := control.Dial(t.Context(), home); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("Dial after Close: %v, %v, want ErrNotRunning", c, err)
	}
	left, _ := filepath.Glob(filepath.Join(home, "*"))
	if len(left) != 1 || filepath.Base(left[0]) != "control.lock" {
		t.Errorf("left in the home: %v", left)
	}
}

func TestInUse(t *testing.T) {
	home := newHome(t)
	stop := start(t, home, map[string]control.Handler{"echo": echo})
	if s, err := control.Listen(home); !errors.Is(err, control.ErrInUse) {
		t.Errorf("second Listen: %v, %v, want ErrInUse", s, err)
	}
	link := filepath.Join(newHome(t), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	if s, err := control.Listen(link); !errors.Is(err, control.ErrInUse) {
		t.Errorf("Listen through a link: %v, %v, want ErrInUse", s, err)
	}
	if err := dial(t, link).Call(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Errorf("the first server was disturbed: %v", err)
	}
	if st, err := os.Lstat(filepath.Join(home, "control.sock")); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket has mode %v, %v, want 0600", st.Mode(), err)
	}
	stop()
	start(t, home, nil)
}

// TestListenTogether starts many servers at a time: one wins, always.
func TestListenTogether(t *testing.T) {
	home := newHome(t)
	for range 20 {
		var mu sync.Mutex
		var winners []*control.Server
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				s, err := control.Listen(home)
				if err != nil && !errors.Is(err, control.ErrInUse) {
					t.Errorf("Listen: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners = append(winners, s)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d servers serve one home", len(winners))
		}
		if err := winners[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStaleSocket(t *testing.T) {
	home := newHome(t)
	path := filepath.Join(home, "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	for _, name := range []string{"control.sock.n", "control.path.n"} { // of a server killed while it started
		if err := os.WriteFile(filepath.Join(home, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := control.Dial(t.Context(), home); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("Dial of a dead socket: %v, want ErrNotRunning", err)
	}
	start(t, home, map[string]control.Handler{"echo": echo})
	if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Errorf("call to the new server: %v", err)
	}
}

// TestCloseLeavesAnother puts a socket of another server in place: Close of the
// first must not remove it.
func TestCloseLeavesAnother(t *testing.T) {
	home := newHome(t)
	stop := start(t, home, nil)
	path := filepath.Join(home, "control.sock")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	start(t, home, map[string]control.Handler{"echo": echo})
	stop()
	if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Errorf("call to the other server: %v", err)
	}
}

func TestLongHome(t *testing.T) {
	run := newHome(t)
	home := filepath.Join(newHome(t), strings.Repeat("long-name/", 12))
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, xdg := range []string{run, "", "/none", filepath.Join(run, strings.Repeat("x", 80))} {
		t.Run("XDG_RUNTIME_DIR="+filepath.Base(xdg), func(t *testing.T) {
			t.Setenv("XDG_RUNTIME_DIR", xdg)
			stop := start(t, home, map[string]control.Handler{"echo": echo})
			b, err := os.ReadFile(filepath.Join(home, "control.path"))
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimSuffix(string(b), "\n")
			want := fmt.Sprintf("/tmp/walfs-%d", os.Geteuid())
			if xdg == run {
				want = filepath.Join(run, "walfs")
			}
			if filepath.Dir(path) != want || len(path) > 100 {
				t.Errorf("socket at %q, want it in %s", path, want)
			}
			if st, err := os.Stat(want); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v, want mode 0700", want, st.Mode(), err)
			}
			t.Setenv("XDG_RUNTIME_DIR", "/other") // the command may have another
			if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err != nil {
				t.Errorf("call: %v", err)
			}
			if s, err := control.Listen(home); !errors.Is(err, control.ErrInUse) {
				t.Errorf("second Listen with another XDG_RUNTIME_DIR: %v, %v", s, err)
			}
			stop()
			for _, p := range []string{path, filepath.Join(home, "control.path")} {
				if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", p, err)
				}
			}
		})
	}
	if err := os.WriteFile(filepath.Join(home, "control.path"), []byte("relative\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := control.Dial(t.Context(), home); err == nil || errors.Is(err, control.ErrNotRunning) {
		t.Errorf("Dial with a damaged record: %v, %v", c, err)
	}
}

// TestPlantedFolder makes the folder for the socket as somebody else would.
func TestPlantedFolder(t *testing.T) {
	run := newHome(t)
	t.Setenv("XDG_RUNTIME_DIR", run)
	home := filepath.Join(newHome(t), strings.Repeat("long-name/", 12))
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	planted := filepath.Join(run, "walfs")
	for name, plant := range map[string]func() error{
		"open to others": func() error { return errors.Join(os.Mkdir(planted, 0o755), os.Chmod(planted, 0o755)) },
		"link":           func() error { return os.Symlink(newHome(t), planted) },
		"file":           func() error { return os.WriteFile(planted, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(planted)
			start(t, home, nil)
			b, err := os.ReadFile(filepath.Join(home, "control.path"))
			if err != nil || strings.HasPrefix(string(b), planted) {
				t.Errorf("socket at %q, %v", b, err)
			}
		})
	}
}

// TestCommandGoesAway lets commands leave in several ways: the handler's context
// ends each time.
func TestCommandGoesAway(t *testing.T) {
	home := newHome(t)
	entered, ended := make(chan struct{}, 1), make(chan struct{})
	start(t, home, map[string]control.Handler{
		"wait": func(ctx context.Context, _ json.RawMessage, emit func(any) error) (any, error) {
			entered <- struct{}{}
			<-ctx.Done()
			if err := emit("too late"); err == nil {
				t.Error("emit to a command that is gone works")
			}
			ended <- struct{}{}
			return nil, ctx.Err()
		},
		"echo": echo,
	})
	t.Run("cancel", func(t *testing.T) {
		c := dial(t, home)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- c.Call(ctx, "wait", nil, nil, nil) }()
		wait(t, "the handler", entered)
		cancel()
		wait(t, "its end", ended)
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v", err)
		}
		if err := c.Call(t.Context(), "echo", nil, nil, nil); !errors.Is(err, control.ErrLost) {
			t.Errorf("call on a client that was cancelled: %v, want ErrLost", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		c := dial(t, home)
		result := make(chan error, 1)
		go func() { result <- c.Call(t.Context(), "wait", nil, nil, nil) }()
		wait(t, "the handler", entered)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		wait(t, "its end", ended)
		if err := <-result; !errors.Is(err, control.ErrLost) {
			t.Errorf("call: %v, want ErrLost", err)
		}
	})
	for name, leave := range map[string]func(conn *net.UnixConn) error{
		"half close":     func(conn *net.UnixConn) error { return conn.CloseWrite() },
		"second request": func(conn *net.UnixConn) error { return write(conn, `{"v":1,"op":"echo"}`+"\n") },
		"long line":      func(conn *net.UnixConn) error { return write(conn, strings.Repeat("x", 2<<20)+"\n") },
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialRaw(t, home)
			if err := write(conn, `{"v":1,"op":"wait"}`+"\n"); err != nil {
				t.Fatal(err)
			}
			wait(t, "the handler", entered)
			if err := leave(conn); err != nil {
				t.Fatal(err)
			}
			wait(t, "its end", ended)
		})
	}
}

func dialRaw(t *testing.T, home string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(home, "control.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(conn net.Conn, s string) error {
	_, err := io.WriteString(conn, s)
	return err
}

// TestStop stops the server under a command: its handler is cancelled and its
// answer still arrives.
func TestStop(t *testing.T) {
	home := newHome(t)
	entered := make(chan struct{}, 2)
	stop := start(t, home, map[string]control.Handler{
		"drain": func(ctx context.Context, _ json.RawMessage, _ func(any) error) (any, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return map[string]bool{"drained": true}, nil
		},
		"sync": func(ctx context.Context, _ json.RawMessage, _ func(any) error) (any, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return nil, fmt.Errorf("sync: %w", ctx.Err())
		},
	})
	drain, sync, idle := dial(t, home), dial(t, home), dial(t, home)
	drained, synced := make(chan error, 1), make(chan error, 1)
	var got map[string]bool
	go func() { drained <- drain.Call(t.Context(), "drain", nil, nil, &got) }()
	go func() { synced <- sync.Call(t.Context(), "sync", nil, nil, nil) }()
	wait(t, "a handler", entered)
	wait(t, "the other handler", entered)
	stop()
	if err := <-drained; err != nil || !got["drained"] {
		t.Errorf("answer at the end: %v, %v", got, err)
	}
	var e *control.Error
	if err := <-synced; !errors.As(err, &e) || !strings.Contains(e.Message, "ending") {
		t.Errorf("cancelled at the end: %v", err)
	}
	if err := idle.Call(t.Context(), "sync", nil, nil, nil); !errors.Is(err, control.ErrLost) {
		t.Errorf("call after the end: %v, want ErrLost", err)
	}
}

func TestServeEndsWithContext(t *testing.T) {
	s, err := control.Listen(newHome(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestLateEvent(t *testing.T) {
	home := newHome(t)
	emits := make(chan func(any) error, 1)
	start(t, home, map[string]control.Handler{
		"leak": func(_ context.Context, _ json.RawMessage, emit func(any) error) (any, error) {
			emits <- emit
			return 1, nil
		},
	})
	c := dial(t, home)
	if err := c.Call(t.Context(), "leak", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := (<-emits)("late"); err == nil {
		t.Error("an event was sent after the answer")
	}
	if err := c.Call(t.Context(), "leak", nil, nil, nil); err != nil {
		t.Errorf("next call: %v", err)
	}
}

func TestTogether(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{
		"count": func(_ context.Context, _ json.RawMessage, emit func(any) error) (any, error) {
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() {
					for i := range 25 {
						if err := emit([]int{g, i}); err != nil {
							t.Errorf("emit: %v", err)
						}
					}
				})
			}
			wg.Wait()
			return "done", nil
		},
	})
	var wg sync.WaitGroup
	for range 10 {
		c := dial(t, home)
		for range 3 {
			wg.Go(func() {
				events, result := 0, ""
				err := c.Call(context.Background(), "count", nil, func(json.RawMessage) { events++ }, &result)
				if err != nil || events != 100 || result != "done" {
					t.Errorf("%d events, %q, %v", events, result, err)
				}
			})
		}
	}
	wg.Wait()
}

func TestTooManyCommands(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{"echo": echo})
	var clients []*control.Client
	for range 64 {
		c := dial(t, home)
		if err := c.Call(t.Context(), "echo", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	var e *control.Error
	if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); !errors.As(err, &e) || !strings.Contains(e.Message, "too many") {
		t.Errorf("call beyond the limit: %v", err)
	}
	if err := clients[0].Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no room after a command left: %v", err)
		}
	}
}

func TestHandlePanics(t *testing.T) {
	s, err := control.Listen(newHome(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Handle("taken", echo)
	for _, op := range []string{"", "Upper", "two words", "taken", strings.Repeat("x", 65)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Handle(%q) took it", op)
				}
			}()
			s.Handle(op, echo)
		}()
	}
}

// TestTranscript speaks the protocol byte by byte, as the package comment has it.
func TestTranscript(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{"echo": echo,
		"sync": func(_ context.Context, _ json.RawMessage, emit func(any) error) (any, error) {
			return map[string]int{"certified": 3}, errors.Join(emit(map[string]int{"done": 1, "total": 3}), emit(map[string]int{"done": 3, "total": 3}))
		},
		"fail": func(context.Context, json.RawMessage, func(any) error) (any, error) {
			return nil, &control.Error{Message: "no <WAL>", Hint: "buy some", Code: 14}
		},
	})
	b, err := os.ReadFile("testdata/transcript.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, talk := range strings.Split(strings.TrimSpace(string(b)), "\n\n") {
		conn := dialRaw(t, home)
		r := bufio.NewReader(conn)
		for line := range strings.Lines(talk) {
			line = strings.TrimSuffix(line, "\n")
			switch text := line[2:]; line[:2] {
			case "> ":
				if err := write(conn, text+"\n"); err != nil {
					t.Fatalf("talk %d: write %s: %v", i, text, err)
				}
			case "< ":
				if got, err := r.ReadString('\n'); err != nil || got != text+"\n" {
					t.Fatalf("talk %d: got %q, %v, want %q", i, got, err, text)
				}
			case "= ":
				if got, err := r.ReadString('\n'); err == nil || got != "" {
					t.Fatalf("talk %d: got %q, want the end", i, got)
				}
			default:
				t.Fatalf("talk %d: line %q", i, line)
			}
		}
	}
}

func TestLongLine(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{"echo": echo})
	conn := dialRaw(t, home)
	if err := write(conn, `{"v":1,"op":"echo","args":{"a":"`+strings.Repeat("x", 1<<20)+"\"}}\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(got, "longer than 1048576 bytes") {
		t.Errorf("got %q, %v", got, err)
	}
	// The longest that is allowed goes through.
	conn = dialRaw(t, home)
	frame := `{"v":1,"op":"echo","args":{"a":""}}` + "\n"
	if err := write(conn, strings.Replace(frame, `""`, `"`+strings.Repeat("x", 1<<20-len(frame))+`"`, 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(got, `{"v":1,"result":{"a":"xxx`) {
		t.Errorf("got %.60q, %v", got, err)
	}
	// A line without an end is not read for ever.
	conn = dialRaw(t, home)
	block := strings.Repeat("x", 1<<20)
	for i := 0; ; i++ {
		if err := write(conn, block); err != nil {
			break
		}
		if i > 40 {
			t.Fatal("40 MiB of one line were read")
		}
	}
	// A request without its newline is not run.
	conn = dialRaw(t, home)
	if err := errors.Join(write(conn, `{"v":1,"op":"echo"}`), conn.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("half a line was answered: %q, %v", got, err)
	}
}
