package integration

import (
	"fmt"
	"strings"
)

// chmodScripts are the cases of chmod.
func chmodScripts() []script {
	var all []script
	all = append(all, each("mode of", `
		make TYPE f
		lstat f mode = 0644
		mark f
		chmod f 0111
		lstat f type,mode = TYPE,0111
		changed f = c
		chmod f 07777
		lstat f mode = 7777
		chmod f 0
		lstat f mode = 0000
		mark f
		@65534 chmod f 0642 = EPERM
		changed f = -
		lstat f mode = 0000
		chown f 65534 65534
		mark f .
		@65534 chmod f 0642
		lstat f mode = 0642
		changed f . = c,-
		@65534:65533 chmod f 0600
		@65533:65534 chmod f 0644 = EPERM
		@65533 chmod f 0644 = EPERM
		@65534 chmod f 01644
		lstat f mode = 1644
		@65534 chmod f 04755
		lstat f mode = 4755
		@65534:65533 chmod f 06755
		lstat f mode = 4755
		@65534:65533,65534 chmod f 06755
		lstat f mode = 6755
		@65534:65534 chmod f 02755
		lstat f mode = 2755
		@65534:65533 chmod f 02745
		lstat f mode = 0745
		`, "file", "fifo", "block", "char", "socket")...)
	for _, text := range []string{`
		mkdir d 0755
		chmod d 0111
		stat d mode = 0111
		chown d 65534 65534
		@65534:65533 chmod d 02755
		stat d mode = 0755
		@65534:65533,65534 chmod d 02755
		stat d mode = 2755
		@65534 chmod d 01777
		stat d mode = 1777
		@65533 chmod d 0755 = EPERM
		chmod d 07777
		stat d mode = 7777
		mark d .
		chmod d 0700
		changed d . = c,-
		`, `
		create f 0644
		symlink f l
		mark f l
		chmod l 0600
		changed f l = c,-
		stat f mode = 0600
		lstat l mode = 0777
		lchmod f 0640
		stat f mode = 0640
		lchmod l 0640 = ENOTSUP
		@65534 chmod l 0644 = EPERM
		lchown l 65534 65534
		@65534 chmod l 0644 = EPERM
		`, `
		create f 0644
		open f RDONLY 0 a
		fchmod a 0
		fstat a mode = 0000
		unlink f
		fchmod a 0600
		fstat a mode,nlink = 0600,0
		fchown a 65534 65533
		fstat a uid,gid = 65534,65533
		`} {
		all = append(all, script{fmt.Sprint("of ", len(all)), text})
	}
	return all
}

// chownScripts are the cases of chown: who may, and what happens to set-id bits.
func chownScripts() []script {
	all := each("owner of", `
		make TYPE f
		mark f .
		lchown f 123 456
		lstat f uid,gid = 123,456
		changed f . = c,-
		lchown f -1 789
		lstat f uid,gid = 123,789
		lchown f 0 -1
		lstat f uid,gid = 0,789
		lchown f 4294967294 4294967294
		lstat f uid,gid = 4294967294,4294967294
		lchown f 65534 65533
		mark f
		lchown f -1 -1
		changed f = c
		mark f
		@65534:65532 lchown f -1 -1
		lstat f uid,gid = 65534,65533
		@65534:65532,65531 lchown f -1 65531
		lstat f uid,gid = 65534,65531
		@65534:65532,65531 lchown f 65534 65532
		lstat f uid,gid = 65534,65532
		mark f
		@65534:65532 lchown f -1 65530 = EPERM
		@65534:65532 lchown f 65533 -1 = EPERM
		@65534:65532 lchown f 65533 65532 = EPERM
		@65533:65532 lchown f 65533 65532 = EPERM
		@65533 lchown f -1 65533 = EPERM
		@65533:65532 lchown f 65534 -1 = EPERM
		changed f = -
		lstat f uid,gid = 65534,65532
		@65533:65532 lchown f -1 -1
		changed f = c
		`, types...)
	all = append(all, script{"of a link", `
		create f 0644
		symlink f l
		mark f l
		chown l 5 6
		changed f l = c,-
		stat f uid,gid = 5,6
		lstat l uid,gid = 0,0
		mark f l
		lchown l 7 8
		changed f l = -,c
		stat f uid,gid = 5,6
		`})
	// Whoever changes the owner of a file that can be executed takes its set-id bits away.
	for _, kind := range []string{"file", "dir", "fifo"} {
		for _, mode := range some(4, "06755", "02745", "04711", "07777", "04755", "02755", "06555", "06644", "06770") {
			for _, who := range []string{"", "@65534 ", "@65534:65533,65534 "} {
				for _, to := range []string{"65534 65534", "-1 65534", "65534 -1", "-1 -1"} {
					text := strings.NewReplacer("KIND", kind, "MODE", mode, "WHO", who, "TO", to).Replace(`
						make KIND f
						chown f 65534 65534
						chmod f MODE
						mark f
						?WHOchown f TO
						?lstat f mode,uid,gid
						?changed f
						`)
					all = append(all, script{fmt.Sprint("set-id ", len(all)), text})
				}
			}
		}
	}
	return all
}

// setidScripts: writes, truncates and holes by others take set-id bits away.
func setidScripts() []script {
	var all []script
	for _, mode := range some(4, "06777", "06767", "02766", "06755", "04777", "02777", "06775", "06666", "07777") {
		for _, who := range []string{"@0", "@65534", "@65533", "@65533:65534"} {
			for _, call := range []string{
				"WHO write a x", "WHO pwrite 2 x", "WHO ftruncate a 2", "WHO ftruncate a 100", "WHO truncate f 0", "WHO truncate f 50", "WHO open f WRONLY,TRUNC",
				"WHO fallocate a 0 0 9000", "WHO fallocate a PUNCH 0 4096", "WHO fallocate a ZERO 0 10", "WHO utimens f now now", "WHO copyrange a 0 a 100 3",
			} {
				if call == "WHO pwrite 2 x" {
					call = "WHO pwrite a 2 x"
				}
				text := strings.NewReplacer("CALL", "?"+call, "WHO", who, "MODE", mode).Replace(`
					create f 0644
					open f RDWR 0 a
					write a content = 7
					chown f 65534 65534
					chmod f MODE
					CALL
					?stat f mode,size
					?fstat a mode
					close a
					?stat f mode,size
					?setxattr f user.a b 0
					?stat f mode
					`)
				text = strings.ReplaceAll(text, "WHO", who)
				all = append(all, script{fmt.Sprint("bits ", len(all)), text})
			}
		}
	}
	// Whom the bits kept from linking a file that is not his may do so once they are gone, whatever took them.
	for _, who := range []string{"@65534", "@65533"} {
		for _, call := range []string{
			"pwrite a 2 x", "ftruncate a 2", "fallocate a 0 0 9000", "fallocate a PUNCH 20000 100", "fallocate a ZERO 0 10", "copyrange a 0 a 100 3", "fsync a",
		} {
			all = append(all, script{fmt.Sprint("linked ", len(all)), strings.NewReplacer("CALL", who+" "+call, "OTHER", "@65532").Replace(`
				chmod . 0777
				create f 0644
				open f RDWR 0 a
				write a content = 7
				chown f 65534 65534
				chmod f 06777
				?OTHER link f e
				?CALL
				?OTHER link f g
				?OTHER linkfd a h
				?lstat f mode,nlink
				open . TMPFILE,RDWR 0 t
				fchown t 65534 65534
				fchmod t 06777
				` + strings.NewReplacer(" a ", " t ").Replace("?"+who+" "+call) + `
				?OTHER linkfd t i
				?fstat t mode,nlink
				`)})
		}
	}
	// Directories with the set-gid bit pass group and bit on.
	for _, kind := range types {
		for _, who := range []string{"", "@65533 ", "@65533:65532,65531 ", "@65533:65531 "} {
			for _, mode := range []string{"02777", "0777"} {
				all = append(all, script{fmt.Sprint("inherit ", len(all)), strings.NewReplacer("KIND", kind, "WHO", who, "MODE", mode).Replace(`
					mkdir d 0755
					chown d 65534 65531
					chmod d MODE
					?WHOmake KIND d/f
					?lstat d/f mode,uid,gid
					?WHOmkdir d/sub 0777
					?lstat d/sub mode,uid,gid
					?WHOopen d/new CREAT,RDWR 02777
					?lstat d/new mode,uid,gid
					?WHOmknod d/nod f 06777 0 0
					?lstat d/nod mode,uid,gid
					?WHOopen d TMPFILE,RDWR 02777 t
					?fstat t mode,uid,gid
					`)})
			}
		}
	}
	return all
}
