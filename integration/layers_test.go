package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/walfs/walfs"
	root   = ".."
)

// floors is the layer table: a package imports strictly lower floors only. A new package gets its line here.
// The rooms of the localnet stand one above the other within floor 3.
var floors = map[string]float64{
	"blobstore/bls":        0,
	"blobstore/seal":       0,
	"cmd/internal/control": 0,
	"cmd/internal/ui":      0,

	"blobstore/walrus": 1,
	"chain/move":       1,

	"blobstore/redstuff": 2,
	"cache":              2,
	"chain":              2,
	"index":              2,

	"blobstore/node":          3,
	"chain/chaintest":         3,
	"chain/localnet":          3,
	"chain/localnet/contract": 2.9,
	"chain/localnet/ptb":      2.95,
	"chain/localnet/overlay":  2.8,
	"chain/localnet/pagesum":  2.8,
	"chain/localnet/rpc":      3.1,
	"chain/sui":               3,
	"fs/staging":              3,

	"blobstore": 4,

	"blobstore/embedded": 5,
	"fs":                 5,
	"fs/check":           5,
	"fs/commit":          5,
	"fs/keep":            5,

	"cmd/walfs": 6,
}

// libraries says who may import an outside module, so that replacing one touches few folders.
var libraries = map[string][]string{
	"filippo.io/age":                     {"blobstore/seal"},
	"github.com/block-vision/sui-go-sdk": {"chain/sui", "chain/localnet/rpc"},
	"github.com/btcsuite/btcutil":        {"chain/sui"},
	"github.com/cosmos/go-bip39":         {"chain/sui"},
	"github.com/fardream/go-bcs":         {"chain/move"},
	"github.com/gofrs/flock":             {"blobstore/embedded", "cmd/walfs"},
	"github.com/hanwen/go-fuse":          {"fs"},
	"github.com/klauspost/compress":      {"fs/commit", "index"},
	"github.com/klauspost/cpuid":         {"blobstore/seal"},
	"github.com/klauspost/reedsolomon":   {"blobstore/redstuff"},
	"github.com/mattn/go-sqlite3":        {"blobstore/node", "chain/localnet", "chain/localnet/pagesum", "index"},
	"github.com/pelletier/go-toml":       {"cmd/walfs"},
	"github.com/schollz/progressbar":     {"cmd/internal/ui"},
	"github.com/dustin/go-humanize":      {"cmd/internal/ui"},
	"github.com/spf13/cobra":             {"cmd/walfs"},
	"github.com/spf13/pflag":             {"cmd/walfs"},
	"github.com/supranational/blst":      {"blobstore/bls"},
	"golang.org/x/term":                  {"cmd/internal/ui"},
	"google.golang.org/genproto":         {"chain/localnet/rpc"},
	"google.golang.org/grpc":             {"blobstore/embedded", "chain/sui", "chain/localnet/rpc"},
	"google.golang.org/protobuf":         {"chain/sui", "chain/localnet/rpc"},
	"github.com/cenkalti/backoff":        {"blobstore", "fs/commit"},
}

// common modules extend the standard library and may be imported anywhere.
var common = []string{"golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/time"}

// source is one parsed file that is no test.
type source struct {
	dir  string // below the root, with slashes
	name string
	file *ast.File
}

// sources parses every Go file of the repository that is neither a test nor test data.
func sources(t *testing.T, set *token.FileSet) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" || err == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		all = append(all, source{dir: filepath.ToSlash(dir), name: base, file: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no sources found")
	}
	return all
}

func TestLayers(t *testing.T) {
	set := token.NewFileSet()
	for _, src := range sources(t, set) {
		floor, ok := floors[src.dir]
		if !ok {
			t.Errorf("%s has no floor in the layer table", src.dir)
			continue
		}
		for _, spec := range src.file.Imports {
			target, own := strings.CutPrefix(importPath(t, spec), module+"/")
			if !own {
				continue
			}
			below, ok := floors[target]
			if !ok {
				t.Errorf("%s imports %s, which has no floor", set.Position(spec.Pos()), target)
			} else if below >= floor {
				t.Errorf("%s imports %s: floor %v reaches up to floor %v", set.Position(spec.Pos()), target, floor, below)
			}
		}
	}
}

func TestLibraries(t *testing.T) {
	set := token.NewFileSet()
	for _, src := range sources(t, set) {
		for _, spec := range src.file.Imports {
			target := importPath(t, spec)
			if standard(target) || strings.HasPrefix(target, module+"/") || library(target, common) != "" {
				continue
			}
			name := library(target, keys(libraries))
			if name == "" {
				t.Errorf("%s imports %s, which is not in the table of libraries", set.Position(spec.Pos()), target)
			} else if !slices.Contains(libraries[name], src.dir) {
				t.Errorf("%s: only %s may import %s", set.Position(spec.Pos()), strings.Join(libraries[name], ", "), name)
			}
		}
	}
}

// TestLayersTable keeps the table free of packages that are gone.
func TestLayersTable(t *testing.T) {
	have := map[string]bool{}
	for _, src := range sources(t, token.NewFileSet()) {
		have[src.dir] = true
	}
	for dir := range floors {
		if !have[dir] {
			t.Errorf("the layer table names %s, which has no sources", dir)
		}
	}
}

func importPath(t *testing.T, spec *ast.ImportSpec) string {
	t.Helper()
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// standard reports whether an import path belongs to the standard library: no dot in its first element.
func standard(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return !strings.Contains(first, ".")
}

// library returns which of the modules holds the import path, or "".
func library(target string, modules []string) string {
	for dir := target; dir != "."; dir = path.Dir(dir) {
		if slices.Contains(modules, dir) {
			return dir
		}
	}
	return ""
}

func keys(m map[string][]string) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	return all
}
