package integration

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// fsxSpec is what a process of the exerciser is told.
type fsxSpec struct {
	Dir     string         `json:"dir"`
	Seed    uint64         `json:"seed"`
	Ops     int            `json:"ops"`
	Names   int            `json:"names"`
	MaxSize int64          `json:"max_size"` // of a file, in bytes
	Events  map[string]int `json:"events"`   // how often, about, in the whole run
	Log     string         `json:"log"`      // takes the operations, one a line
	Replay  bool           `json:"replay"`   // do those of Log, instead of new ones

	MountOptions []string `json:"-"` // of the drive
}

// fsxKinds are the operations and how often they are done.
var fsxKinds = []struct {
	kind   string
	weight int
}{
	{"write", 18}, {"append", 5}, {"read", 14}, {"send", 2}, {"truncate", 8}, {"mapread", 7}, {"mapwrite", 9},
	{"directwrite", 5}, {"directread", 5}, {"punch", 5}, {"zero", 5}, {"allocate", 3}, {"copy", 7}, {"seek", 4}, {"stat", 5},
	{"splice", 2}, {"beside", 3}, {"refused", 1}, {"appendonce", 2}, {"another", 5}, {"stamp", 2},
	{"fsync", 1}, {"fdatasync", 1}, {"open", 6}, {"close", 5}, {"rename", 2}, {"exchange", 1}, {"link", 2}, {"unlink", 1}, {"tmpfile", 1},
}

// fsxEvents are done by the process that has the daemon.
var fsxEvents = []string{"sync", "evict", "remount", "kill", "nodes", "collect"}

// fsxOpens are the flags that a file is opened with.
var fsxOpens = []int{
	unix.O_RDONLY, unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR, unix.O_RDWR | unix.O_DIRECT, unix.O_RDONLY | unix.O_DIRECT,
	unix.O_WRONLY | unix.O_APPEND, unix.O_RDWR | unix.O_APPEND, unix.O_RDWR | unix.O_TRUNC, unix.O_WRONLY | unix.O_TRUNC,
	unix.O_RDWR | unix.O_DSYNC, unix.O_RDWR | unix.O_NOATIME,
}

// pick makes the next operation.
func (x *fsx) pick(n int) fsxOp {
	r := x.rng
	op := fsxOp{N: n, File: r.IntN(x.Names), To: r.IntN(x.Names), Fd: r.IntN(12), Flags: r.IntN(64), Seed: r.Uint64()}
	op.Kind = x.pickKind(n, r)
	size := int64(0)
	if f := x.names[op.File]; f != nil {
		size = f.size()
	}
	op.Off = x.pickOffset(r, min(size+size/4+1, x.MaxSize))
	op.At = x.pickOffset(r, x.MaxSize)
	op.Len = min(x.pickLength(r), x.MaxSize-op.Off)
	if op.Kind == "copy" {
		op.Len = min(op.Len, x.MaxSize-op.At)
	}
	return op
}

func (x *fsx) pickKind(n int, r *rand.Rand) string {
	if n-x.evicted < 60 && r.IntN(100) == 0 { // what is told of content that is not here has to be safe too
		return "kill"
	}
	k := r.IntN(x.Ops)
	for _, event := range fsxEvents {
		if k -= x.Events[event]; k < 0 {
			return event
		}
	}
	total := 0
	for _, w := range fsxKinds {
		total += w.weight
	}
	k = r.IntN(total)
	for _, w := range fsxKinds {
		if k -= w.weight; k < 0 {
			return w.kind
		}
	}
	return "stat"
}

// pickOffset is at a page, near a boundary of something that walfs cuts files by, or anywhere.
func (x *fsx) pickOffset(r *rand.Rand, end int64) int64 {
	off := r.Int64N(max(end, 1))
	switch k := r.IntN(10); {
	case k < 4:
		return off / fsxPage * fsxPage
	case k < 6:
		border := int64(64 << 10)
		if r.IntN(2) == 0 {
			border = 1 << 20
		}
		return min(max(off/border*border+r.Int64N(9)-4, 0), max(end-1, 0))
	default:
		return off
	}
}

func (x *fsx) pickLength(r *rand.Rand) int64 {
	switch k := r.IntN(10); {
	case k < 2:
		return 1 + r.Int64N(100)
	case k < 5:
		return fsxPage * (1 + r.Int64N(4))
	case k < 9:
		return 1 + r.Int64N(min(x.MaxSize/4, 80_000))
	default:
		return 1 + r.Int64N(min(x.MaxSize, 1<<20))
	}
}
