package fs

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// raw stands between the kernel's requests and the library's nodes, for what
// nodes are not told.
type raw struct {
	fuse.RawFileSystem
	passing *passing
}

// newServer mounts the nodes below a root of ours, and serves them.
func (fs *FS) newServer(dir string, options *fusefs.Options) (*fuse.Server, error) {
	root := &node{fs: fs}
	r := &raw{fusefs.NewNodeFS(root, options), &fs.passing}
	server, err := fuse.NewServer(&counted{r, &fs.counters}, dir, &options.MountOptions)
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		if errors.Is(err, syscall.EACCES) {
			err = fmt.Errorf("this user may not enter the root folder, as it is or as uid, gid and umask show it: %w", err)
		}
		return nil, errors.Join(err, server.Unmount()) // else it stays behind, dead
	}
	fs.root.Store(root)
	return server, nil
}

// The library hands nodes a mode without the umask that goes with it. A
// default ACL takes the place of the umask, so that the kernel leaves it to us
// (CAP_DONT_MASK), and it comes to the node in bits that no mode has.
const umaskShift = 16

// Create makes a file and opens it.
func (r *raw) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	in.Mode |= in.Umask << umaskShift
	status := r.RawFileSystem.Create(cancel, in, name, out)
	r.passing.punchTicket(&out.OpenOut)
	return status
}

// Tmpfile makes a file without a name and opens it.
func (r *raw) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	in.Mode |= in.Umask << umaskShift
	status := r.RawFileSystem.Tmpfile(cancel, in, out)
	r.passing.punchTicket(&out.OpenOut)
	return status
}

// Open opens a file.
func (r *raw) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	status := r.RawFileSystem.Open(cancel, in, out)
	r.passing.punchTicket(out)
	return status
}

// Read reads from a file. While the kernel uses the data file it must not keep
// pages of its own, which nobody would bring up to date: it makes such for
// sendfile(2) and splice(2) from a handle that is not passed through, and for
// readahead(2). A read for them names no owner of locks. Programs take EINVAL
// as "read and write instead". Source: fuse_splice_read and fuse_direct_io of Linux.
func (r *raw) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if in.ReadFlags&fuse.READ_LOCKOWNER == 0 && r.passing.has(in.Fh) {
		return nil, fuse.EINVAL
	}
	return r.RawFileSystem.Read(cancel, in, buf)
}

// Release ends a handle.
func (r *raw) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	r.passing.handles.Delete(in.Fh)
	r.RawFileSystem.Release(cancel, in)
}

// Mkdir makes a directory.
func (r *raw) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode |= in.Umask << umaskShift
	return r.RawFileSystem.Mkdir(cancel, in, name, out)
}

// Mknod makes a file of any type but a directory.
func (r *raw) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode |= in.Umask << umaskShift
	return r.RawFileSystem.Mknod(cancel, in, name, out)
}

// nowhere is an offset behind all entries of any directory.
const nowhere = math.MaxInt64

// ReadDir reads a directory.
func (r *raw) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if status := r.forgetRead(cancel, in); !status.Ok() {
		return status
	}
	return r.RawFileSystem.ReadDir(cancel, in, out)
}

// ReadDirPlus reads a directory and looks its entries up.
func (r *raw) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if status := r.forgetRead(cancel, in); !status.Ok() {
		return status
	}
	return r.RawFileSystem.ReadDirPlus(cancel, in, out)
}

// forgetRead makes the library forget its last answer. It would answer a read
// that starts inside of it from memory, and, when that does not fit into the
// reply, lose what is left over. A read of nothing at nowhere leaves it nothing
// to remember, and it asks Seekdir. The kernel sends the reads of a handle one
// at a time.
func (r *raw) forgetRead(cancel <-chan struct{}, in *fuse.ReadIn) fuse.Status {
	away := *in
	away.Offset = nowhere
	return r.RawFileSystem.ReadDir(cancel, &away, fuse.NewDirEntryList(nil, nowhere))
}
