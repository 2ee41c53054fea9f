package fs

import (
	"context"
	"sync"
	"time"

	"github.com/walfs/walfs/index"
)

// Size and time of a file that is being written are in staging, and come into
// the index when its use ends. Who reads the index just before that and looks
// for the file just after would find the size of before in the one and nothing
// in the other, and the kernel would believe it for long. So the ends of uses
// are counted: the index is read again when one came in between.

// ended remembers which files ended their use lately.
type ended struct {
	mu    sync.Mutex
	count uint64
	at    map[index.Ino]uint64
	floor uint64 // count up to which at is forgotten
}

// endedMost is how many files are remembered.
const endedMost = 4096

// note counts the end of a use.
func (e *ended) note(ino index.Ino) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	if e.at == nil || len(e.at) >= endedMost {
		e.at, e.floor = map[index.Ino]uint64{}, e.count
	}
	e.at[ino] = e.count
}

// now returns a moment for since.
func (e *ended) now() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// since reports whether a use of the file may have ended after a moment.
func (e *ended) since(ino index.Ino, moment uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return moment < e.floor || e.at[ino] > moment
}

// overlay puts what staging knows better over what the index said of a file,
// after the given moment. It returns the file if somebody uses it.
func (fs *FS) overlay(ctx context.Context, attr *index.Attr, moment uint64) *file {
	for {
		f := fs.using(attr.Ino)
		if f != nil && f.overlay(attr) || !fs.ended.since(attr.Ino, moment) {
			return f
		}
		moment = fs.ended.now()
		newer, err := fs.cfg.Index.Get(ctx, attr.Ino)
		if err != nil {
			return f // deleted meanwhile
		}
		*attr = newer
	}
}

// overlay puts size and times that staging knows over what the index said of
// the file, and reports whether staging holds it.
func (f *file) overlay(attr *index.Attr) bool {
	local := f.staged()
	if local == nil {
		return false
	}
	state := local.State()
	attr.Ctime = state.Changed(attr, time.Now().UnixNano())
	attr.Size, attr.Mtime = state.Size, state.Mtime
	return true
}
