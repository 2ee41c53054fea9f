package main

import "os"

// goMode translates a mode as in st_mode.
func goMode(mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	for bit, meaning := range map[uint32]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if mode&bit != 0 {
			m |= meaning
		}
	}
	return m | modeTypes[mode&0o170000]
}

// The types of files that commands make, in st_mode. Source: inode(7).
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// modeTypes are all types of files. Source: inode(7).
var modeTypes = map[uint32]os.FileMode{
	modeDir: os.ModeDir, modeLink: os.ModeSymlink, 0o010000: os.ModeNamedPipe, 0o140000: os.ModeSocket,
	0o020000: os.ModeDevice | os.ModeCharDevice, 0o060000: os.ModeDevice,
}
