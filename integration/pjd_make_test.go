package integration

import (
	"fmt"
	"strings"
)

// makers are the calls that make an entry f with a mode, and the type of it.
var makers = map[string]string{
	"mkdir f MODE": "dir", "mkfifo f MODE": "fifo", "create f MODE": "file", "open f CREAT,RDONLY,NONBLOCK MODE": "file",
	"mknod f f MODE 0 0": "file", "mknod f 0 MODE 0 0": "file", "mknod f p MODE 0 0": "fifo", "mknod f s MODE 0 0": "socket",
	"mknod f c MODE 1 3": "char", "mknod f b MODE 7 0": "block", "mknod f c MODE 4095 1048575": "char",
}

// createScripts are the cases of what makes entries: mkdir, mkfifo, mknod, open, symlink.
func createScripts() []script {
	var all []script
	for _, call := range sortedKeys(makers) {
		device := strings.Contains(call, " c ") || strings.Contains(call, " b ")
		who, uid := "@65534:65533,5 ", "65534,65533"
		if device {
			who, uid = "", "0,0"
		}
		replace := strings.NewReplacer("KIND", makers[call], "WHO", who, "OWNER", uid)
		text := func(mode string) string { return strings.ReplaceAll(call, "MODE", mode) }
		all = append(all, script{"attributes of " + makers[call] + fmt.Sprint(len(all)), replace.Replace(`
			chmod . 0777
			umask 0
			mark .
			WHO` + text("0755") + `
			changed . = mc
			lstat f type,mode,uid,gid = KIND,0755,OWNER
			?lstat f nlink,rdev,type
			remove f
			umask 077
			WHO` + text("0755") + `
			lstat f mode = 0700
			remove f
			umask 0345
			WHO` + text("0777") + `
			lstat f mode = 0432
			remove f
			umask 0
			WHO` + text("0151") + `
			lstat f mode = 0151
			remove f
			?WHO` + text("07777") + `
			?lstat f mode
			`)})
		all = append(all, each("exists "+makers[call]+fmt.Sprint(len(all)), "make TYPE f\nmark f .\n?"+text("0644")+"\n?changed f .\n?lstat f type,mode", types...)...)
		all = append(all, script{"not allowed " + fmt.Sprint(len(all)), replace.Replace(`
			mkdir d 0755
			chown d 65534 65534
			chmod d 0555
			chdir d
			mark .
			@65534 ` + text("0644") + ` = EACCES
			@65533 ` + text("0644") + ` = EACCES
			changed . = -
			chmod . 0755
			?@65534 ` + text("0644") + `
			?@65533 ` + text("0644") + `
			`)})
	}
	for _, kind := range []string{"c", "b"} {
		all = append(all, script{"devices " + kind, strings.ReplaceAll(`
			chmod . 0777
			mark .
			@65534 mknod f KIND 0644 1 2 = EPERM
			changed . = -
			mknod f KIND 0644 0 0
			lstat f rdev = 0:0
			mknod g KIND 0644 300 70000
			lstat g rdev = 300:70000
			`, "KIND", kind)})
	}
	all = append(all, each("exists", `
		make TYPE f
		mark f .
		symlink x f = EEXIST
		mkdir f 0755 = EEXIST
		mkfifo f 0644 = EEXIST
		mknod f f 0644 0 0 = EEXIST
		mknod f c 0644 0 0 = EEXIST
		create f 0644 = EEXIST
		changed f . = -,-
		`, types...)...)
	return append(all, linksAndDirs()...)
}

func linksAndDirs() []script {
	return []script{
		{"symlink", `
			chmod . 0777
			mark .
			@65534:65533 symlink to f
			changed . = mc
			lstat f type,mode,uid,gid,size = symlink,0777,65534,65533,2
			readlink f = to
			unlink f
			symlink {t4095} f
			lstat f size = 4095
			symlink {t4096} g = ENAMETOOLONG
			symlink '' g = ENOENT
			symlink \ff\fe\01 g
			readlink g = ` + "\xff\xfe\x01" + `
			symlink f f = EEXIST
			@65534 readlink f = ` + strings.Repeat("t", 4095) + `
			readlink . = EINVAL
			umask 0777
			symlink x h
			lstat h mode = 0777
			`},
		{"directory", `
			stat . nlink = 2
			mkdir d 0755
			stat . nlink = 3
			stat d nlink = 2
			mkdir d/e 0755
			stat d nlink = 3
			create d/f 0644
			stat d nlink = 3
			rename d/e e
			stat d nlink = 2
			stat . nlink = 4
			rmdir e
			stat . nlink = 3
			mkdir e 0755
			mkdir d/e 0755
			rename2 e d/f EXCHANGE
			stat . nlink = 3
			stat d nlink = 4
			`},
		{"bad types", `
			?mknod f d 0755 0 0
			?mknod f bad 0755 0 0
			?mkdir . 0755
			?mkdir .. 0755
			?mkdir / 0755
			?mkdir d/ 0755
			?create x/ 0644
			`},
		{"names", `
			create \ff\fe 0644
			create \c3\28 0644
			create {\c3\a4x85} 0644
			create - 0644
			create ... 0644
			create \0a\0d\09 0644
			create \7f 0644
			mkdir A 0755
			mkdir a 0755
			create {x255} 0644
			rename {x255} {y255}
			link {y255} {z255}
			?list .
			`},
		{"unlinked directory", `
			mkdir d 0755
			open d RDONLY,DIRECTORY 0 a
			rmdir d
			fstat a nlink = 0
			?list d
			mkdir d 0755
			?fstat a nlink
			fchmod a 0700
			fstat a mode = 0700
			`},
	}
}

// linkScripts are the cases of link.
func linkScripts() []script {
	all := each("of", `
		mkdir d 0755
		make TYPE f
		lstat f nlink = 1
		mark f . d
		link f d/g
		changed f . d = c,-,mc
		lstat f nlink,type = 2,TYPE
		same f d/g = true
		link d/g h
		lstat h nlink = 3
		lchown f 65534 65533
		lstat h uid,gid = 65534,65533
		mark h d
		unlink d/g
		changed h d = c,mc
		lstat f nlink = 2
		unlink f
		lstat h nlink = 1
		mark h .
		link f x = ENOENT
		link h h = EEXIST
		link h d = EEXIST
		link h d/nothing/x = ENOENT
		changed h . = -,-
		unlink h
		lstat h type = ENOENT
		`, notDirs...)
	all = append(all, each("over", "make file f\nmake TYPE g\nmark f g .\nlink f g = EEXIST\nchanged f g . = -,-,-", types...)...)
	for name, text := range map[string]string{
		"directory": `
			mkdir d 0755
			mark d .
			link d e = EPERM
			changed d . = -,-
			chmod . 0777
			@65534 link d e = EPERM
			`,
		"rights": `
			mkdir d 0755
			mkdir e 0755
			create d/f 0666
			chown d 65534 65534
			chown e 65534 65534
			chown d/f 65534 65534
			@65534 link d/f e/g
			chmod e 0555
			mark d/f e
			@65534 link d/f e/h = EACCES
			chmod e 0755
			chmod d 0644
			@65534 link d/f e/h = EACCES
			chmod d 0555
			@65534 link d/f e/h
			?@65533 link d/f e/i
			chmod e 0777
			chmod d/f 0600
			?@65533 link d/f e/i
			chmod d/f 06777
			?@65533 link d/f e/i
			chmod d/f 0666
			?@65533 link d/f e/i
			`,
		"name of a symlink": "symlink nowhere l\nlink l m\nlstat m type,nlink = symlink,2\nreadlink m = nowhere",
		"open and unlinked": "create f 0644\nopen f RDWR 0 a\nunlink f\nlinkfd a g = ENOENT\nlstat g type = ENOENT",
	} {
		all = append(all, script{name, text})
	}
	return all
}
