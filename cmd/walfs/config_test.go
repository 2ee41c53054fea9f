package main

import (
	"os"
	"reflect"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// FuzzConfig wants settings that are taken to survive being written, and
// errors to be ones of usage.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("network = '/srv/net'\nnodes = 4\nnode_dirs = ['/a', '/b']\ncache_budget = '512MiB'\nread_timeout = '30s'\n"))
	f.Add([]byte("nodes = -1\n"))
	f.Add([]byte("bogus = 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h := home{dir: "/home/ada/drive"}
		c, err := parseConfig(text)
		if err == nil {
			err = c.check(h)
		} else {
			err = configError(h, err)
		}
		if err != nil {
			if ui.CodeOf(err) != ui.Usage {
				t.Errorf("exit code %d: %v", ui.CodeOf(err), err)
			}
			return
		}
		again, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		other, err := parseConfig(again)
		if err == nil {
			err = other.check(h)
		}
		if len(c.NodeDirs) == 0 {
			c.NodeDirs = other.NodeDirs // none is not written
		}
		if err != nil || !reflect.DeepEqual(c, other) {
			t.Errorf("%+v comes back as %+v, %v:\n%s", c, other, err, again)
		}
	})
}

// FuzzBirth reads any journal of init.
func FuzzBirth(f *testing.F) {
	h := home{dir: f.TempDir()}
	if _, err := beginBirth(h, config{}, initOptions{plain: true}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(h.birth())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(h.birth(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := beginBirth(h, config{}, initOptions{})
		if err != nil {
			return
		}
		if second, err := beginBirth(h, config{}, initOptions{plain: true}); err != nil || first.Drive != second.Drive {
			t.Errorf("%+v, then %+v, %v", first, second, err)
		}
	})
}
