package integration

import (
	"fmt"
	"strings"
)

// sizeScripts are the cases of truncate, ftruncate and fallocate.
func sizeScripts() []script {
	var all []script
	for i, text := range []string{`
		create f 0644
		open f RDWR 0 a
		write a 0123456789 = 10
		mark f .
		truncate f 5
		changed f . = mc,-
		lstat f size = 5
		mark f
		truncate f 5
		?changed f
		mark f
		ftruncate a 5
		?changed f
		truncate f 1234567
		lstat f size = 1234567
		pread a 0 10 = "01234\x00\x00\x00\x00\x00"
		ftruncate a 3
		ftruncate a 12
		pread a 0 20 = "012\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		mark f
		ftruncate a 0
		changed f = mc
		lstat f size = 0
		pread a 0 10 = ""
		write a x = 1
		lstat f size = 11
		mark f
		truncate f -1 = EINVAL
		ftruncate a -1 = EINVAL
		changed f = -
		`, `
		create f 0644
		open f RDONLY 0 a
		mark f
		ftruncate a 5 = EINVAL
		fallocate a 0 0 10 = EBADF
		changed f = -
		open f WRONLY 0 b
		ftruncate b 5
		lstat f size = 5
		mkdir d 0755
		mkfifo p 0644
		truncate d 5 = EISDIR
		truncate p 5 = EINVAL
		bind s
		truncate s 5 = EINVAL
		symlink f l
		truncate l 2
		stat f size = 2
		symlink none m
		truncate m 2 = ENOENT
		`, `
		create f 0644
		chown f 65534 65534
		mark f
		@65533 truncate f 5 = EACCES
		changed f = -
		chmod f 0444
		@65534 truncate f 5 = EACCES
		chmod f 0222
		@65533 truncate f 5
		chmod f 0
		truncate f 7
		lstat f size = 7
		@65534 open f WRONLY = EACCES
		`, `
		create f 0644
		open f RDWR 0 a
		fallocate a 0 0 0 = EINVAL
		fallocate a 0 -1 5 = EINVAL
		fallocate a 0 5 -1 = EINVAL
		fallocate a 0 9223372036854775807 1 = EFBIG
		fallocate a BAREPUNCH 0 10 = ENOTSUP
		fallocate a 0x40000000 0 10 = ENOTSUP
		mark f
		fallocate a 0 0 567
		?changed f
		lstat f size = 567
		fallocate a 0 20000 3456
		lstat f size = 23456
		mark f
		fallocate a KEEP 0 100000
		?changed f
		lstat f size = 23456
		pwrite a 0 content = 7
		fallocate a 0 0 100
		pread a 0 10 = "content\x00\x00\x00"
		mark f
		fallocate a PUNCH 0 3
		changed f = mc
		pread a 0 10 = "\x00\x00\x00tent\x00\x00\x00"
		mark f
		fallocate a ZERO 3 2
		changed f = mc
		pread a 0 10 = "\x00\x00\x00\x00\x00nt\x00\x00\x00"
		lstat f size = 23456
		fallocate a ZERO 23000 1000
		lstat f size = 24000
		fallocate a ZERO,KEEP 23000 10000
		lstat f size = 24000
		fallocate a PUNCH 23000 10000
		lstat f size = 24000
		fallocate a PUNCH 0 50000
		lstat f size = 24000
		mkfifo p 0644
		open p RDWR 0 b
		fallocate b 0 0 10 = ESPIPE
		mkdir d 0755
		open d RDONLY 0 c
		fallocate c 0 0 10 = EBADF
		open f RDWR,APPEND 0 e
		fallocate e 0 30000 10
		lstat f size = 30010
		?fallocate e PUNCH 0 10
		`, `
		create f 0644
		open f RDWR 0 a
		write a 0123456789 = 10
		create g 0644
		open g RDWR 0 b
		mark f g
		copyrange a 2 b 0 5 = 5
		changed f g = -,mc
		pread b 0 10 = "23456"
		copyrange a 8 b 100 50 = 2
		lstat g size = 102
		copyrange a 10 b 0 5 = 0
		copyrange a 100 b 0 5 = 0
		copyrange a 0 a 20 5 = 5
		copyrange a 0 a 3 5 = EINVAL
		open g RDONLY 0 c
		copyrange a 0 c 0 5 = EBADF
		open g WRONLY 0 d
		copyrange d 0 a 0 5 = EBADF
		open g WRONLY,APPEND 0 e
		copyrange a 0 e 0 5 = EBADF
		mkdir h 0755
		open h RDONLY 0 i
		copyrange i 0 b 0 5 = EISDIR
		`, `
		create f 0644
		open f RDWR 0 a
		mark f
		write a '' = 0
		changed f = -
		pwrite a 0 x = 1
		changed f = mc
		mark f
		pread a 0 1 = "x"
		changed f = -
		pread a 5 1 = ""
		pread a -1 1 = EINVAL
		pwrite a -1 x = EINVAL
		lseek a -1 SET = EINVAL
		lseek a 5 SET = 5
		lseek a -1 CUR = 4
		lseek a 0 END = 1
		lseek a 10 END = 11
		write a y = 1
		lstat f size = 12
		pread a 0 20 = "x\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00y"
		`} {
		all = append(all, script{fmt.Sprint("of ", i), text})
	}
	return all
}

// timeScripts are the cases of utimensat.
func timeScripts() []script {
	all := each("of", `
		make TYPE f
		mark f .
		lutimens f 1960000000.123456789 1950000000.987654321
		lstat f atime,mtime = 1960000000.123456789,1950000000.987654321
		changed f . = mc,-
		lutimens f omit 1940000000.1
		lstat f atime,mtime = 1960000000.123456789,1940000000.1
		lutimens f 1930000000.2 omit
		lstat f atime,mtime = 1930000000.2,1940000000.1
		mark f
		lutimens f omit omit
		lstat f atime,mtime = 1930000000.2,1940000000.1
		changed f = -
		lutimens f now omit
		lstat f mtime = 1940000000.1
		lutimens f omit now
		changed f = mc
		lutimens f -1.0 -1.999999999
		lstat f atime,mtime = -1.0,-1.999999999
		lutimens f -2147483647.5 -2147483648.0
		lstat f atime,mtime = -2147483647.5,-2147483648.0
		lutimens f 2147483648.1 4294967296.2
		lstat f atime,mtime = 2147483648.1,4294967296.2
		lutimens f 9223372035.999999999 9223372035.1
		lstat f atime,mtime = 9223372035.999999999,9223372035.1
		lutimens f 0.0 0.999999999
		lstat f atime,mtime = 0.0,0.999999999
		lutimens f 5.1000000000 5 = EINVAL
		lutimens f 5 5.-1 = EINVAL
		chmod . 0755
		lstat f atime,mtime = 0.0,0.999999999
		rename f g
		lstat g atime,mtime = 0.0,0.999999999
		lchown g 65534 65534
		lstat g atime,mtime = 0.0,0.999999999
		`, types...)
	for _, kind := range []string{"file", "dir", "fifo", "socket"} {
		var text strings.Builder
		fmt.Fprintf(&text, "make %s f\nchown f 65534 65533\n", kind)
		for _, mode := range []string{"0644", "0666", "0200", "0020", "0444", "0"} {
			fmt.Fprintf(&text, "chmod f %s\n", mode)
			for _, who := range []string{"@0", "@65534", "@65532", "@65532:65533"} {
				for _, times := range []string{"now now", "now omit", "omit now", "omit omit", "1 2", "1 omit", "omit 1", "now 1", "1 now"} {
					sign := "?"
					if who == "@0" || who == "@65534" {
						sign = ""
					}
					fmt.Fprintf(&text, "%s%s utimens f %s\n", sign, who, times)
				}
			}
		}
		all = append(all, script{"rights to " + kind, text.String()})
	}
	return append(all, script{"links", `
		create f 0644
		symlink f l
		utimens f 1 1
		lutimens l 2 2
		lstat l atime,mtime = 2.0,2.0
		utimens l 3 3
		stat f atime,mtime = 3.0,3.0
		lstat l mtime = 2.0
		symlink none n
		utimens n 1 1 = ENOENT
		lutimens n 1 1
		`}, script{"order", `
		create f 0644
		open f RDWR 0 a
		write a x = 1
		futimens a 100.5 200.25
		fstat a atime,mtime = 100.5,200.25
		close a
		stat f mtime = 200.25
		open f RDWR 0 a
		utimens f 1 2
		write a y = 1
		mark f
		close a
		changed f = -
		open f WRONLY 0 a
		write a z = 1
		utimens f 7 8
		fsync a
		close a
		stat f mtime = 8.0
		link f g
		stat f mtime = 8.0
		chmod f 0600
		stat g mtime = 8.0
		truncate f 10
		utimens f 9 10
		open f RDONLY 0 a
		read a 3 = "z\x00\x00"
		close a
		stat f mtime = 10.0
		`})
}

// xattrScripts are the cases of extended attributes.
func xattrScripts() []script {
	all := each("of", `
		make TYPE f
		chown . 65534 65534
		lchown f 65534 65534
		mark f .
		?setxattr f user.a value 0
		?changed f .
		?getxattr f user.a
		?getxattr f user.none
		?listxattr f
		?removexattr f user.a
		?removexattr f user.none
		?@65534 setxattr f user.b value 0
		?@65533 setxattr f user.c value 0
		?@65533 getxattr f user.b
		?@65533 listxattr f
		?lchmod f 0600
		?@65533 getxattr f user.b
		?@65533 listxattr f
		?@65534 setxattr f trusted.a value 0
		?@65534 getxattr f trusted.a
		?@65534 removexattr f trusted.a
		mark f
		setxattr f trusted.a value 0
		changed f = c
		getxattr f trusted.a = value
		?@65534 getxattr f trusted.a
		?@65534 listxattr f
		?listxattr f
		setxattr f trusted.a other CREATE = EEXIST
		setxattr f trusted.b other REPLACE = ENODATA
		setxattr f trusted.a other REPLACE
		setxattr f trusted.b '' CREATE
		getxattr f trusted.b = 
		mark f
		removexattr f trusted.b
		changed f = c
		mark f
		removexattr f trusted.b = ENODATA
		changed f = -
		?setxattr f security.test value 0
		?@65534 setxattr f security.test other 0
		?@65533 getxattr f security.test
		?@65533 listxattr f
		?getxattr f system.posix_acl_access
		?getxattr f system.posix_acl_default
		?removexattr f system.posix_acl_access
		?removexattr f system.posix_acl_default
		?setxattr f system.posix_acl_access bad 0
		?setxattr f system.other bad 0
		`, types...)
	return append(all, script{"limits", `
		create f 0644
		setxattr f user.{n250} value 0
		setxattr f user.{n251} value 0 = ERANGE
		setxattr f user. value 0 = EINVAL
		setxattr f user value 0 = ENOTSUP
		setxattr f '' value 0 = ERANGE
		setxattr f other.a value 0 = ENOTSUP
		getxattr f other.a = ENOTSUP
		getxattr f user.{n250} 0 = 5
		getxattr f user.{n250} 4 = ERANGE
		getxattr f user.{n250} 5 = value
		setxattr f user.long {v65537} 0 = E2BIG
		setxattr f user.a one CREATE
		setxattr f user.a two CREATE = EEXIST
		setxattr f user.b two REPLACE = ENODATA
		setxattr f user.a two REPLACE
		setxattr f user.a two CREATE,REPLACE = EEXIST
		setxattr f user.b two 4 = EINVAL
		setxattr f user.b two CREATE,REPLACE = ENODATA
		listxattr f = user.a,user.` + strings.Repeat("n", 250) + `
		link f g
		getxattr g user.a = two
		rename g h
		getxattr h user.a = two
		setxattr f user.\ff\01 \00\ff\80 0
		getxattr f user.\ff\01 = ` + "\x00\xff\x80" + `
		`}, script{"capabilities", `
		create f 0755
		open f RDWR 0 a
		setxattr f security.capability \01\00\00\02\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00 0
		?getxattr f security.capability
		write a x = 1
		getxattr f security.capability = ENODATA
		setxattr f security.capability \01\00\00\02\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00 0
		truncate f 0
		getxattr f security.capability = ENODATA
		setxattr f security.capability \01\00\00\02\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00 0
		chown f 65534 65534
		getxattr f security.capability = ENODATA
		setxattr f security.capability \01\00\00\02\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00 0
		?@65534 getxattr f security.capability
		chmod f 0777
		?getxattr f security.capability
		@65533 write a x = 1
		getxattr f security.capability = ENODATA
		setxattr f security.capability \01\00\00\02\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00 0
		fallocate a ZERO 0 5
		?getxattr f security.capability
		open f WRONLY,TRUNC
		?getxattr f security.capability
		`})
}

// sparseScripts look for data and holes.
func sparseScripts() []script {
	const all = "0 1 4095 4096 4097 8191 8192 12288 16383 16384 20000 28672 32768 40000 65536 99999 100000 100001"
	var seeks strings.Builder
	for off := range strings.FieldsSeq(all) {
		fmt.Fprintf(&seeks, "?lseek a %s DATA\n?lseek a %s HOLE\n", off, off)
	}
	ends := "?lseek a -1 DATA\n?lseek a -1 HOLE\n?lseek a 9223372036854775807 DATA\n?lseek a 9223372036854775807 HOLE\nlseek a 0 7 = EINVAL\n"
	var cases []script
	for i, text := range []string{
		"",
		"ftruncate a 100000",
		"pwrite a 0 {x100000} = 100000",
		"ftruncate a 100000\npwrite a 8192 {x4096} = 4096",
		"ftruncate a 100000\npwrite a 99999 x = 1",
		"ftruncate a 100000\npwrite a 10000 x = 1",
		"pwrite a 0 {x40000} = 40000\nfallocate a PUNCH 4096 8192",
		"pwrite a 0 {x40000} = 40000\nfallocate a PUNCH 4000 10000",
		"pwrite a 0 {x40000} = 40000\nfallocate a PUNCH 0 4096\nfallocate a PUNCH 36864 10000",
		"pwrite a 0 {x40000} = 40000\nfallocate a PUNCH 0 100000",
		"pwrite a 0 {x40000} = 40000\nftruncate a 20000\nftruncate a 100000",
		"pwrite a 0 {x40000} = 40000\nftruncate a 0\nftruncate a 100000",
		"pwrite a 32768 {x4096} = 4096\nftruncate a 36864",
		"pwrite a 40000 x = 1\npwrite a 4096 x = 1\npwrite a 16384 x = 1",
		"pwrite a 0 {x40000} = 40000\nfallocate a PUNCH 16384 4096\npwrite a 16384 yes = 3",
	} {
		for _, end := range []string{"", "fsync a\n", "close a\nopen f RDONLY 0 a\n"} {
			cases = append(cases, script{fmt.Sprint("holes ", i, len(end)), "create f 0644\nopen f RDWR 0 a\n" + text + "\n" + end + seeks.String() + ends})
		}
	}
	return append(cases, script{"blocks", `
		create f 0644
		open f RDWR 0 a
		ftruncate a 2000000
		stat f blocks = 0
		pwrite a 8192 {x8192} = 8192
		fstat a blocks = 16
		fallocate a PUNCH 8192 4096
		fstat a blocks = 8
		fallocate a 0 1048576 65536
		fstat a blocks = 136
		fsync a
		ftruncate a 1048576
		fstat a blocks = 8
		link f g
		close a
		stat g blocks = 8
		`})
}
