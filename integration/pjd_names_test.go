package integration

import (
	"fmt"
	"strings"
)

// renameScripts are the cases of rename.
func renameScripts() []script {
	all := each("of", `
		mkdir d 0755
		make TYPE f
		?lstat f mode,nlink,uid,gid,rdev
		open f PATH,NOFOLLOW 0 keep
		mark f . d
		rename f g
		changed g<f . d = c,mc,-
		lstat f type = ENOENT
		lstat g type = TYPE
		mark . d
		rename g d/h
		changed . d = mc,mc
		?lstat d/h mode,nlink,uid,gid,rdev
		?fstat keep nlink
		rename d/h d/h
		rename d/none d/h = ENOENT
		lstat d/h type = TYPE
		`, types...)
	for _, from := range types {
		for _, to := range types {
			want, left := "", "f"
			switch {
			case from == "dir" && to != "dir":
				want, left = " = ENOTDIR", "g"
			case from != "dir" && to == "dir":
				want, left = " = EISDIR", "g"
			}
			all = append(all, script{"of " + from + " over " + to, strings.NewReplacer("FROM", from, "OVER", to, "WANT", want, "MARKED", left).Replace(`
				mkdir d 0755
				make FROM f
				make OVER g
				make OVER d/g
				open g PATH,NOFOLLOW 0 old
				mark f g . d
				rename2 f g NOREPLACE = EEXIST
				changed f g . d = -,-,-,-
				rename f gWANT
				?changed g<MARKED . d
				?fstat old nlink
				?lstat f type,nlink
				?rename g d/g
				?changed . d
				?stat d nlink
				?stat . nlink
				`)}, script{"exchange " + from + " with " + to, strings.NewReplacer("FROM", from, "OVER", to).Replace(`
				mkdir d 0755
				make FROM f
				make OVER d/g
				mark f d/g . d
				rename2 f d/g EXCHANGE
				lstat f type = OVER
				lstat d/g type = FROM
				changed f<d/g d/g<f . d = c,c,mc,mc
				?stat d nlink
				?stat . nlink
				rename2 f none EXCHANGE = ENOENT
				rename2 none f EXCHANGE = ENOENT
				rename2 f f EXCHANGE
				rename2 f f NOREPLACE = EEXIST
				rename2 f new NOREPLACE
				rename2 f new EXCHANGE,NOREPLACE = EINVAL
				`)})
		}
	}
	for _, kind := range types {
		all = append(all, script{"with links " + kind, strings.ReplaceAll(`
			make KIND f
			make file a
			link a b
			mark a
			?rename f a
			?lstat b nlink
			?changed b
			make KIND x
			?link x y
			mark x .
			?rename x y
			?changed x .
			?lstat x nlink
			?rename2 x y EXCHANGE
			?rename2 x y NOREPLACE
			`, "KIND", kind)})
	}
	for _, inside := range types {
		all = append(all, script{"over a directory with a " + inside, strings.ReplaceAll(`
			mkdir d 0755
			mkdir e 0755
			make KIND e/f
			mark d e .
			rename d e = ENOTEMPTY
			changed d e . = -,-,-
			remove e/f
			rename d e
			`, "KIND", inside)})
	}
	for i, text := range []string{`
		mkdir d 0755
		mkdir d/e 0755
		mkdir d/e/f 0755
		mark d d/e .
		rename d d/x = EINVAL
		rename d d/e/x = EINVAL
		rename d d/e/f/x = EINVAL
		rename d d/e = EINVAL
		rename d/e d = ENOTEMPTY
		rename2 d d/e EXCHANGE = EINVAL
		rename2 d/e/f d EXCHANGE = EINVAL
		rename d/e/f d/e/f
		changed d d/e . = -,-,-
		rename . x = EBUSY
		rename .. x = EBUSY
		rename d/. x = EBUSY
		rename d/.. x = EBUSY
		rename d/e . = EBUSY
		rename d/e .. = EBUSY
		rename d/e d/. = EBUSY
		`, `
		mkdir a 0755
		mkdir b 0755
		mkdir a/c 0755
		mkdir a/c/x 0755
		rename a/c b/c
		stat a nlink = 2
		stat b nlink = 3
		same b/c/.. b = true
		same b/c/x/../.. b = true
		rename2 a b/c/x EXCHANGE
		same b/c/x/../../.. . = true
		same a/.. . = true
		`, `
		mkdir d 0755
		create f 0644
		open f RDWR 0 a
		write a content = 7
		create g 0644
		open g RDWR 0 b
		write b other = 5
		rename f g
		pread a 0 20 = "content"
		pread b 0 20 = "other"
		fstat b nlink = 0
		write b more = 4
		pread b 0 20 = "othermore"
		open g RDONLY 0 c
		pread c 0 20 = "content"
		lstat g size = 7
		`, `
		chmod . 0777
		mkdir d 0755
		chown d 65534 65534
		mkdir e 0777
		@65533 rename d e/d = EACCES
		chmod d 0777
		@65533 rename d e/d
		chmod e/d 0555
		chown e/d 65533 65533
		@65533 rename e/d d = EACCES
		@65533 rename e/d e/x
		chmod e/x 0755
		@65533 rename e/x x
		`, `
		create f 0644
		rename2 f g WHITEOUT
		lstat f type,mode,rdev,nlink = char,0000,0:0,1
		lstat g type = file
		create h 0644
		rename2 g h WHITEOUT
		lstat g type,rdev = char,0:0
		rename2 g h WHITEOUT,EXCHANGE = EINVAL
		mkdir d 0755
		rename2 d e WHITEOUT
		lstat d type,rdev = char,0:0
		mkdir k 0755
		mark . k
		rename2 h k/h WHITEOUT,NOREPLACE
		changed . k = mc,mc
		rename2 k/h k/h WHITEOUT
		lstat k/h type = file
		chmod . 0777
		chmod k/h 0666
		?@65534 rename2 k/h h WHITEOUT
		create n 0666
		?@65534 rename2 n m WHITEOUT
		rename2 f f2 8 = EINVAL
		stat . nlink = 4
		`} {
		all = append(all, script{fmt.Sprint("case ", i), text})
	}
	return all
}

// removeScripts are the cases of unlink and rmdir.
func removeScripts() []script {
	all := each("unlink of", `
		make TYPE f
		link f g
		mark g .
		unlink f
		changed g . = c,mc
		lstat g nlink = 1
		mark .
		unlink g
		changed . = mc
		unlink g = ENOENT
		make TYPE f
		mark f .
		rmdir f = ENOTDIR
		changed f . = -,-
		`, notDirs...)
	all = append(all, each("rmdir with", `
		mkdir d 0755
		make TYPE d/f
		mark d .
		rmdir d = ENOTEMPTY
		changed d . = -,-
		remove d/f
		rmdir d
		changed . = mc
		rmdir d = ENOENT
		`, types...)...)
	return append(all, script{"directories", `
		mkdir d 0755
		mkdir d/e 0755
		mark d .
		unlink d = EISDIR
		unlink d/e = EISDIR
		rmdir d/. = EINVAL
		rmdir d/.. = ENOTEMPTY
		rmdir d/e/.. = ENOTEMPTY
		rmdir . = EINVAL
		rmdir .. = ENOTEMPTY
		changed d . = -,-
		mark d
		rmdir d/e
		changed d = mc
		symlink d l
		rmdir l = ENOTDIR
		?rmdir l/
		unlink l
		chown d 65534 65534
		?@65534 rmdir d
		chmod . 0777
		@65534 unlink d = EISDIR
		@65534 rmdir d
		`})
}

// stickyScripts: in a directory with the sticky bit only its owner, the
// owner of an entry and root move or remove the entry.
func stickyScripts() []script {
	var all []script
	const me, other = "65534", "65533"
	for _, kind := range types {
		for _, mode := range []string{"0777", "01777"} {
			for _, dir := range []string{me, other, "0"} {
				for _, file := range []string{me, other} {
					refused := mode == "01777" && dir != me && file != me
					want := ""
					if refused {
						want = " = EPERM"
					}
					sign := ""
					if kind == "dir" && file != me && !refused {
						sign = "?" // another directory needs the right to write for its ".."
					}
					all = append(all, script{fmt.Sprint(kind, " ", len(all)), strings.NewReplacer(
						"KIND", kind, "MODE", mode, "DIR", dir, "FILE", file, "WANT", want, "SIGN", sign).Replace(`
						chmod . 0777
						mkdir d 0755
						mkdir mine 0777
						chown mine 65534 65534
						chown d DIR DIR
						chmod d MODE
						make KIND d/f
						lchown d/f FILE FILE
						mark d/f d
						@65534:65533 rename d/f d/gWANT
						?changed d
						?rename d/g d/f
						?@65534 rename2 d/f d/f EXCHANGE
						SIGN@65534 rename d/f mine/fWANT
						?rename mine/f d/f
						make KIND mine/over
						lchown mine/over 65534 65534
						?@65534 rename mine/over d/f
						?make KIND d/f
						lchown d/f FILE FILE
						?make KIND d/over
						lchown d/over 65534 65534
						?@65534 rename d/over d/f
						?@65534 rename2 d/over d/f EXCHANGE
						?make KIND d/f
						lchown d/f FILE FILE
						@65534 remove d/fWANT
						?@0 remove d/f
						?lstat d type
						`)})
				}
			}
		}
	}
	return all
}
