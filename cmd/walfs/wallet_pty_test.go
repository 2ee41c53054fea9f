//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// says waits for a question and answers it for all to see.
func (s *session) says(question, answer string) {
	s.t.Helper()
	s.until(question, func() bool { return strings.Contains(s.seen(), question) })
	_, err := s.host.WriteString(answer)
	must(s.t, err)
}

// TestWalletAtTerminal takes a phrase over that is not shown, prints a key only
// when that was confirmed, and sends money only when that was.
func TestWalletAtTerminal(t *testing.T) {
	t.Parallel()
	s := newSession(t, 200)
	home := filepath.Join(t.TempDir(), "drive")
	const phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
	cmd, guest := s.start("--home", home, "wallet", "import", "mine")
	s.types(guest, "words or suiprivkey1", 1, phrase+"\n")
	s.types(guest, "new passphrase: ", 1, "correct horse\n")
	s.types(guest, "again: ", 1, "correct horse\n")
	s.ends(cmd, guest, 0)
	s.until("the address", func() bool { return strings.Contains(s.seen(), "0x5e93a736d04fbb25") })
	if strings.Contains(s.seen(), "abandon") || strings.Contains(s.seen(), "horse") {
		t.Errorf("a secret was shown: %q", s.seen())
	}
	for answer, code := range map[string]int{"n\n": 1, "\n": 1, "y\n": 0} {
		cmd, guest := s.start("--home", home, "wallet", "export", "--wallet", "mine", "--show-secret")
		s.types(guest, "passphrase of ", 1, "correct horse\n")
		s.says("[y/N] ", answer)
		s.ends(cmd, guest, code)
		if code == 0 {
			s.until("the key", func() bool { return strings.Contains(s.seen(), "suiprivkey1qzyxnjc8") })
		} else if s.until("that there is none", func() bool { return strings.Contains(s.seen(), "nothing was printed") }); strings.Contains(s.seen(), "suiprivkey1") {
			t.Errorf("%q: the key was shown", answer)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(s.walk, append([]string{"--home", home}, args...)...)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("init", "--nodes", "4", "--shards", "4")
	before := run("wallet", "balance")
	for _, step := range []struct {
		answer string
		code   int
		says   string
	}{{"n\n", 1, "nothing was sent"}, {"y\n", 0, "sent 5 WAL to 0x5e93a7"}} {
		if now := run("wallet", "balance"); now != before {
			t.Errorf("before anybody said yes: %q became %q", before, now)
		}
		cmd, guest := s.start("--home", home, "wallet", "send", "0x5e93a736d04fbb25737aa40bee40171ef79f65fae833749e3c089fe7cc2161f1", "5WAL")
		s.says("of gas? [y/N] ", step.answer)
		s.ends(cmd, guest, step.code)
		s.until(step.says, func() bool { return strings.Contains(s.seen(), step.says) })
	}
	if after := run("wallet", "balance"); after == before {
		t.Error("nothing was paid")
	}
}
