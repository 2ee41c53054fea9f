package ptb

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// moveNames finds Move functions in a comment.
var moveNames = regexp.MustCompile(`\b([a-z_]+)::([a-z_0-9]+)\b`)

// internal are exported functions that stand for what only other modules can call.
var internal = map[string]bool{"SystemInner": true, "StakingInner": true, "CheckCovers": true}

// TestEveryRuleCanBeCalled looks for each exported function of the rules that
// stands for a public Move function in the table of what can be called.
func TestEveryRuleCanBeCalled(t *testing.T) {
	callable := make(map[string]bool)
	for _, m := range modules {
		for _, f := range m.functions {
			callable[m.name+"::"+f.signature[:strings.IndexAny(f.signature, "(<")]] = true
		}
	}
	paths, err := filepath.Glob("../contract/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Recv != nil || strings.HasPrefix(f.Name.Name, "Create") {
				continue
			}
			names := moveNames.FindAllString(f.Doc.Text(), -1)
			if len(names) == 0 || internal[f.Name.Name] {
				continue
			}
			found++
			if last := names[len(names)-1]; !callable[last] {
				t.Errorf("%s of %s: %s is not in the table", f.Name, filepath.Base(path), last)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d functions found", found)
	}
}
