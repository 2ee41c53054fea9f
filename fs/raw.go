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
	r := &raw{fusefs.NewNodeFS(&node{fs: fs}, options)}
	server, err := fuse.NewServer(r, dir, &options.MountOptions)
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, err
	}
	return server, nil
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
