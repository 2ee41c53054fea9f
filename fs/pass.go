package fs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Where it can, the kernel reads and writes a file in staging by itself
// (passthrough): as fast as a plain folder, and unseen by us.
//
// An inode is open in one way at a time. What the first handle gets all others
// get, until the last one is closed and nobody has the file mapped for writing
// any more. The kernel does not tell of the end of a mapping, nor that one is
// synced: staging.File.TakeBack finds out. Mappings for reading may outlive
// that; they go on showing the data file that there was.

// way is how an inode is open.
type way uint8

const (
	wayNone   way = iota
	wayCached     // reads and writes come to us, the kernel caches pages
	wayPassed     // the kernel uses the data file
)

// PassMode says whether a mount uses passthrough.
type PassMode uint8

// The modes of passthrough.
const (
	PassAuto PassMode = iota // where it works, unless fsync certifies
	PassOff
	PassOn // the mount fails where it does not work
)

// Passing tells how files are opened, for status.
type Passing struct {
	On     bool   `json:"on"`
	Why    string `json:"why,omitempty"` // it is off
	Opens  uint64 `json:"opens"`         // that use the data file
	Cached uint64 `json:"cached_opens"`  // that do not
	Failed uint64 `json:"failed"`        // that the kernel refused to let use it
	Lent   int    `json:"writable"`      // files that may be written unseen now
}

// passing is the passthrough of a mount.
type passing struct {
	on     atomic.Bool
	clones bool         // snapshots of files that are being written cost nothing
	server *fuse.Server // set before on

	wakes chan struct{} // there is a file to watch

	opens, cached, failed atomic.Uint64

	handles sync.Map // the kernel's numbers of handles of files whose data file it uses

	mu      sync.Mutex       // guards the fields below
	why     string           // it is off
	tickets map[uint32]int32 // backing IDs on their way to the kernel
	next    uint32
	lent    map[*file]struct{} // that may be written unseen
}

// Passing returns how files were opened so far.
func (fs *FS) Passing() Passing {
	p := &fs.passing
	p.mu.Lock()
	defer p.mu.Unlock()
	return Passing{
		On: p.on.Load(), Why: p.why, Lent: len(p.lent),
		Opens: p.opens.Load(), Cached: p.cached.Load(), Failed: p.failed.Load(),
	}
}

// startPassing finds out whether passthrough works.
func (fs *FS) startPassing(server *fuse.Server, mode PassMode) error {
	p := &fs.passing
	p.server = server
	err := errors.New("switched off")
	if mode == PassAuto && fs.certifier != nil {
		// A file that the kernel writes counts as changed again as soon as it is packed.
		mode, err = PassOff, errors.New("fsync=certified has to see what is written")
	}
	if mode != PassOff {
		p.clones, err = fs.cfg.Staging.Probe(func(fd int) error {
			id, errno := server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
			if errno == 0 {
				errno = server.UnregisterBackingFd(id)
			}
			return whyNot(errno)
		})
	}
	if err != nil {
		p.mu.Lock()
		p.why = err.Error()
		p.mu.Unlock()
		if mode == PassOn {
			return fmt.Errorf("passthrough: %w", err)
		}
		fs.log.Info("reads and writes pass through the daemon", "err", err)
		return nil
	}
	p.on.Store(true)
	return nil
}

// whyNot says what the kernel's refusal means. Source: fuse_backing_open of Linux.
func whyNot(errno syscall.Errno) error {
	switch errno {
	case 0:
		return nil
	case syscall.EPERM:
		if os.Geteuid() != 0 {
			return errors.New("only root may use it")
		}
		return errors.New("the kernel does not offer it (Linux 6.9 does), or CAP_SYS_ADMIN is missing")
	case syscall.ELOOP:
		return errors.New("the state folder lies on a stacked file system")
	case syscall.ENOTTY, syscall.EINVAL, syscall.ENOSYS:
		return errors.New("the kernel does not offer it (Linux 6.9 does)")
	}
	return errno
}

// The library has nowhere to put a backing ID that is not its own, and gives
// the flags of an open back as they are: a ticket for the ID stands in bits that no flag has.
const (
	ticketShift = 8
	ticketMost  = 1<<(32-ticketShift) - 1
)

// ticket puts a backing ID into the flags of an open.
func (p *passing) ticket(id int32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tickets == nil {
		p.tickets = map[uint32]int32{}
	}
	for {
		if p.next = p.next%ticketMost + 1; p.tickets[p.next] == 0 {
			break
		}
	}
	p.tickets[p.next] = id
	return p.next << ticketShift
}

// punchTicket gives the kernel the backing ID that stands for a ticket.
func (p *passing) punchTicket(out *fuse.OpenOut) {
	t := out.OpenFlags >> ticketShift
	if t == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out.OpenFlags &= 1<<ticketShift - 1
	out.BackingID = p.tickets[t]
	delete(p.tickets, t)
	p.handles.Store(out.Fh, nil)
}

// has reports whether a handle is of a file whose data file the kernel uses.
func (p *passing) has(fh uint64) bool {
	_, ok := p.handles.Load(fh)
	return ok
}
