package integration

import (
	"fmt"
	"strings"
)

// openScripts are the cases of open.
func openScripts() []script {
	var all []script
	for i, text := range []string{`
		mark .
		open f CREAT,WRONLY 0755
		changed . = mc
		mark f .
		open f CREAT,WRONLY 0644
		changed f . = -,-
		lstat f mode,size = 0755,0
		open f WRONLY 0 a
		write a content = 7
		close a
		mark f .
		open f WRONLY,TRUNC
		changed f . = mc,-
		lstat f size = 0
		mark f
		?open f WRONLY,TRUNC
		?changed f
		mark f
		open f RDONLY,TRUNC
		lstat f size = 0
		`, `
		create f 0644
		open f RDWR 0 a
		write a content = 7
		mark f
		open f RDWR,CREAT,TRUNC 0600 b
		changed f = mc
		fstat a size = 0
		fstat a mode = 0644
		pread a 0 10 = ""
		write b again = 5
		pread a 0 10 = "again"
		pwrite a 8 x = 1
		pread b 0 10 = "again\x00\x00\x00x"
		`, `
		mkdir d 0755
		symlink d l
		create f 0644
		symlink f m
		symlink nowhere n
		open d WRONLY = EISDIR
		open d RDWR = EISDIR
		open d RDONLY,TRUNC = EISDIR
		open d WRONLY,TRUNC = EISDIR
		open d RDONLY,CREAT 0644 = EISDIR
		open d RDONLY,CREAT,EXCL 0644 = EEXIST
		open d RDONLY,DIRECTORY
		open l RDONLY,DIRECTORY
		open l RDONLY,NOFOLLOW = ELOOP
		open l RDONLY,NOFOLLOW,DIRECTORY = ENOTDIR
		open m RDONLY,NOFOLLOW = ELOOP
		open m RDONLY,CREAT,NOFOLLOW 0644 = ELOOP
		open m RDONLY,CREAT,EXCL 0644 = EEXIST
		open m RDONLY,DIRECTORY = ENOTDIR
		open f RDONLY,DIRECTORY = ENOTDIR
		open f RDONLY,DIRECTORY,CREAT 0644 = EINVAL
		open n RDONLY = ENOENT
		open n RDONLY,CREAT,EXCL 0644 = EEXIST
		open n RDWR,CREAT 0640
		lstat nowhere mode = 0640
		open m PATH,NOFOLLOW 0 p
		fstat p type = symlink
		?open f 3
		open f RDWR,DIRECT
		open f RDONLY,NOATIME
		`, `
		mkfifo f 0644
		open f WRONLY,NONBLOCK = ENXIO
		open f RDONLY,NONBLOCK 0 a
		open f WRONLY,NONBLOCK 0 b
		write b through = 7
		read a 10 = "through"
		?open f RDONLY,NONBLOCK,TRUNC
		?lstat f size
		bind s
		open s RDONLY = ENXIO
		open s RDWR = ENXIO
		?open s PATH
		`, `
		mknod n c 0666 1 3
		open n RDWR 0 a
		write a gone = 4
		read a 4 = ""
		mknod z c 0666 1 5
		open z RDONLY 0 b
		read b 3 = "\x00\x00\x00"
		mknod no c 0666 240 77
		open no RDONLY = ENXIO
		mknod nob b 0666 240 77
		open nob RDONLY = ENXIO
		`, `
		create f 0644
		open f WRONLY,APPEND 0 a
		open f WRONLY,APPEND 0 b
		write a one = 3
		write b two = 3
		write a three = 5
		pwrite a 0 four = 4
		lstat f size = 15
		open f RDONLY 0 c
		read c 100 = "onetwothreefour"
		lseek a 0 CUR = 11
		write c x = EBADF
		read a 1 = EBADF
		ftruncate a 3
		write b y = 1
		?pread c 0 100
		`, `
		mkdir d 0755
		open d RDONLY,TMPFILE 0600 = EINVAL
		open d RDWR,TMPFILE 0640 a
		mark d
		fstat a type,mode,nlink,size = file,0640,0,0
		write a content = 7
		linkfd a d/name
		changed d = mc
		fstat a nlink = 1
		lstat d/name nlink,size = 1,7
		linkfd a name = 
		lstat name nlink = 2
		open d RDWR,TMPFILE,EXCL 0600 b
		linkfd b d/other = ENOENT
		open d WRONLY,TMPFILE 0 c
		?fstat c mode
		linkfd c d/name = EEXIST
		linkfd c d/third
		open nowhere RDWR,TMPFILE 0600 = ENOENT
		open name RDWR,TMPFILE 0600 = ENOTDIR
		chmod d 0555
		chown d 65534 65534
		@65534 open d RDWR,TMPFILE 0600 = EACCES
		`, `
		create f 0600
		open f RDWR 0 a
		write a content = 7
		link f g
		unlink f
		fstat a nlink = 1
		mark #a
		unlink g
		changed #a = c
		fstat a nlink,size = 0,7
		pread a 0 10 = "content"
		write a more = 4
		fstat a size = 11
		ftruncate a 3
		pread a 0 10 = "con"
		fsetxattr a user.k v
		fgetxattr a user.k = "v"
		futimens a 1 2.3
		fstat a atime,mtime = 1.0,2.3
		fallocate a 0 0 10000
		fstat a size = 10000
		fsync a
		create f 0600
		lstat f size = 0
		pread a 0 3 = "con"
		linkfd a g = ENOENT
		`} {
		all = append(all, script{fmt.Sprint("of ", i), text})
	}
	all = append(all, each("exclusively", "make TYPE f\nmark f .\nopen f CREAT,EXCL,RDWR 0644 = EEXIST\n?open f CREAT,EXCL,RDONLY,NOFOLLOW 0644\nchanged f . = -,-", types...)...)
	return append(all, openRights()...)
}

// openRights: the bits of the class that a user is in decide, no others.
func openRights() []script {
	var all []script
	need := map[string]int{"RDONLY": 4, "WRONLY": 2, "RDWR": 6, "WRONLY,TRUNC": 2, "RDWR,APPEND": 6, "RDONLY,TRUNC": 6, "RDONLY,NONBLOCK": 4}
	classes := []struct {
		who   string
		shift int
	}{{"@65534:65533", 6}, {"@65532:65533", 3}, {"@65532:65531,65533", 3}, {"@65532", 0}}
	for _, kind := range []string{"file", "fifo", "dir"} {
		for _, class := range classes {
			var text strings.Builder
			fmt.Fprintf(&text, "make %s f\nchown f 65534 65533\nopen f PATH 0 keep\n", kind)
			for bits := range 8 {
				for _, other := range []int{0, 0o777} {
					fmt.Fprintf(&text, "chmod f %#o\n", other&^(7<<class.shift)|bits<<class.shift)
					for _, flags := range sortedKeys(need) {
						want := ""
						if bits&need[flags] != need[flags] {
							want = " = EACCES"
						}
						switch {
						case kind == "dir" && flags != "RDONLY" && flags != "RDONLY,NONBLOCK":
							want = " = EISDIR"
						case kind == "fifo" && flags != "RDWR,APPEND" && want == "":
							continue // would wait
						}
						fmt.Fprintf(&text, "%s open f %s%s\n", class.who, flags, want)
					}
					for mode := range 8 {
						fmt.Fprintf(&text, "?%s access f %d\n", class.who, mode)
					}
				}
			}
			fmt.Fprintf(&text, "chmod f 0\nopen f %s\n", map[string]string{"file": "RDWR", "fifo": "RDWR,NONBLOCK", "dir": "RDONLY"}[kind])
			for mode := range 8 {
				fmt.Fprintf(&text, "?access f %d\n", mode)
			}
			all = append(all, script{fmt.Sprintf("rights to a %s of %s", kind, class.who), text.String()})
		}
	}
	return all
}

// rightsScripts: what the bits of a directory allow to do in it.
func rightsScripts() []script {
	var all []script
	const search, write, read = 1, 2, 4
	calls := []struct {
		text string
		need int
	}{
		{"lstat d/f mode", search}, {"lstat d/none mode", search}, {"chdir d", search}, {"readlink d/l", search}, {"open d/f RDONLY", search},
		{"chmod d/mine 0600", search}, {"chown d/mine 65532 -1", search}, {"utimens d/mine 1 1", search}, {"truncate d/mine 3", search},
		{"setxattr d/mine user.a b 0", search}, {"list d", read}, {"link d/mine new", search}, {"access d/f 4", search},
		{"create d/new 0644", search | write}, {"mkdir d/new 0755", search | write}, {"mkfifo d/new 0644", search | write},
		{"symlink to d/new", search | write}, {"bind d/new", search | write}, {"link mine d/new", search | write}, {"unlink d/f", search | write},
		{"rmdir d/e", search | write}, {"rename d/f d/new", search | write}, {"rename d/f new", search | write}, {"rename mine d/new", search | write},
		{"rename mine d/f", search | write}, {"rename d/mine mine", search | write}, {"rename2 d/f mine EXCHANGE", search | write},
		{"open d RDWR,TMPFILE 0600", search | write}, {"open d/new CREAT,RDONLY 0600", search | write}, {"open d/f CREAT,RDONLY 0600", search},
		{"rename d/e new", search | write}, {"unlink d/none", search}, {"rmdir d/none", search},
	}
	for _, class := range []struct {
		who, owner string
		shift      int
	}{{"@65532:65533", "65532 65530", 6}, {"@65532:65533", "65530 65533", 3}, {"@65532", "65530 65530", 0}} {
		for bits := range 8 {
			before := fmt.Sprintf(`
				chmod . 0777
				mkdir d 0755
				create d/f 0666
				create d/mine 0666
				chown d/mine 65532 65532
				symlink to d/l
				mkdir d/e 0777
				chown d/e 65532 65532
				create mine 0666
				chown mine 65532 65532
				chown d %s
				chmod d %#o
				`, class.owner, 0o777&^(7<<class.shift)|bits<<class.shift)
			all = append(all, script{fmt.Sprintf("%d refused to %s of %s", bits, class.who, class.owner), before})
			denied := len(all) - 1
			for _, c := range calls {
				if bits&c.need != c.need {
					all[denied].text += class.who + " " + c.text + " = EACCES\n"
				} else if soak() || bits == c.need {
					all = append(all, script{fmt.Sprintf("%d lets %s of %s %s", bits, class.who, class.owner, c.text), before + "?" + class.who + " " + c.text})
				}
			}
		}
	}
	return all
}
