package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs/commit"
)

func TestMain(m *testing.M) {
	recipientOf = cheapRecipient
	// So that a pause of the machine between two lines of a script makes no generation.
	pace = commit.Policy{Quiet: 5 * time.Minute, MaxAge: 10 * time.Minute}
	completeWithin, statusWithin, closeWithin = patience, patience, patience // for whoever waits elsewhere
	testscript.Main(m, map[string]func(){"walfs": main})
}

// cheapRecipient stands for a passphrase as seal.PassphraseRecipient does, but for the time that guessing it takes.
func cheapRecipient(passphrase string) (seal.Recipient, error) {
	r, err := seal.PassphraseRecipient(passphrase)
	if err == nil {
		r.(*age.ScryptRecipient).SetWorkFactor(10)
	}
	return r, err
}

// TestScript runs testdata/script: what a person types, what is answered, and the exit codes.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setupScript,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"affine":   affine,
			"flip":     flip,
			"gone":     gone,
			"until":    until,
			"xattr":    xattr,
			"hasxattr": hasXattr,
		},
	})
}

// setupScript gives each script an empty home of its own.
func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	for _, name := range []string{"WALFS_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		env.Setenv(name, "")
	}
	env.Defer(func() { unmountBelow(env.WorkDir) })
	return os.Mkdir(home, 0o700)
}

// unmountBelow takes away what a script that failed left mounted; the process that serves
// it ends by itself then.
func unmountBelow(dir string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			_ = detach(fields[4]) // the script has failed, and says why
		}
	}
}

func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "fuse":
		f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err == nil {
			err = f.Close()
		}
		if err == nil && os.Geteuid() != 0 {
			_, err = exec.LookPath("fusermount3")
		}
		if err != nil && os.Getenv("WALFS_NEED_FUSE") != "" {
			return false, errors.New("no FUSE here: " + err.Error())
		}
		return err == nil, nil
	}
	return false, errors.New("unknown condition " + name)
}

// exits CODE COMMAND… runs a command and wants this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// patience is how long a test waits for what has to come, on a machine that does much else.
const patience = 2 * time.Minute

// until COMMAND… runs a command again and again until it succeeds.
func until(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = ts.Exec(args[0], args[1:]...); err == nil {
			return
		}
	}
	ts.Fatalf("did not come true within %s: %v", patience, err)
}

// affine SIZE FILE writes the input of the reference vectors of kind affine, a=131 b=7 c=0.
func affine(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(131*i + 7*(i>>8))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// flip FILE OFFSET changes one bit.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	text[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// gone DIR wants no mount at DIR.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	kind, err := mountAt(ts.MkAbs(args[0]))
	ts.Check(err)
	if kind != "" {
		ts.Fatalf("%s is mounted, type %s", args[0], kind)
	}
}

// xattr FILE NAME VALUE sets an extended attribute, which needs no program that may not be there.
func xattr(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: xattr FILE NAME VALUE")
	}
	ts.Check(unix.Setxattr(ts.MkAbs(args[0]), args[1], []byte(args[2]), 0))
}

// hasXattr FILE NAME VALUE wants an extended attribute to have this value.
func hasXattr(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: hasxattr FILE NAME VALUE")
	}
	value := make([]byte, len(args[2])+1)
	n, err := unix.Getxattr(ts.MkAbs(args[0]), args[1], value)
	ts.Check(err)
	if string(value[:n]) != args[2] {
		ts.Fatalf("%s of %s is %q, want %q", args[1], args[0], value[:n], args[2])
	}
}
