package integration

import (
	"fmt"
	"strings"
)

// pathCall is a call that takes a path.
type pathCall struct {
	text  string
	makes bool // PATH is a new name
	reads bool // good on a read-only file system
}

var pathCalls = []pathCall{
	{text: "chmod PATH 0644"},
	{text: "chown PATH -1 0"},
	{text: "lchown PATH 0 -1"},
	{text: "truncate PATH 10"},
	{text: "link PATH new"},
	{text: "link file PATH", makes: true},
	{text: "symlink target PATH", makes: true},
	{text: "mkdir PATH 0755", makes: true},
	{text: "mkfifo PATH 0644", makes: true},
	{text: "mknod PATH c 0644 1 2", makes: true},
	{text: "mknod PATH b 0644 1 2", makes: true},
	{text: "mknod PATH f 0644 0 0", makes: true},
	{text: "open PATH RDONLY", reads: true},
	{text: "open PATH RDWR"},
	{text: "open PATH WRONLY,CREAT 0644", makes: true},
	{text: "open PATH RDONLY,CREAT,EXCL 0644", makes: true},
	{text: "rename PATH new"},
	{text: "rename file PATH", makes: true},
	{text: "rename2 file PATH EXCHANGE"},
	{text: "rename2 file PATH NOREPLACE", makes: true},
	{text: "rmdir PATH"},
	{text: "unlink PATH"},
	{text: "utimens PATH now now"},
	{text: "utimens PATH 5 6"},
	{text: "lutimens PATH 5 6"},
	{text: "stat PATH mode", reads: true},
	{text: "lstat PATH mode", reads: true},
	{text: "access PATH 0", reads: true},
	{text: "access PATH 2"},
	{text: "readlink PATH", reads: true},
	{text: "setxattr PATH user.a value 0"},
	{text: "getxattr PATH user.a", reads: true},
	{text: "listxattr PATH", reads: true},
	{text: "removexattr PATH user.a"},
}

func (c *pathCall) on(path string) string { return strings.ReplaceAll(c.text, "PATH", path) }

// refusals are set-ups in which each call on a path fails, and how.
var refusals = []struct{ name, before, path, want string }{
	{"long name", "", "{n256}", "ENAMETOOLONG"},
	{"long name below", "mkdir d 0755", "d/{n256}", "ENAMETOOLONG"},
	{"long directory", "", "{n256}/x", "ENAMETOOLONG"},
	{"long path", "", "{./2047}xx", "ENAMETOOLONG"},
	{"loop", "symlink a b\nsymlink b a", "a/x", "ELOOP"},
	{"no directory", "", "no/x", "ENOENT"},
	{"dangling directory", "symlink nowhere no", "no/x", "ENOENT"},
	{"empty", "", "''", "ENOENT"},
	{"link to a file", "symlink file n", "n/x", "ENOTDIR"},
	{"no right to search", "make dir d\ncreate d/x 0644\nlchown d 65534 65534\nlchown d/x 65534 65534\nchmod d 0644", "d/x", "EACCES"},
	{"no right of others", "make dir d\ncreate d/x 0644\nchmod d 0770", "d/x", "EACCES"},
}

// pathScripts are the errors that come of paths, for each call that takes one.
func pathScripts() []script {
	var all []script
	for _, kind := range types {
		if kind != "dir" && kind != "symlink" {
			all = append(all, refused("below a "+kind, "make "+kind+" n", "n/x", "ENOTDIR"))
		}
	}
	for _, r := range refusals {
		all = append(all, refused(r.name, r.before, r.path, r.want))
	}
	for _, c := range pathCalls {
		if !c.makes {
			all = append(all, script{"nothing for " + c.text, "create file 0644\n" + c.on("no") + " = ENOENT"})
		}
		all = append(all,
			script{"loop at the end of " + c.text, "create file 0644\nsymlink a b\nsymlink b a\n?" + c.on("a")},
			script{"removed directory of " + c.text, "create file 0644\nmkdir d 0755\nchdir d\nrmdir ../d\n" + strings.Replace(c.on("x"), "file", "../file", 1) + " = ENOENT"})
		all = append(all, c.ends()...)
		all = append(all, c.allowed()...)
	}
	var faults strings.Builder
	for _, call := range []string{"chmod", "chown", "truncate", "unlink", "mkdir", "mknod", "open", "utimens", "symlink"} {
		fmt.Fprintf(&faults, "fault %s = EFAULT\n", call)
	}
	return append(all,
		script{"no address", faults.String()},
		script{"other file system", "create file 0644\nmkdir d 0755\nbindmount d d\nlink file d/x = EXDEV\nrename file d/x = EXDEV\nmkdir e 0755\nrename e d/e = EXDEV"},
		script{"mount point", "mkdir d 0755\nmkdir e 0755\nbindmount d d\nrmdir d = EBUSY\nunlink d = EISDIR\nrename d e = EBUSY\nrename e d = EBUSY"})
}

// refused is a case in which all calls fail in the same way.
func refused(name, before, path, want string) script {
	text, who := "create file 0666\n"+before+"\n", ""
	if want == "EACCES" {
		text, who = "chmod . 0777\n"+text+"chown file 65534 65534\n", "@65534 "
	}
	for _, c := range pathCalls {
		text += who + c.on(path) + " = " + want + "\n"
	}
	return script{name, text}
}

// ends are paths that end in slashes and dots, to what may be there. All in
// the long form, some otherwise.
func (c *pathCall) ends() []script {
	var all []script
	for _, slash := range []string{"x/", "x//", "x/.", "x/..", ".", "..", "./x", "x/../x", "x/./."} {
		for i, before := range []string{"", "make file x", "make dir x", "symlink file x", "make dir d\nsymlink d x", "symlink none x"} {
			if soak() || slash == "x/" || i == 2 && slash == "x/." {
				all = append(all, script{fmt.Sprintf("end %d of %s", len(all), c.text), "create file 0644\n" + before + "\n?" + c.on(slash)})
			}
		}
	}
	return all
}

// allowed are the cases of a call with limits that hold and with such that do not.
func (c *pathCall) allowed() []script {
	before, exists := "create file 0644\nmkdir d 0755\n", "make file d/x\nsetxattr d/x user.a b 0\n"
	if strings.HasPrefix(c.text, "rmdir") {
		exists = "make dir d/x\n"
	}
	if strings.HasPrefix(c.text, "readlink") {
		exists = "symlink somewhere d/x\n"
	}
	if c.makes {
		exists = ""
	}
	owned := "chmod . 0777\nlchown d 65534 65534\nlchown file 65534 65534\n"
	if !c.makes {
		owned += "lchown d/x 65534 65534\n"
	}
	mine := c.on("d/x")
	ro := " = EROFS"
	if c.reads {
		ro = ""
	}
	frozen := mine + ro
	if c.reads || strings.HasPrefix(c.text, "link") || strings.HasPrefix(c.text, "rename") { // which goes from mount to mount
		frozen = "?" + mine
	}
	longest := "?" + c.on("{n255}")
	if !c.makes {
		longest = "make file {n255}\n" + longest
	}
	return []script{
		{"owner: " + c.text, before + exists + owned + "?@65534 " + mine},
		{"others: " + c.text, before + exists + owned + "chmod d 0777\n?@65533 " + mine},
		{"read-only: " + c.text, before + exists + "bindmount d d\nremountro d\n" + frozen},
		{"longest: " + c.text, "create file 0644\n" + longest},
		{"longest path: " + c.text, "create file 0644\n" + strings.ReplaceAll(exists, "d/x", "x") + "?" + c.on("{./2047}x")},
	}
}
