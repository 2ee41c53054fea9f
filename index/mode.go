package index

// The file types in st_mode. Source: POSIX values as Linux has them, inode(7).
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
	modeFifo    = 0o010000
	modeSocket  = 0o140000
	modeChar    = 0o020000
	modeBlock   = 0o060000
)
