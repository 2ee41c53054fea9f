package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/index"
)

func lookup(t testing.TB, db *index.DB, path string) index.Attr {
	t.Helper()
	a, err := db.Resolve(ctx, path)
	if err != nil {
		t.Fatalf("resolve %s: %v", path, err)
	}
	return a
}

// tree makes directories (names that end in a slash), links ("new=old") and files.
func tree(t testing.TB, db *index.DB, names ...string) {
	t.Helper()
	for _, n := range names {
		path, old, linked := strings.Cut(n, "=")
		path, isDir := strings.CutSuffix(path, "/")
		parent, base := index.Root, path
		if i := strings.LastIndexByte(path, '/'); i >= 0 {
			parent, base = lookup(t, db, path[:i]).Ino, path[i+1:]
		}
		switch {
		case linked:
			must(db.Link(ctx, lookup(t, db, old).Ino, parent, []byte(base)))
		case isDir:
			create(t, db, parent, base, dirMode)
		default:
			create(t, db, parent, base, fileMode)
		}
	}
}

// list returns all paths, sorted, directories with a slash.
func list(t testing.TB, db *index.DB) []string {
	t.Helper()
	var paths []string
	var visit func(dir index.Ino, prefix string)
	visit = func(dir index.Ino, prefix string) {
		for _, e := range must(db.ReadDir(ctx, dir, 0, 1000)) {
			path := prefix + string(e.Name)
			if e.Attr.IsDir() {
				path += "/"
				visit(e.Attr.Ino, path)
			}
			paths = append(paths, path)
		}
	}
	visit(index.Root, "")
	slices.Sort(paths)
	return paths
}

func TestCreate(t *testing.T) {
	long := strings.Repeat("n", index.MaxName)
	for _, tt := range []struct {
		name string
		r    index.CreateRequest
		want error
	}{
		{"file", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: fileMode}, nil},
		{"any bytes", index.CreateRequest{Parent: 1, Name: []byte("\xff\x01 \n"), Mode: fileMode}, nil},
		{"longest", index.CreateRequest{Parent: 1, Name: []byte(long), Mode: fileMode}, nil},
		{"device", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: 0o020600, Rdev: 0x103}, nil},
		{"socket", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: 0o140600}, nil},
		{"no name", index.CreateRequest{Mode: fileMode}, nil},
		{"too long", index.CreateRequest{Parent: 1, Name: []byte(long + "n"), Mode: fileMode}, index.ErrNameLong},
		{"directory without a name", index.CreateRequest{Mode: dirMode}, index.ErrName},
		{"dot", index.CreateRequest{Parent: 1, Name: []byte("."), Mode: fileMode}, index.ErrName},
		{"dot dot", index.CreateRequest{Parent: 1, Name: []byte(".."), Mode: fileMode}, index.ErrName},
		{"slash", index.CreateRequest{Parent: 1, Name: []byte("a/b"), Mode: fileMode}, index.ErrName},
		{"NUL", index.CreateRequest{Parent: 1, Name: []byte("a\x00"), Mode: fileMode}, index.ErrName},
		{"taken", index.CreateRequest{Parent: 1, Name: []byte("taken"), Mode: fileMode}, index.ErrExist},
		{"no parent", index.CreateRequest{Parent: 99, Name: []byte("a"), Mode: fileMode}, index.ErrNotExist},
		{"parent is a file", index.CreateRequest{Parent: 2, Name: []byte("a"), Mode: fileMode}, index.ErrNotDir},
		{"removed parent", index.CreateRequest{Parent: 3, Name: []byte("a"), Mode: fileMode}, index.ErrNotExist},
		{"no type", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: 0o644}, index.ErrRange},
		{"symlink to nothing", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: symlinkMode}, index.ErrRange},
		{"symlink too long", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: symlinkMode, Target: bytes.Repeat([]byte("t"), 4096)}, index.ErrRange},
		{"file with a target", index.CreateRequest{Parent: 1, Name: []byte("a"), Mode: fileMode, Target: []byte("t")}, index.ErrRange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := open(t)
			tree(t, db, "taken", "removed/")
			must(db.Rmdir(ctx, index.Root, []byte("removed")))
			before := must(db.Usage(ctx)).Inodes
			a, err := db.Create(ctx, tt.r)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil {
				if got := must(db.Usage(ctx)).Inodes; got != before {
					t.Errorf("%d inodes, before %d", got, before)
				}
				return
			}
			if got := must(db.Get(ctx, a.Ino)); got != a || a.Rdev != tt.r.Rdev || a.Mode != tt.r.Mode {
				t.Errorf("got %+v, create said %+v", got, a)
			}
			if len(tt.r.Name) == 0 {
				return
			}
			if got := must(db.Lookup(ctx, index.Root, tt.r.Name)); got != a {
				t.Errorf("lookup gives %+v, create said %+v", got, a)
			}
		})
	}
}

// TestLinks checks link counts and the times that change with names, as on ext4.
func TestLinks(t *testing.T) {
	db := open(t)
	tree(t, db, "d/", "d/sub/", "f")
	d, f := lookup(t, db, "d"), lookup(t, db, "f")
	if d.Nlink != 3 || f.Nlink != 1 || lookup(t, db, "/").Nlink != 3 {
		t.Errorf("nlink: d %d, f %d", d.Nlink, f.Nlink)
	}
	linked := must(db.Link(ctx, f.Ino, d.Ino, []byte("g")))
	after := lookup(t, db, "d")
	if linked.Nlink != 2 || linked.Ctime <= f.Ctime || linked.Mtime != f.Mtime {
		t.Errorf("linked %+v, before %+v", linked, f)
	}
	if after.Mtime <= d.Mtime || after.Ctime != after.Mtime || after.Atime != d.Atime {
		t.Errorf("directory %+v, before %+v", after, d)
	}
	if _, err := db.Link(ctx, d.Ino, index.Root, []byte("dir")); !errors.Is(err, index.ErrIsDir) {
		t.Errorf("link of a directory: %v", err)
	}
	left := must(db.Unlink(ctx, index.Root, []byte("f")))
	if left.Nlink != 1 || left.Ctime <= linked.Ctime {
		t.Errorf("after unlink %+v", left)
	}
	if _, err := db.Unlink(ctx, d.Ino, []byte("sub")); !errors.Is(err, index.ErrIsDir) {
		t.Errorf("unlink of a directory: %v", err)
	}
	if _, err := db.Rmdir(ctx, d.Ino, []byte("g")); !errors.Is(err, index.ErrNotDir) {
		t.Errorf("rmdir of a file: %v", err)
	}
	if _, err := db.Rmdir(ctx, index.Root, []byte("d")); !errors.Is(err, index.ErrNotEmpty) {
		t.Errorf("rmdir of a full directory: %v", err)
	}
	if a := must(db.Rmdir(ctx, d.Ino, []byte("sub"))); a.Nlink != 0 {
		t.Errorf("removed directory %+v", a)
	}
	if got := lookup(t, db, "d").Nlink; got != 2 {
		t.Errorf("d has %d links", got)
	}
}

func TestRename(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tree      []string
		from, to  string
		exchange  bool
		noReplace bool
		err       error
		want      string
		displaced string
	}{
		{name: "new name", tree: []string{"a"}, from: "a", to: "b", want: "b"},
		{name: "itself", tree: []string{"a"}, from: "a", to: "a", want: "a"},
		{name: "over a file", tree: []string{"a", "b"}, from: "a", to: "b", want: "b", displaced: "b"},
		{name: "over a link of itself", tree: []string{"a", "b=a"}, from: "a", to: "b", want: "a b"},
		{name: "into a directory", tree: []string{"d/", "a"}, from: "a", to: "d/a", want: "d/ d/a"},
		{name: "directory into a directory", tree: []string{"d/", "e/", "d/a"}, from: "d", to: "e/d", want: "e/ e/d/ e/d/a"},
		{name: "directory over an empty one", tree: []string{"d/", "d/a", "e/"}, from: "d", to: "e", want: "e/ e/a", displaced: "e"},
		{name: "missing", from: "a", to: "b", err: index.ErrNotExist},
		{name: "no replace", tree: []string{"a", "b"}, from: "a", to: "b", noReplace: true, err: index.ErrExist, want: "a b"},
		{name: "no replace, new", tree: []string{"a"}, from: "a", to: "b", noReplace: true, want: "b"},
		{name: "directory over a file", tree: []string{"d/", "a"}, from: "d", to: "a", err: index.ErrNotDir, want: "a d/"},
		{name: "file over a directory", tree: []string{"d/", "a"}, from: "a", to: "d", err: index.ErrIsDir, want: "a d/"},
		{name: "over a full directory", tree: []string{"d/", "e/", "e/a"}, from: "d", to: "e", err: index.ErrNotEmpty, want: "d/ e/ e/a"},
		{name: "below itself", tree: []string{"d/", "d/e/"}, from: "d", to: "d/e/f", err: index.ErrLoop, want: "d/ d/e/"},
		{name: "into itself", tree: []string{"d/"}, from: "d", to: "d/d", err: index.ErrLoop, want: "d/"},
		{name: "bad name", tree: []string{"a"}, from: "a", to: "..", err: index.ErrName, want: "a"},
		{name: "exchange", tree: []string{"a", "d/", "d/x"}, from: "a", to: "d", exchange: true, want: "a/ a/x d"},
		{name: "exchange across", tree: []string{"d/", "d/a", "e/", "e/f/"}, from: "d/a", to: "e/f", exchange: true, want: "d/ d/a/ e/ e/f"},
		{name: "exchange with nothing", tree: []string{"a"}, from: "a", to: "b", exchange: true, err: index.ErrNotExist, want: "a"},
		{name: "exchange with its parent", tree: []string{"d/", "d/e/"}, from: "d/e", to: "d", exchange: true, err: index.ErrLoop, want: "d/ d/e/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := open(t)
			tree(t, db, tt.tree...)
			var displaced index.Attr
			if tt.displaced != "" {
				displaced = lookup(t, db, tt.displaced)
			}
			r := index.RenameRequest{NoReplace: tt.noReplace, Exchange: tt.exchange, Full: len(tt.name)%2 == 0}
			r.OldParent, r.OldName = split(t, db, tt.from)
			r.NewParent, r.NewName = split(t, db, tt.to)
			got, err := db.Rename(ctx, r)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if got.Ino != displaced.Ino || got.Ino != 0 && got.Nlink != 0 {
				t.Errorf("displaced %+v, want inode %d", got, displaced.Ino)
			}
			if paths := strings.Join(list(t, db), " "); paths != tt.want {
				t.Errorf("got %q, want %q", paths, tt.want)
			}
			if problems := must(db.Check(ctx)); len(problems) > 0 {
				t.Errorf("not sound: %q", problems)
			}
		})
	}
}

func split(t testing.TB, db *index.DB, path string) (index.Ino, []byte) {
	t.Helper()
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return index.Root, []byte(path)
	}
	return lookup(t, db, path[:i]).Ino, []byte(path[i+1:])
}

// TestReadDir lists a directory in steps while names come and go: none that
// stays is missed or seen twice.
func TestReadDir(t *testing.T) {
	db := open(t)
	d := create(t, db, index.Root, "d", dirMode)
	for i := range 100 {
		create(t, db, d.Ino, fmt.Sprintf("stay%02d", i), fileMode)
		create(t, db, d.Ino, fmt.Sprintf("go%02d", i), fileMode)
	}
	seen := make(map[string]int)
	var after uint64
	for round := 0; ; round++ {
		entries := must(db.ReadDir(ctx, d.Ino, after, 7))
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if e.Cookie <= after || e.Cookie < 16 {
				t.Fatalf("cookie %d after %d", e.Cookie, after)
			}
			after = e.Cookie
			seen[string(e.Name)]++
		}
		gone := []byte(fmt.Sprintf("go%02d", 99-round))
		if _, err := db.Unlink(ctx, d.Ino, gone); err != nil {
			t.Fatal(err)
		}
		stay, other := fmt.Sprintf("stay%02d", round), fmt.Sprintf("other%02d", round)
		create(t, db, index.Root, other, fileMode)
		must(db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte(other), NewParent: d.Ino, NewName: []byte(stay)}))
	}
	for i := range 100 {
		if n := seen[fmt.Sprintf("stay%02d", i)]; n != 1 {
			t.Errorf("stay%02d was seen %d times", i, n)
		}
	}
	if _, err := db.ReadDir(ctx, 9999, 0, 10); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	f := lookup(t, db, "d/stay01")
	if _, err := db.ReadDir(ctx, f.Ino, 0, 10); !errors.Is(err, index.ErrNotDir) {
		t.Errorf("file: %v", err)
	}
}

func TestSetAttr(t *testing.T) {
	db := open(t)
	f := create(t, db, index.Root, "f", fileMode)
	mode, uid, size, mtime, ctime := uint32(0o104755), uint32(7), int64(12), int64(-5), int64(3)
	got := must(db.SetAttr(ctx, f.Ino, index.Change{Mode: &mode, UID: &uid, Size: &size, Mtime: &mtime}))
	want := f
	want.Mode, want.UID, want.Size, want.Mtime, want.Ctime = 0o104755, 7, 12, -5, got.Ctime
	if got != want || got.Ctime <= f.Ctime {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if stored := must(db.Get(ctx, f.Ino)); stored != got {
		t.Errorf("stored %+v, answered %+v", stored, got)
	}
	other := uint32(0o040700)
	if got = must(db.SetAttr(ctx, f.Ino, index.Change{Mode: &other, Ctime: &ctime})); got.Mode != 0o100700 || got.Ctime != 3 {
		t.Errorf("got %+v: the type must stay", got)
	}
	if u := must(db.Usage(ctx)); u.Bytes != 12 || u.Dirty != 12 {
		t.Errorf("usage %+v", u)
	}
	negative := int64(-1)
	if _, err := db.SetAttr(ctx, f.Ino, index.Change{Size: &negative}); !errors.Is(err, index.ErrRange) {
		t.Errorf("negative size: %v", err)
	}
	if _, err := db.SetAttr(ctx, index.Root, index.Change{Size: &size}); !errors.Is(err, index.ErrRange) {
		t.Errorf("size of a directory: %v", err)
	}
	if _, err := db.SetAttr(ctx, 99, index.Change{UID: &uid}); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestPaths(t *testing.T) {
	db := open(t)
	tree(t, db, "d/", "d/e/", "d/e/f")
	f := lookup(t, db, "/d/./e//f")
	if path := must(db.Path(ctx, f.Ino)); path != "/d/e/f" {
		t.Errorf("path %q", path)
	}
	if path := must(db.Path(ctx, index.Root)); path != "/" {
		t.Errorf("path of the root %q", path)
	}
	if a := lookup(t, db, "d/e/../../.."); a.Ino != index.Root {
		t.Errorf("resolved to %d", a.Ino)
	}
	if p := must(db.Parent(ctx, f.Ino)); p != lookup(t, db, "d/e").Ino {
		t.Errorf("parent %d", p)
	}
	if _, err := db.Resolve(ctx, "d/e/f/.."); !errors.Is(err, index.ErrNotDir) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := db.Resolve(ctx, "d/x/f"); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	s := create(t, db, index.Root, "s", symlinkMode)
	if target := must(db.Readlink(ctx, s.Ino)); string(target) != "target of s" || s.Size != int64(len(target)) {
		t.Errorf("target %q, size %d", target, s.Size)
	}
	if _, err := db.Readlink(ctx, f.Ino); !errors.Is(err, index.ErrRange) {
		t.Errorf("readlink of a file: %v", err)
	}
}

func TestXattrs(t *testing.T) {
	db := open(t)
	f := create(t, db, index.Root, "f", fileMode)
	set := func(name string, size int, flags index.XattrFlags) error {
		return db.SetXattr(ctx, f.Ino, name, make([]byte, size), flags)
	}
	for _, tt := range []struct {
		name  string
		size  int
		flags index.XattrFlags
		want  error
	}{
		{"user.b", 0, index.XattrReplace, index.ErrNoAttr},
		{"user.b", 3, index.XattrCreate, nil},
		{"user.b", 3, index.XattrCreate, index.ErrExist},
		{"user.b", 5, index.XattrReplace, nil},
		{"user.a", 0, 0, nil},
		{"user.c", index.MaxXattrValue, 0, nil},
		{"user.d", index.MaxXattrValue + 1, 0, index.ErrAttrSize},
		{strings.Repeat("n", 256), 1, 0, index.ErrRange},
		{"", 1, 0, index.ErrRange},
	} {
		if err := set(tt.name, tt.size, tt.flags); !errors.Is(err, tt.want) {
			t.Errorf("set %.10q of %d bytes, flags %d: got %v, want %v", tt.name, tt.size, tt.flags, err, tt.want)
		}
	}
	if names := must(db.ListXattr(ctx, f.Ino)); fmt.Sprint(names) != "[user.a user.b user.c]" {
		t.Errorf("names %q", names)
	}
	if v := must(db.GetXattr(ctx, f.Ino, "user.b")); len(v) != 5 {
		t.Errorf("value %q", v)
	}
	if v := must(db.GetXattr(ctx, f.Ino, "user.a")); v == nil || len(v) != 0 {
		t.Errorf("empty value %#v", v)
	}
	if got := must(db.Get(ctx, f.Ino)); got.Ctime <= f.Ctime {
		t.Errorf("ctime %d stays", got.Ctime)
	}
	if err := db.RemoveXattr(ctx, f.Ino, "user.a"); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"removed twice": db.RemoveXattr(ctx, f.Ino, "user.a"),
		"removed, read": second(db.GetXattr(ctx, f.Ino, "user.a")),
	} {
		if !errors.Is(err, index.ErrNoAttr) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := db.SetXattr(ctx, 99, "user.a", nil, 0); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("missing inode: %v", err)
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = set(fmt.Sprint("user.big", i), index.MaxXattrValue, 0)
	}
	if !errors.Is(err, index.ErrAttrRoom) {
		t.Errorf("many large ones: %v", err)
	}
}

// TestXattrList gives a file attributes until their names fill a list.
func TestXattrList(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	var err error
	made := 0
	for ; err == nil && made < 1000; made++ {
		err = db.SetXattr(ctx, a.Ino, fmt.Sprintf("user.%0250d", made), []byte("x"), 0)
	}
	if !errors.Is(err, index.ErrAttrRoom) {
		t.Fatalf("after %d attributes: %v", made, err)
	}
	names := must(db.ListXattr(ctx, a.Ino))
	list := 0
	for _, name := range names {
		list += len(name) + 1
	}
	if len(names) != made-1 || list > index.MaxXattrList {
		t.Errorf("%d names of %d bytes after %d", len(names), list, made)
	}
	if err := db.SetXattr(ctx, a.Ino, names[0], []byte("another value"), index.XattrReplace); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

// TestLinkLimit gives a file the last name that it may have.
func TestLinkLimit(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	const most = 65_000 // Source: EXT4_LINK_MAX; the contract of the mount wants so many
	if err := db.SetLinks(a.Ino, most-1); err != nil {
		t.Fatal(err)
	}
	if a := must(db.Link(ctx, a.Ino, index.Root, []byte("last"))); a.Nlink != most {
		t.Errorf("%d links", a.Nlink)
	}
	if _, err := db.Link(ctx, a.Ino, index.Root, []byte("more")); !errors.Is(err, index.ErrLinks) {
		t.Errorf("one more: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
