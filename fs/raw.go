package fs

import (
	"math"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// raw stands between the kernel's requests and the library's nodes, for what
// nodes are not told.
type raw struct {
	fuse.RawFileSystem
}

// newServer mounts the nodes below a root of ours, and serves them.
func (fs *FS) newServer(dir string, options *fusefs.Options) (*fuse.Server, error) {
	root := &node{fs: fs}
	r := &raw{fusefs.NewNodeFS(root, options)}
	server, err := fuse.NewServer(r, dir, &options.MountOptions)
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, err
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
	return r.RawFileSystem.Create(cancel, in, name, out)
}

// Tmpfile makes a file without a name and opens it.
func (r *raw) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	in.Mode |= in.Umask << umaskShift
	return r.RawFileSystem.Tmpfile(cancel, in, out)
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
