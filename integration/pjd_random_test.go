package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomScripts are calls by chance in a small tree: what they do to each
// other nobody has to think of. They follow from the seed.
func randomScripts(seed uint64, n int) []script {
	all := make([]script, n)
	for i := range all {
		g := randomScript{rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		all[i] = script{fmt.Sprintf("seed %d %d", seed, i), g.text()}
	}
	return all
}

type randomScript struct{ rng *rand.Rand }

func (g *randomScript) text() string {
	var b strings.Builder
	b.WriteString("chmod . 0777\nmkdir d 0777\nmkdir d/d 01777\nmkdir e 02777\nchown e 65534 65532\nchown d 65533 65533\n")
	for range 60 {
		call := g.call()
		var watch string
		if g.rng.IntN(5) == 0 {
			watch = g.path() + " " + g.path() + " . d"
			fmt.Fprintf(&b, "?mark %s\n", watch)
		}
		fmt.Fprintf(&b, "?%s%s\n", g.who(), call)
		if watch != "" {
			fmt.Fprintf(&b, "?changed %s\n", watch)
		}
		if g.rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "?lstat %s type,mode,nlink,uid,gid\n", g.path())
		}
		if g.rng.IntN(4) == 0 {
			fmt.Fprintf(&b, "?fstat %s type,mode,nlink,uid,gid\n?pread %[1]s 0 64\n", g.file())
		}
	}
	return b.String()
}

func (g *randomScript) of(words ...string) string { return words[g.rng.IntN(len(words))] }

func (g *randomScript) who() string {
	return g.of("", "", "@65534 ", "@65533 ", "@65534:65531,65532,65533 ", "@65532 ")
}

func (g *randomScript) path() string {
	return g.of("", "", "d/", "d/d/", "e/", "a/", "b/") + g.of("a", "b", "c", "d", "e")
}

func (g *randomScript) file() string { return g.of("x", "y", "z") }

func (g *randomScript) mode() string {
	return g.of("0644", "0666", "0600", "0777", "0755", "0444", "0", "06777", "02755", "02766", "01777", "04711", "0222")
}

// rights leaves out set-id bits: of a file that gets them while the kernel writes it by itself,
// nobody knows who wrote, so that root's writes take them too.
func (g *randomScript) rights() string {
	return g.of("0644", "0666", "0600", "0777", "0755", "0444", "0", "01777", "0222")
}

// owner leaves out a change of nothing: whether the kernel means that, or a
// write that is about to take set-id bits away, FUSE does not tell, so that who
// owns nothing is not refused it (and changes nothing).
func (g *randomScript) owner() string {
	id := func() string { return g.of("0", "65534", "65533", "65532") }
	return g.of(id()+" "+id(), "-1 "+id(), id()+" -1")
}

func (g *randomScript) number() string {
	return g.of("0", "1", "100", "4095", "4096", "5000", "8192", "20000", "70000", "1100000")
}

// open takes care that no call waits: fifos are opened without.
func (g *randomScript) open() string {
	flags := g.of("RDONLY", "WRONLY", "RDWR", "RDWR", "RDWR") + ",NONBLOCK" + g.of("", "", ",CREAT", ",CREAT,EXCL", ",TRUNC", ",CREAT,TRUNC", ",APPEND", ",NOFOLLOW", ",DIRECTORY")
	return fmt.Sprintf("open %s %s %s %s", g.path(), flags, g.mode(), g.file())
}

func (g *randomScript) call() string {
	path, file := g.path(), g.file()
	switch g.rng.IntN(26) {
	case 0, 1:
		return g.open()
	case 2:
		return "mkdir " + path + " " + g.mode()
	case 3:
		return "make " + g.of(types...) + " " + path
	case 4:
		return "symlink " + g.path() + " " + path
	case 5:
		return "link " + path + " " + g.path()
	case 6, 7:
		return "rename " + path + " " + g.path()
	case 8:
		return "rename2 " + path + " " + g.path() + " " + g.of("EXCHANGE", "EXCHANGE", "NOREPLACE", "WHITEOUT")
	case 9:
		return "unlink " + path
	case 10:
		return "rmdir " + path
	case 11:
		return "chmod " + path + " " + g.rights()
	case 12:
		return g.of("chown ", "lchown ") + path + " " + g.owner()
	case 13:
		return "truncate " + path + " " + g.number()
	case 14:
		return "open " + g.of(".", "d", "e") + " TMPFILE,RDWR " + g.mode() + " " + file
	case 15:
		return "linkfd " + file + " " + path
	case 16:
		return "fchmod " + file + " " + g.rights()
	case 17:
		return "fchown " + file + " " + g.owner()
	case 18:
		return "ftruncate " + file + " " + g.number()
	case 19:
		return "fallocate " + file + " " + g.of("0", "KEEP", "PUNCH", "ZERO", "ZERO,KEEP") + " " + g.number() + " " + g.number()
	case 20:
		return "pwrite " + file + " " + g.number() + " {w" + g.of("1", "10", "5000", "70000") + "}"
	case 21:
		return "write " + file + " {v" + g.of("3", "4096") + "}"
	case 22:
		return "lseek " + file + " " + g.number() + " " + g.of("SET", "CUR", "END")
	case 23:
		return g.of("utimens ", "lutimens ") + path + " " + g.of("now", "omit", "5.6", "-7.8") + " " + g.of("now", "omit", "5.6", "-7.8")
	case 24:
		return g.of("setxattr "+path+" user.a "+g.of("one", "two")+" "+g.of("0", "CREATE", "REPLACE"), "removexattr "+path+" user.a", "getxattr "+path+" user.a", "listxattr "+path)
	}
	return g.of("access "+path+" "+g.of("0", "1", "2", "4", "7"), "copyrange "+file+" "+g.number()+" "+g.file()+" "+g.number()+" "+g.number(), "fsync "+file, "seeks "+file+" "+g.number(), "close "+file, "readlink "+path)
}
