package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Background says what programs get that read everything by themselves, such
// as indexers and thumbnailers, of content that is not on this machine.
type Background uint8

// The kinds of Background.
const (
	SlowBackground  Background = iota // one read at a time, and nothing is read ahead
	AllowBackground                   // what all get
	DenyBackground                    // EACCES
)

var errBackground = errors.New("not fetched for a program in the background")

// backgroundNames are how names of such programs begin, and backgroundParts
// what they contain. The kernel keeps 15 bytes of a name.
var (
	backgroundNames = []string{
		"tracker-", "localsearch", "baloo", "updatedb", "plocate-build", "mlocate", "recollindex", "tumblerd",
		"nepomuk", "zeitgeist", "beagled", "strigi", "gsf-office-thum", "gdk-pixbuf-thum", "kioworker-thumb",
	}
	backgroundParts = []string{"thumbnail"}
)

// knownFor is how long it is remembered what program a thread belongs to, and
// maxKnown of how many threads.
const (
	knownFor = time.Second
	maxKnown = 256
)

// background keeps programs in the background apart. Its methods may be called concurrently.
type background struct {
	mode Background
	turn sync.Mutex // held by the one who reads

	mu    sync.Mutex // guards the field below
	known map[uint32]knownProgram
}

type knownProgram struct {
	at         time.Time
	background bool
}

// enter lets the caller read what is not here. For a program in the background
// it returns what to call at the end; the others go by the fast path.
func (b *background) enter(ctx context.Context) (leave func(), err error) {
	if b.mode == AllowBackground {
		return nil, nil
	}
	_, _, pid := caller(ctx)
	if !b.is(pid) {
		return nil, nil
	}
	if b.mode == DenyBackground {
		return nil, errBackground
	}
	b.turn.Lock()
	return b.turn.Unlock, nil
}

// is reports whether a thread belongs to a program in the background.
func (b *background) is(pid uint32) bool {
	if pid == 0 { // the kernel itself, or somebody in another world of processes
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, ok := b.known[pid]; ok && time.Since(k.at) < knownFor {
		return k.background
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	k := knownProgram{time.Now(), err == nil && inBackground(strings.TrimSpace(string(name)))}
	if b.known == nil || len(b.known) >= maxKnown {
		b.known = map[uint32]knownProgram{}
	}
	b.known[pid] = k
	return k.background
}

func inBackground(name string) bool {
	for _, begin := range backgroundNames {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	for _, part := range backgroundParts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
