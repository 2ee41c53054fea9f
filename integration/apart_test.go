package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestApartRule wants every test that changes what belongs to a process, gives children files of it, or stops
// a daemon, to call apart: other tests run beside it in this process.
func TestApartRule(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var decls []*ast.FuncDecl
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		must(t, err)
		decls = append(decls, functions(file)...)
	}
	for _, name := range notApart(decls) {
		t.Errorf("%s changes the process, opens files for its children or stops a daemon, and does not call apart", name)
	}
}

// TestApartRules shows that the rule finds what it is for.
func TestApartRules(t *testing.T) {
	for name, tt := range map[string]struct {
		code string
		bad  []string
	}{
		"at once":            {"func TestA(t *T) { unix.Umask(0) }", []string{"TestA"}},
		"a signal":           {"func TestA(t *T) { p.Signal(syscall.SIGSTOP) }", []string{"TestA"}},
		"files for children": {"func TestA(t *T) { posixtest.All[a](t, b) }", []string{"TestA"}},
		"by a method":        {"func TestA(t *T) { x.f() }\nfunc (x *x) f() { g() }\nfunc g() { os.Setenv(a, b) }", []string{"TestA"}},
		"apart":              {"func TestA(t *T) { if !apart(t) { return }; g() }\nfunc g() { t.Chdir(a) }", nil},
		"apart and alone":    {"func TestA(t *T) { if !apartAlone(t) { return }; unix.Setrlimit(a, b) }", nil},
		"another":            {"func TestA(t *T) { if !apart(t) { return }; g() }\nfunc TestB(t *T) { g() }\nfunc g() { t.Chdir(a) }", []string{"TestB"}},
		"nothing of it":      {"func TestA(t *T) { f() }\nfunc f() { os.Getenv(a) }", nil},
		"a thread of itself": {"func TestA(t *T) { s.enter() }\nfunc (s *stage) enter() { unix.Umask(0) }", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := notApart(functions(parse(t, tt.code))); !slices.Equal(got, tt.bad) {
				t.Errorf("got %q, want %q", got, tt.bad)
			}
		})
	}
}

// ofProcess are the names of what changes a whole process, of the signal that stops one, and of the suite
// whose files every child of the process inherits.
var ofProcess = []string{"posixtest", "Umask", "Chdir", "Fchdir", "Chroot", "Setrlimit", "Setenv", "Unsetenv", "Clearenv", "Setpriority", "SIGSTOP"}

// functions returns the functions of a file, but for those of a stage, which has a thread that shares nothing of this.
func functions(file *ast.File) (list []*ast.FuncDecl) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil && (f.Recv == nil || receiver(f.Recv.List[0].Type) != "stage") {
			list = append(list, f)
		}
	}
	return list
}

// notApart returns the tests that come to one of ofProcess without a call of apart. Functions are told by their names alone.
func notApart(decls []*ast.FuncDecl) (bad []string) {
	uses := map[string][]string{} // function -> what it calls, and what it takes of packages and values
	for _, f := range decls {
		name := f.Name.Name
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				uses[name] = append(uses[name], n.Sel.Name)
				if of, ok := n.X.(*ast.Ident); ok {
					uses[name] = append(uses[name], of.Name)
				}
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.Ident); ok {
					uses[name] = append(uses[name], called.Name)
				}
			}
			return true
		})
	}
	for _, f := range decls {
		name := f.Name.Name
		if !strings.HasPrefix(name, "Test") || slices.Contains(uses[name], "apart") || slices.Contains(uses[name], "apartAlone") {
			continue
		}
		if reaches(uses, name, map[string]bool{}) {
			bad = append(bad, name)
		}
	}
	return bad
}

// reaches tells whether a function, or one that it uses, has a name of ofProcess in it.
func reaches(uses map[string][]string, name string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	return slices.ContainsFunc(uses[name], func(used string) bool {
		return slices.Contains(ofProcess, used) || reaches(uses, used, seen)
	})
}
