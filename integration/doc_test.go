package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestDocOfExportedNames wants a comment on every exported name; that of a type or
// function starts with the name.
func TestDocOfExportedNames(t *testing.T) {
	set := token.NewFileSet()
	for _, src := range sources(t, set) {
		for _, decl := range src.file.Decls {
			for _, bad := range undocumented(decl) {
				t.Errorf("%s: %s", set.Position(bad.pos), bad.what)
			}
		}
	}
}

// TestDocOfPackages wants exactly one package comment in each package: two are joined by
// the tools in the order of file names, which reads like neither.
func TestDocOfPackages(t *testing.T) {
	comments := map[string][]string{}
	for _, src := range sources(t, token.NewFileSet()) {
		if src.file.Doc != nil {
			comments[src.dir] = append(comments[src.dir], src.name)
		} else if comments[src.dir] == nil {
			comments[src.dir] = []string{}
		}
	}
	for dir, files := range comments {
		switch len(files) {
		case 0:
			t.Errorf("package %s has no comment", dir)
		case 1:
		default:
			t.Errorf("package %s has %d comments, in %s", dir, len(files), strings.Join(files, ", "))
		}
	}
}

// TestDocRules shows that the rules find what they are for.
func TestDocRules(t *testing.T) {
	tests := map[string]struct {
		code string
		bad  int
	}{
		"documented function":    {"// F does.\nfunc F() {}", 0},
		"bare function":          {"func F() {}", 1},
		"comment on other name":  {"// G does.\nfunc F() {}", 1},
		"article before a type":  {"// A T is.\ntype T int", 0},
		"unexported function":    {"func f() {}", 0},
		"bare method":            {"func (t *T) M() {}", 1},
		"method of hidden type":  {"func (t *t) M() {}", 0},
		"method of error":        {"func (t T) Error() string { return \"\" }", 0},
		"group comment":          {"// Sizes.\nconst (\n\tA = 1\n\tB = 2\n)", 0},
		"bare constants":         {"const (\n\tA = 1\n\tB = 2\n)", 2},
		"bare variable":          {"var V int", 1},
		"line comment on a name": {"const (\n\tA = 1 // one\n\tb = 2\n)", 0},
		"bare interface method":  {"// I is.\ntype I interface{ M() }", 1},
		"generic receiver":       {"func (t *T[K]) M() {}", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := parse(t, tt.code)
			var bad []fault
			for _, decl := range file.Decls {
				bad = append(bad, undocumented(decl)...)
			}
			if len(bad) != tt.bad {
				t.Errorf("got %d faults %v, want %d", len(bad), bad, tt.bad)
			}
		})
	}
}

// fault is a place that breaks a rule.
type fault struct {
	pos  token.Pos
	what string
}

func undocumented(decl ast.Decl) []fault {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return undocumentedFunc(d)
	case *ast.GenDecl:
		var bad []fault
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				bad = append(bad, undocumentedType(d, s)...)
			case *ast.ValueSpec:
				bad = append(bad, undocumentedValue(d, s)...)
			}
		}
		return bad
	}
	return nil
}

// errorMethods are those of the error interface and its optional ones, which say nothing new.
var errorMethods = []string{"Error", "Unwrap", "Is"}

func undocumentedFunc(d *ast.FuncDecl) []fault {
	name := d.Name.Name
	if !ast.IsExported(name) {
		return nil
	}
	if d.Recv != nil && (!ast.IsExported(receiver(d.Recv.List[0].Type)) || slices.Contains(errorMethods, name)) {
		return nil
	}
	return named(d.Name, d.Doc)
}

func undocumentedType(d *ast.GenDecl, s *ast.TypeSpec) []fault {
	if !s.Name.IsExported() {
		return nil
	}
	doc := s.Doc
	if doc == nil && !d.Lparen.IsValid() {
		doc = d.Doc
	}
	bad := named(s.Name, doc)
	if face, ok := s.Type.(*ast.InterfaceType); ok {
		for _, method := range face.Methods.List {
			if len(method.Names) == 1 && method.Names[0].IsExported() && method.Doc == nil && method.Comment == nil {
				bad = append(bad, fault{method.Pos(), s.Name.Name + "." + method.Names[0].Name + " has no comment"})
			}
		}
	}
	return bad
}

// undocumentedValue accepts the comment of the group for its members.
func undocumentedValue(d *ast.GenDecl, s *ast.ValueSpec) []fault {
	if s.Doc != nil || s.Comment != nil || d.Doc != nil {
		return nil
	}
	var bad []fault
	for _, name := range s.Names {
		if name.IsExported() {
			bad = append(bad, fault{name.Pos(), name.Name + " has no comment"})
		}
	}
	return bad
}

// named wants a comment that starts with the name, after an article at most.
func named(name *ast.Ident, doc *ast.CommentGroup) []fault {
	words := strings.Fields(doc.Text())
	if len(words) == 0 {
		return []fault{{name.Pos(), name.Name + " has no comment"}}
	}
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if strings.TrimSuffix(strings.TrimRight(words[0], ",.:;"), "'s") != name.Name {
		return []fault{{name.Pos(), "the comment on " + name.Name + " does not start with its name"}}
	}
	return nil
}

// receiver returns the name of a method's type without pointer and type parameters.
func receiver(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func parse(t *testing.T, code string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n\n"+code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
