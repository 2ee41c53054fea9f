package fs

import (
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// op numbers a kind of request that is counted.
type op int

// What is counted. Not here: what the kernel does not wait for.
const (
	opLookup op = iota
	opGetAttr
	opSetAttr
	opMknod
	opMkdir
	opUnlink
	opRmdir
	opRename
	opLink
	opSymlink
	opReadlink
	opGetXAttr
	opListXAttr
	opSetXAttr
	opRemoveXAttr
	opCreate
	opOpen
	opRead
	opLseek
	opCopyFileRange
	opWrite
	opFlush
	opFsync
	opFallocate
	opOpenDir
	opReadDir
	opReadDirPlus
	opFsyncDir
	opStatFs
	opKinds
)

// opNames are the names of the kinds of requests, as the kernel has them.
var opNames = [opKinds]string{
	opLookup:        "lookup",
	opGetAttr:       "getattr",
	opSetAttr:       "setattr",
	opMknod:         "mknod",
	opMkdir:         "mkdir",
	opUnlink:        "unlink",
	opRmdir:         "rmdir",
	opRename:        "rename",
	opLink:          "link",
	opSymlink:       "symlink",
	opReadlink:      "readlink",
	opGetXAttr:      "getxattr",
	opListXAttr:     "listxattr",
	opSetXAttr:      "setxattr",
	opRemoveXAttr:   "removexattr",
	opCreate:        "create",
	opOpen:          "open",
	opRead:          "read",
	opLseek:         "lseek",
	opCopyFileRange: "copyfilerange",
	opWrite:         "write",
	opFlush:         "flush",
	opFsync:         "fsync",
	opFallocate:     "fallocate",
	opOpenDir:       "opendir",
	opReadDir:       "readdir",
	opReadDirPlus:   "readdirplus",
	opFsyncDir:      "fsyncdir",
	opStatFs:        "statfs",
}

// maxErrno is one more than the largest number of an error. Source: errno(3).
const maxErrno = 134

// counters count requests. The zero value counts.
type counters struct {
	ops           [opKinds]atomic.Uint64
	failed        [maxErrno]atomic.Uint64 // by errno
	read, written atomic.Uint64           // bytes
	panics        atomic.Uint64
}

// note counts a request that was answered with a status, and returns that.
func (c *counters) note(o op, status fuse.Status) fuse.Status {
	c.ops[o].Add(1)
	if status > 0 && status < maxErrno {
		c.failed[status].Add(1)
	}
	return status
}

// Counts is what requests came since the mount. Reads and writes that the
// kernel answers itself are not among them.
type Counts struct {
	Requests      map[string]uint64 // by kind
	Errors        map[int]uint64    // by errno; no name is one too
	Read, Written uint64            // bytes
	Panics        uint64
}

// Counts returns what was counted so far.
func (fs *FS) Counts() Counts {
	c := Counts{Requests: map[string]uint64{}, Errors: map[int]uint64{},
		Read: fs.counters.read.Load(), Written: fs.counters.written.Load(), Panics: fs.counters.panics.Load()}
	for o, name := range opNames {
		c.Requests[name] = fs.counters.ops[o].Load()
	}
	for errno := range fs.counters.failed {
		if n := fs.counters.failed[errno].Load(); n > 0 {
			c.Errors[errno] = n
		}
	}
	return c
}

// counted counts the requests on their way to the nodes.
type counted struct {
	fuse.RawFileSystem
	n *counters
}

// Lookup counts.
func (c *counted) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return c.n.note(opLookup, c.RawFileSystem.Lookup(cancel, header, name, out))
}

// GetAttr counts.
func (c *counted) GetAttr(cancel <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return c.n.note(opGetAttr, c.RawFileSystem.GetAttr(cancel, input, out))
}

// SetAttr counts.
func (c *counted) SetAttr(cancel <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return c.n.note(opSetAttr, c.RawFileSystem.SetAttr(cancel, input, out))
}

// Mknod counts.
func (c *counted) Mknod(cancel <-chan struct{}, input *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.n.note(opMknod, c.RawFileSystem.Mknod(cancel, input, name, out))
}

// Mkdir counts.
func (c *counted) Mkdir(cancel <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.n.note(opMkdir, c.RawFileSystem.Mkdir(cancel, input, name, out))
}

// Unlink counts.
func (c *counted) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return c.n.note(opUnlink, c.RawFileSystem.Unlink(cancel, header, name))
}

// Rmdir counts.
func (c *counted) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return c.n.note(opRmdir, c.RawFileSystem.Rmdir(cancel, header, name))
}

// Rename counts.
func (c *counted) Rename(cancel <-chan struct{}, input *fuse.RenameIn, oldName string, newName string) fuse.Status {
	return c.n.note(opRename, c.RawFileSystem.Rename(cancel, input, oldName, newName))
}

// Link counts.
func (c *counted) Link(cancel <-chan struct{}, input *fuse.LinkIn, filename string, out *fuse.EntryOut) fuse.Status {
	return c.n.note(opLink, c.RawFileSystem.Link(cancel, input, filename, out))
}

// Symlink counts.
func (c *counted) Symlink(cancel <-chan struct{}, header *fuse.InHeader, pointedTo string, linkName string, out *fuse.EntryOut) fuse.Status {
	return c.n.note(opSymlink, c.RawFileSystem.Symlink(cancel, header, pointedTo, linkName, out))
}

// Readlink counts.
func (c *counted) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	result, status := c.RawFileSystem.Readlink(cancel, header)
	return result, c.n.note(opReadlink, status)
}

// GetXAttr counts.
func (c *counted) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	result, status := c.RawFileSystem.GetXAttr(cancel, header, attr, dest)
	return result, c.n.note(opGetXAttr, status)
}

// ListXAttr counts.
func (c *counted) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	result, status := c.RawFileSystem.ListXAttr(cancel, header, dest)
	return result, c.n.note(opListXAttr, status)
}

// SetXAttr counts.
func (c *counted) SetXAttr(cancel <-chan struct{}, input *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	return c.n.note(opSetXAttr, c.RawFileSystem.SetXAttr(cancel, input, attr, data))
}

// RemoveXAttr counts.
func (c *counted) RemoveXAttr(cancel <-chan struct{}, header *fuse.InHeader, attr string) fuse.Status {
	return c.n.note(opRemoveXAttr, c.RawFileSystem.RemoveXAttr(cancel, header, attr))
}

// Create counts.
func (c *counted) Create(cancel <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return c.n.note(opCreate, c.RawFileSystem.Create(cancel, input, name, out))
}

// Open counts.
func (c *counted) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.n.note(opOpen, c.RawFileSystem.Open(cancel, input, out))
}

// Read counts.
func (c *counted) Read(cancel <-chan struct{}, input *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	result, status := c.RawFileSystem.Read(cancel, input, buf)
	c.n.note(opRead, status)
	if result != nil {
		c.n.read.Add(uint64(result.Size()))
	}
	return result, status
}

// Lseek counts.
func (c *counted) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	return c.n.note(opLseek, c.RawFileSystem.Lseek(cancel, in, out))
}

// CopyFileRange counts.
func (c *counted) CopyFileRange(cancel <-chan struct{}, input *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	result, status := c.RawFileSystem.CopyFileRange(cancel, input)
	return result, c.n.note(opCopyFileRange, status)
}

// Write counts.
func (c *counted) Write(cancel <-chan struct{}, input *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	result, status := c.RawFileSystem.Write(cancel, input, data)
	c.n.note(opWrite, status)
	c.n.written.Add(uint64(result))
	return result, status
}

// Writev counts. One that is not implemented comes again as Write.
func (c *counted) Writev(cancel <-chan struct{}, input *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	result, status := c.RawFileSystem.Writev(cancel, input, data)
	if status != fuse.ENOSYS {
		c.n.note(opWrite, status)
		c.n.written.Add(uint64(result))
	}
	return result, status
}

// Flush counts.
func (c *counted) Flush(cancel <-chan struct{}, input *fuse.FlushIn) fuse.Status {
	return c.n.note(opFlush, c.RawFileSystem.Flush(cancel, input))
}

// Fsync counts.
func (c *counted) Fsync(cancel <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	return c.n.note(opFsync, c.RawFileSystem.Fsync(cancel, input))
}

// Fallocate counts.
func (c *counted) Fallocate(cancel <-chan struct{}, input *fuse.FallocateIn) fuse.Status {
	return c.n.note(opFallocate, c.RawFileSystem.Fallocate(cancel, input))
}

// OpenDir counts.
func (c *counted) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.n.note(opOpenDir, c.RawFileSystem.OpenDir(cancel, input, out))
}

// ReadDir counts.
func (c *counted) ReadDir(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return c.n.note(opReadDir, c.RawFileSystem.ReadDir(cancel, input, out))
}

// ReadDirPlus counts.
func (c *counted) ReadDirPlus(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return c.n.note(opReadDirPlus, c.RawFileSystem.ReadDirPlus(cancel, input, out))
}

// FsyncDir counts.
func (c *counted) FsyncDir(cancel <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	return c.n.note(opFsyncDir, c.RawFileSystem.FsyncDir(cancel, input))
}

// StatFs counts.
func (c *counted) StatFs(cancel <-chan struct{}, input *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return c.n.note(opStatFs, c.RawFileSystem.StatFs(cancel, input, out))
}
