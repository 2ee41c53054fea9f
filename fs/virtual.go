package fs

import (
	"context"
	"sync"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/walfs/walfs/index"
)

// The root has a folder that no listing shows, with files that tell about the
// drive. They are not stored, nobody changes them, and they cost no request
// of the network. A folder of that name that somebody has stored, with another
// program, is shown instead.

// VirtualDir is the name of that folder.
const VirtualDir = ".walfs"

// VirtualFile is a file that tells about the drive.
type VirtualFile struct {
	Name string
	// Read returns the content, and may be called concurrently. It must not wait for the network.
	Read func(context.Context) ([]byte, error)
}

// firstVirtual is above all inodes of the index, which end below it, and below
// those that the library gives out itself, from 1<<63 on.
const firstVirtual = 1 << 62

// virtualFor is how long what was read of a virtual file answers for its size.
const virtualFor = time.Second

// isVirtual reports whether a name is that of the virtual folder, and nobody
// has stored something there.
func (n *node) isVirtual(ctx context.Context, name string) bool {
	if name != VirtualDir || n.ino() != index.Root || len(n.fs.hooks.Files) == 0 {
		return false
	}
	_, err := n.fs.cfg.Index.Lookup(ctx, index.Root, []byte(name))
	return err != nil
}

// virtual answers a request for the virtual folder.
func (n *node) virtual(ctx context.Context, out *fuse.EntryOut) *fusefs.Inode {
	d := &virtualDir{fs: n.fs, since: time.Now()}
	d.fill(&out.Attr)
	return n.NewInode(ctx, d, fusefs.StableAttr{Ino: firstVirtual, Mode: syscall.S_IFDIR})
}

// virtualDir is the virtual folder. What would change it is refused.
type virtualDir struct {
	fusefs.Inode
	fs    *FS
	since time.Time
}

var (
	_ fusefs.NodeGetattrer      = (*virtualDir)(nil)
	_ fusefs.NodeLookuper       = (*virtualDir)(nil)
	_ fusefs.NodeOpendirHandler = (*virtualDir)(nil)
	_ fusefs.NodeCreater        = (*virtualDir)(nil)
	_ fusefs.NodeMkdirer        = (*virtualDir)(nil)
	_ fusefs.NodeUnlinker       = (*virtualDir)(nil)
	_ fusefs.NodeRmdirer        = (*virtualDir)(nil)
	_ fusefs.NodeRenamer        = (*virtualDir)(nil)
	_ fusefs.NodeSetattrer      = (*virtualDir)(nil)
)

func (d *virtualDir) fill(out *fuse.Attr) {
	d.fs.fillVirtual(out, firstVirtual, syscall.S_IFDIR|0o500, d.since)
	out.Nlink = 2
}

// fillVirtual says that something belongs to whom the drive does, who alone may read it.
func (fs *FS) fillVirtual(out *fuse.Attr, ino uint64, mode uint32, since time.Time) {
	out.Ino, out.Mode, out.Nlink, out.Blksize = ino, mode, 1, blockSize
	out.Uid, out.Gid = uint32(syscall.Geteuid()), uint32(syscall.Getegid())
	if fs.shown.UID != nil {
		out.Uid = *fs.shown.UID
	}
	if fs.shown.GID != nil {
		out.Gid = *fs.shown.GID
	}
	out.SetTimes(&since, &since, &since)
}

// Getattr returns the attributes of the folder.
func (d *virtualDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.fill(&out.Attr)
	return 0
}

// Lookup finds a virtual file.
func (d *virtualDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	for i := range d.fs.hooks.Files {
		if d.fs.hooks.Files[i].Name != name {
			continue
		}
		f := &virtualFile{fs: d.fs, file: &d.fs.hooks.Files[i], ino: firstVirtual + 1 + uint64(i)}
		child := d.NewInode(ctx, f, fusefs.StableAttr{Ino: f.ino, Mode: syscall.S_IFREG})
		f, _ = child.Operations().(*virtualFile) // the kernel may know it already
		if errno := f.fill(ctx, &out.Attr); errno != 0 {
			return nil, errno
		}
		out.SetEntryTimeout(virtualFor)
		out.SetAttrTimeout(0)
		return child, 0
	}
	return nil, syscall.ENOENT
}

// OpendirHandle opens the folder.
func (d *virtualDir) OpendirHandle(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	list := []fuse.DirEntry{
		{Name: ".", Mode: syscall.S_IFDIR, Ino: firstVirtual},
		{Name: "..", Mode: syscall.S_IFDIR, Ino: uint64(index.Root)},
	}
	for i := range d.fs.hooks.Files {
		list = append(list, fuse.DirEntry{Name: d.fs.hooks.Files[i].Name, Mode: syscall.S_IFREG, Ino: firstVirtual + 1 + uint64(i)})
	}
	return &virtualList{list: list}, 0, 0
}

// virtualList is the open folder. The library calls its methods one at a time.
type virtualList struct {
	list []fuse.DirEntry
	at   int
}

var (
	_ fusefs.FileReaddirenter = (*virtualList)(nil)
	_ fusefs.FileSeekdirer    = (*virtualList)(nil)
)

// Readdirent returns the next entry, nil at the end.
func (l *virtualList) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if l.at >= len(l.list) {
		return nil, 0
	}
	e := l.list[l.at]
	l.at++
	e.Off = uint64(l.at)
	return &e, 0
}

// Seekdir goes behind as many entries as off says.
func (l *virtualList) Seekdir(_ context.Context, off uint64) syscall.Errno {
	l.at = int(min(off, uint64(len(l.list))))
	return 0
}

// Create refuses.
func (d *virtualDir) Create(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EPERM
}

// Mkdir refuses.
func (d *virtualDir) Mkdir(context.Context, string, uint32, *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Unlink refuses.
func (d *virtualDir) Unlink(context.Context, string) syscall.Errno { return syscall.EPERM }

// Rmdir refuses.
func (d *virtualDir) Rmdir(context.Context, string) syscall.Errno { return syscall.EPERM }

// Rename refuses.
func (d *virtualDir) Rename(context.Context, string, fusefs.InodeEmbedder, string, uint32) syscall.Errno {
	return syscall.EPERM
}

// Setattr refuses.
func (d *virtualDir) Setattr(context.Context, fusefs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return syscall.EPERM
}

// virtualFile is a virtual file that the kernel knows.
type virtualFile struct {
	fusefs.Inode
	fs   *FS
	file *VirtualFile
	ino  uint64

	mu   sync.Mutex // guards the fields below
	text []byte
	at   time.Time // when it was read
}

var (
	_ fusefs.NodeGetattrer = (*virtualFile)(nil)
	_ fusefs.NodeSetattrer = (*virtualFile)(nil)
	_ fusefs.NodeOpener    = (*virtualFile)(nil)
)

// read returns the content, as it was within the last virtualFor or anew.
func (f *virtualFile) read(ctx context.Context, anew bool) ([]byte, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); anew || f.at.IsZero() || now.Sub(f.at) > virtualFor {
		text, err := f.file.Read(ctx)
		if err != nil {
			return nil, now, err
		}
		f.text, f.at = text, now
	}
	return f.text, f.at, nil
}

func (f *virtualFile) fill(ctx context.Context, out *fuse.Attr) syscall.Errno {
	text, at, err := f.read(ctx, false)
	if err != nil {
		return f.fs.errno("virtual", index.Ino(f.ino), err)
	}
	f.fs.fillVirtual(out, f.ino, syscall.S_IFREG|0o400, at)
	out.Size = uint64(len(text))
	out.Blocks = (out.Size + statBlock - 1) / statBlock
	return 0
}

// Getattr returns the attributes; the size is that of what an open gave out, or would.
func (f *virtualFile) Getattr(ctx context.Context, h fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	errno := f.fill(ctx, &out.Attr)
	if text, ok := h.(*virtualText); ok && errno == 0 {
		out.Size = uint64(len(text.text))
	}
	return errno
}

// Setattr refuses.
func (f *virtualFile) Setattr(context.Context, fusefs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return syscall.EPERM
}

// Open reads the content once: who has the file open reads one state of it.
func (f *virtualFile) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, 0, syscall.EPERM
	}
	text, _, err := f.read(ctx, true)
	if err != nil {
		return nil, 0, f.fs.errno("virtual", index.Ino(f.ino), err)
	}
	return &virtualText{text: text}, fuse.FOPEN_DIRECT_IO, 0
}

// virtualText is an open virtual file.
type virtualText struct{ text []byte }

var _ fusefs.FileReader = (*virtualText)(nil)

// Read reads.
func (h *virtualText) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off < 0 || off >= int64(len(h.text)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, h.text[off:])]), 0
}
