package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

func TestFindMount(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:35 / /mnt/drive rw,nosuid - fuse.walfs walfs-1 rw
41 22 0:36 / /mnt/my\040drive\134x rw - fuse.walfs walfs-2 rw
42 40 0:37 / /mnt/drive rw master:2 propagate_from:3 - tmpfs none rw
43 22 0:38 / /mnt/drive/below rw - fuse.sshfs host rw
`
	tests := map[string]string{
		"/":                 "ext4",
		"/mnt/drive":        "tmpfs", // the newest one counts
		`/mnt/my drive\x`:   "fuse.walfs",
		"/mnt/drive/below":  "fuse.sshfs",
		"/mnt":              "",
		"/mnt/drive/below/": "",
	}
	if got := findMount(table, "/mnt/drive/below").minor; got != 38 {
		t.Errorf("device number %d, want 38", got)
	}
	for dir, want := range tests {
		if got := findMount(table, dir).kind; got != want {
			t.Errorf("at %s: got %q, want %q", dir, got, want)
		}
	}
}

func TestInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		base, dir string
		want      bool
	}{
		{"real", "real", true},
		{"real", "real/below/that/is/not/there", true},
		{"real", "really", false},
		{"real/below", "real", false},
		{"real", "link/below", true},
		{"link", "real", true},
		{"link", "..", false},
		{"real", "real/..hidden", true},
	}
	for _, tt := range tests {
		if got := inside(filepath.Join(dir, tt.base), filepath.Join(dir, tt.dir)); got != tt.want {
			t.Errorf("%s inside %s: got %t, want %t", tt.dir, tt.base, got, tt.want)
		}
	}
}

func TestPrepareMountPoint(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"empty", "full/below", "home"} {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(at("file"), []byte("x"), 0o600), os.Symlink("missing/folder", at("nowhere"))); err != nil {
		t.Fatal(err)
	}
	h := home{dir: at("home"), given: true}
	tests := map[string]struct {
		dir    string
		config config
		code   ui.Code
	}{
		"empty folder":             {"empty", config{}, ui.OK},
		"new folder":               {"new", config{}, ui.OK},
		"in a folder that is not":  {"mistyped/deep", config{}, ui.Failed},
		"a link to nowhere":        {"nowhere", config{}, ui.Failed},
		"not empty":                {"full", config{}, ui.Failed},
		"a file":                   {"file", config{}, ui.Failed},
		"below a file":             {"file/x", config{}, ui.Failed},
		"the home":                 {"home", config{}, ui.Usage},
		"in the home":              {"home/mnt", config{}, ui.Usage},
		"around the home":          {".", config{}, ui.Usage},
		"around the network":       {"empty", config{Network: at("empty/network")}, ui.Usage},
		"around a node's disk":     {"empty", config{NodeDirs: []string{at("disk"), at("empty/x")}}, ui.Usage},
		"around the cache":         {"empty", config{Cache: at("empty/cache")}, ui.Usage},
		"network in another place": {"empty", config{Network: at("network")}, ui.OK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := prepareMountPoint(at(tt.dir), h, tt.config)
			if ui.CodeOf(err) != tt.code {
				t.Fatalf("got %v, code %d, want code %d", err, ui.CodeOf(err), tt.code)
			}
			if want := resolve(at(tt.dir)); err == nil && got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	own := ui.Errorf(ui.Usage, "own")
	if got := explain(own); got != error(own) {
		t.Errorf("an error with a code became %v", got)
	}
	if got := explain(nil); got != nil {
		t.Errorf("nil became %v", got)
	}
	for _, m := range meanings {
		err := explain(errors.Join(errors.New("something"), m.is))
		if ui.CodeOf(err) != m.code || ui.HintOf(err) != m.hint {
			t.Errorf("%v: code %d, hint %q, want %d, %q", m.is, ui.CodeOf(err), ui.HintOf(err), m.code, m.hint)
		}
	}
}

// TestLedgerErrorsAreExplained looks for a next step beside each error that the client of a ledger may end with.
func TestLedgerErrorsAreExplained(t *testing.T) {
	for _, is := range []error{sui.ErrOtherChain, sui.ErrExecution, sui.ErrLocked, sui.ErrForgotten, sui.ErrAway, sui.ErrBehind,
		sui.ErrUnknown, sui.ErrAnswer, sui.ErrProfile, sui.ErrJournal, sui.ErrJournalInUse, sui.ErrNoJournal, sui.ErrKey,
		chain.ErrNotOwner, chain.ErrStaleVersion} {
		err := explain(fmt.Errorf("register: %w", is))
		if ui.HintOf(err) == "" || ui.CodeOf(err) == ui.OK {
			t.Errorf("%v: code %d, hint %q", is, ui.CodeOf(err), ui.HintOf(err))
		}
	}
	for name, hint := range refusals {
		err := explain(fmt.Errorf("register: %w", &chain.AbortError{Module: "m", Name: name}))
		if ui.HintOf(err) != hint || ui.CodeOf(err) != ui.Chain {
			t.Errorf("%s: code %d, hint %q", name, ui.CodeOf(err), ui.HintOf(err))
		}
	}
	short := (&account{Client: new(sui.Client), faucet: "pay"}).explain(chain.ErrNoFunds)
	if ui.HintOf(short) != "pay" || ui.CodeOf(short) != ui.Chain {
		t.Errorf("no funds: code %d, hint %q", ui.CodeOf(short), ui.HintOf(short))
	}
}

func TestCheckFUSE(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "fuse")
	if err := checkFUSE(missing); err == nil || !strings.Contains(err.Error(), "cannot mount") {
		t.Errorf("no device: %v", err)
	}
	if err := os.WriteFile(missing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkFUSE(missing); err != nil {
		t.Error(err)
	}
}

// What fusermount3 would refuse is refused before a drive is made.
func TestCheckOptions(t *testing.T) {
	dir := t.TempDir()
	open, closed := filepath.Join(dir, "open"), filepath.Join(dir, "closed")
	for file, text := range map[string]string{open: "# as root says\nuser_allow_other\n", closed: "#user_allow_other\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		other   bool
		conf    string
		uid     int
		refused bool
	}{
		{"root", true, closed, 0, false},
		{"no such option", false, closed, 1000, false},
		{"allowed", true, open, 1000, false},
		{"not allowed", true, closed, 1000, true},
		{"no settings", true, filepath.Join(dir, "none"), 1000, true},
	}
	for _, tt := range tests {
		if err := checkOptions(mountSettings{allowOther: tt.other}, tt.conf, tt.uid); (err != nil) != tt.refused {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for options, refused := range map[string]bool{"suid": true, "nosuid,suid": true, "suid,nosuid": false, "dev": true, "dev,nodev": false, "exec,noatime": false} {
		settings, err := parseOptions(strings.Split(options, ","))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkOptions(settings, closed, 1000); (ui.CodeOf(err) == ui.Usage) != refused {
			t.Errorf("-o %s as an ordinary user: %v", options, err)
		}
		if err := checkOptions(settings, closed, 0); err != nil {
			t.Errorf("-o %s as root: %v", options, err)
		}
	}
}
