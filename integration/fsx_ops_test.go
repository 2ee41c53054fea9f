package integration

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// apply does an operation to the drive and to the model. What it reads has to be what the model says.
func (x *fsx) apply(op fsxOp) error {
	switch op.Kind {
	case "sync", "evict", "remount", "kill", "nodes", "collect":
		return x.event(op)
	case "rename", "exchange", "link", "unlink", "tmpfile":
		return x.rename(op)
	}
	f, err := x.file(op)
	if err != nil {
		return err
	}
	if !fsxReads[op.Kind] {
		f.mtime = unix.Timespec{}
	}
	switch op.Kind {
	case "write":
		return x.write(f, op)
	case "splice":
		return x.splice(f, op)
	case "beside":
		return x.beside(f, op)
	case "refused":
		return x.refused(f, op)
	case "appendonce":
		return x.appendOnce(f, op)
	case "another":
		return x.another(f, op)
	case "stamp":
		return x.stamp(f, op)
	case "append":
		return x.append(f, op)
	case "read":
		return x.read(f, op, op.Off, op.Len)
	case "directwrite", "directread":
		return x.direct(f, op)
	case "send":
		return x.send(f, op)
	case "truncate":
		return x.truncate(f, op)
	case "mapread", "mapwrite":
		return x.mapped(f, op)
	case "punch", "zero", "allocate":
		return x.allocate(f, op)
	case "copy":
		return x.copy(f, op)
	case "fsync", "fdatasync":
		return x.fsync(f, op)
	case "open":
		_, err := x.open(f, op, fsxOpens[op.Flags%len(fsxOpens)])
		return err
	case "close":
		return x.close(f, op)
	case "seek":
		return x.checkHoles(f, op)
	case "stat":
		return x.checkStat(f, op)
	}
	return fmt.Errorf("no such operation")
}

// fsxReads are the operations that leave the time of the content as it is.
var fsxReads = map[string]bool{"read": true, "send": true, "mapread": true, "directread": true, "seek": true, "stat": true,
	"refused": true, "fsync": true, "fdatasync": true, "open": true, "close": true, "copy": true}

// file is what the name of an operation stands for, made anew if there is none;
// and now and then one that has no name any more.
func (x *fsx) file(op fsxOp) (*fsxFile, error) {
	if len(x.orphans) > 0 && op.Fd >= 9 {
		return x.orphans[op.To%len(x.orphans)], nil
	}
	if f := x.names[op.File]; f != nil {
		return f, nil
	}
	fd, err := unix.Open(x.path(op.File), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	x.names[op.File] = &fsxFile{handles: []fsxHandle{{fd, unix.O_RDWR}}}
	return x.names[op.File], nil
}

// open adds a handle, and closes the oldest of many.
func (x *fsx) open(f *fsxFile, op fsxOp, flags int) (fsxHandle, error) {
	path := ""
	for i := range x.names {
		if n := (i + op.Fd) % len(x.names); x.names[n] == f {
			path = x.path(n)
		}
	}
	if path == "" {
		if len(f.handles) == 0 {
			return fsxHandle{}, errNothing
		}
		path = fmt.Sprintf("/proc/self/fd/%d", f.handles[0].fd)
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return fsxHandle{}, fmt.Errorf("open %s with %#x: %w", path, flags, err)
	}
	if flags&unix.O_TRUNC != 0 {
		f.resize(0)
		f.reserved, f.mtime = 0, unix.Timespec{}
	}
	f.handles = append(f.handles, fsxHandle{fd, flags})
	if len(f.handles) > 4 {
		first := f.handles[0]
		f.handles = f.handles[1:]
		if err := unix.Close(first.fd); err != nil {
			return fsxHandle{}, fmt.Errorf("close: %w", err)
		}
	}
	return f.handles[len(f.handles)-1], nil
}

// handle picks one that will do, or opens one with flags.
func (x *fsx) handle(f *fsxFile, op fsxOp, flags int, will func(fsxHandle) bool) (int, error) {
	for i := range f.handles {
		if h := f.handles[(i+op.Fd)%len(f.handles)]; will(h) {
			return h.fd, nil
		}
	}
	h, err := x.open(f, op, flags)
	return h.fd, err
}

func (x *fsx) reader(f *fsxFile, op fsxOp) (int, error) {
	return x.handle(f, op, unix.O_RDONLY, func(h fsxHandle) bool { return h.reads() && !h.direct() })
}

func (x *fsx) writer(f *fsxFile, op fsxOp) (int, error) {
	return x.handle(f, op, unix.O_WRONLY, func(h fsxHandle) bool { return h.writes() && !h.direct() && !h.appends() })
}

func (x *fsx) close(f *fsxFile, op fsxOp) error {
	if len(f.maps) > 0 && op.Flags%3 == 0 {
		m := f.maps[0]
		f.maps = f.maps[1:]
		return unix.Munmap(m.mem)
	}
	if len(f.handles) == 0 {
		return errNothing
	}
	i := op.Fd % len(f.handles)
	h := f.handles[i]
	f.handles = append(f.handles[:i:i], f.handles[i+1:]...)
	err := unix.Close(h.fd)
	x.forget(f)
	return err
}

// forget drops a file that has neither name nor handle, and its mappings.
func (x *fsx) forget(f *fsxFile) {
	for i, o := range x.orphans {
		if o == f && len(f.handles) == 0 {
			for _, m := range f.maps {
				_ = unix.Munmap(m.mem)
			}
			x.orphans = append(x.orphans[:i:i], x.orphans[i+1:]...)
			return
		}
	}
}

func (x *fsx) write(f *fsxFile, op fsxOp) error {
	fd, err := x.writer(f, op)
	if err != nil {
		return err
	}
	data := fsxBytes(op.Seed, op.Len)
	if op.Flags == 0 { // what is there already
		copy(data, f.slice(op.Off, op.Len))
	}
	if n, err := unix.Pwrite(fd, data, op.Off); err != nil || n != len(data) {
		return fmt.Errorf("pwrite of %d bytes at %d: %d, %v", len(data), op.Off, n, err)
	}
	f.write(op.Off, data)
	return x.readBack(f, op, op.Off, op.Len)
}

func (x *fsx) append(f *fsxFile, op fsxOp) error {
	n := min(op.Len, x.MaxSize-f.size(), 100_000)
	if n <= 0 {
		return errNothing
	}
	fd, err := x.handle(f, op, unix.O_WRONLY|unix.O_APPEND, func(h fsxHandle) bool { return h.writes() && h.appends() })
	if err != nil {
		return err
	}
	data, end := fsxBytes(op.Seed, n), f.size()
	if got, err := unix.Write(fd, data); err != nil || got != len(data) {
		return fmt.Errorf("append of %d bytes: %d, %v", len(data), got, err)
	}
	f.write(end, data)
	return x.readBack(f, op, end, n)
}

// readBack reads what an operation has changed, and a little on both sides, one time in eight.
func (x *fsx) readBack(f *fsxFile, op fsxOp, off, n int64) error {
	if op.Seed>>40%8 != 0 {
		return nil
	}
	from := max(off-fsxPage, 0)
	return x.read(f, op, from, off+n+fsxPage-from)
}

func (x *fsx) read(f *fsxFile, op fsxOp, off, n int64) error {
	fd, err := x.reader(f, op)
	if err != nil {
		return err
	}
	got := make([]byte, n)
	m, err := unix.Pread(fd, got, off)
	if err != nil {
		return fmt.Errorf("pread of %d bytes at %d: %w", n, off, err)
	}
	return fsxDiffer(fmt.Sprintf("read of %d bytes at %#x of %#x", n, off, f.size()), off, got[:m], f.slice(off, n))
}

// send reads by sendfile(2), which a handle may refuse.
func (x *fsx) send(f *fsxFile, op fsxOp) error {
	fd, err := x.reader(f, op)
	if err != nil {
		return err
	}
	to, err := unix.MemfdCreate("sent", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	want, off := f.slice(op.Off, op.Len), op.Off
	for left := len(want); left > 0; {
		n, err := unix.Sendfile(to, fd, &off, left)
		if errors.Is(err, unix.EINVAL) && left == len(want) {
			return errNothing
		}
		if err != nil || n == 0 {
			return fmt.Errorf("sendfile of %d bytes from %d: %d are left, %v", len(want), op.Off, left, err)
		}
		left -= n
	}
	got := make([]byte, len(want))
	n, err := unix.Pread(to, got, 0)
	if err != nil {
		return err
	}
	return fsxDiffer(fmt.Sprintf("sent %d bytes at %#x of %#x", op.Len, op.Off, f.size()), op.Off, got[:n], want)
}

// direct reads or writes whole pages through a handle with O_DIRECT.
func (x *fsx) direct(f *fsxFile, op fsxOp) error {
	off := op.Off / fsxPage * fsxPage
	n := min((op.Len+fsxPage-1)/fsxPage*fsxPage, fsxDirect)
	if op.Kind == "directread" {
		fd, err := x.handle(f, op, unix.O_RDONLY|unix.O_DIRECT, func(h fsxHandle) bool { return h.reads() && h.direct() })
		if err != nil {
			return err
		}
		m, err := unix.Pread(fd, x.buffer[:n], off)
		if err != nil {
			return fmt.Errorf("pread of %d bytes at %d: %w", n, off, err)
		}
		return fsxDiffer(fmt.Sprintf("direct read of %d bytes at %#x of %#x", n, off, f.size()), off, x.buffer[:m], f.slice(off, n))
	}
	if off+n > x.MaxSize {
		return errNothing
	}
	fd, err := x.handle(f, op, unix.O_WRONLY|unix.O_DIRECT, func(h fsxHandle) bool { return h.writes() && h.direct() })
	if err != nil {
		return err
	}
	data := fsxBytes(op.Seed, n)
	copy(x.buffer, data)
	if m, err := unix.Pwrite(fd, x.buffer[:n], off); err != nil || m != len(data) {
		return fmt.Errorf("pwrite of %d bytes at %d: %d, %v", n, off, m, err)
	}
	f.write(off, data)
	return x.readBack(f, op, off, n)
}

func (x *fsx) truncate(f *fsxFile, op fsxOp) error {
	size := op.Off
	switch {
	case op.Flags < 8:
		size = 0
	case op.Flags < 24:
		size = op.At
	}
	if x.links(f) > 0 && op.Flags%2 == 0 {
		if err := unix.Truncate(x.path(x.nameOf(f)), size); err != nil {
			return err
		}
	} else {
		fd, err := x.handle(f, op, unix.O_RDWR, fsxHandle.writes)
		if err != nil {
			return err
		}
		if err := unix.Ftruncate(fd, size); err != nil {
			return err
		}
	}
	at := min(size, f.size())
	f.resize(size)
	f.reserved = 0
	return x.readBack(f, op, max(at-fsxPage, 0), 3*fsxPage)
}

func (x *fsx) nameOf(f *fsxFile) int {
	for i, other := range x.names {
		if other == f {
			return i
		}
	}
	return -1
}

func (x *fsx) fsync(f *fsxFile, op fsxOp) error {
	if len(f.handles) == 0 {
		return errNothing
	}
	fd := f.handles[op.Fd%len(f.handles)].fd
	if op.Kind == "fdatasync" {
		return unix.Fdatasync(fd)
	}
	return unix.Fsync(fd)
}

// rename does what is done to names.
func (x *fsx) rename(op fsxOp) error {
	f, other := x.names[op.File], x.names[op.To]
	from, to := x.path(op.File), x.path(op.To)
	if op.Kind == "tmpfile" {
		return x.tmpfile(op)
	}
	if f == nil || op.Kind == "exchange" && other == nil || op.Kind == "link" && other != nil {
		return errNothing
	}
	switch op.Kind {
	case "rename":
		if err := unix.Rename(from, to); err != nil {
			return err
		}
		if f == other { // two links of one file, or one name: nothing is to happen
			break
		}
		x.names[op.File], x.names[op.To] = nil, f
		x.unnamed(other)
	case "exchange":
		if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		x.names[op.File], x.names[op.To] = other, f
	case "link":
		if err := unix.Link(from, to); err != nil {
			return err
		}
		x.names[op.To] = f
	case "unlink":
		if err := unix.Unlink(from); err != nil {
			return err
		}
		x.names[op.File] = nil
		x.unnamed(f)
	}
	return x.checkNames(op.File, op.To)
}

// unnamed keeps a file that is open although it has lost its last name.
func (x *fsx) unnamed(f *fsxFile) {
	if f != nil && x.links(f) == 0 {
		x.orphans = append(x.orphans, f)
		x.forget(f)
	}
}

// tmpfile makes a file without a name, writes to it, and links it to a name that is free.
func (x *fsx) tmpfile(op fsxOp) error {
	if x.names[op.To] != nil {
		return errNothing
	}
	fd, err := unix.Open(x.Dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("O_TMPFILE: %w", err)
	}
	f := &fsxFile{handles: []fsxHandle{{fd, unix.O_RDWR}}}
	x.orphans = append(x.orphans, f)
	if err := x.write(f, op); err != nil {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, x.path(op.To), unix.AT_SYMLINK_FOLLOW); err != nil {
		return fmt.Errorf("link of a file without a name: %w", err)
	}
	x.orphans = x.orphans[:len(x.orphans)-1]
	x.names[op.To] = f
	return x.checkNames(op.To)
}

// checkNames looks whether names are there, or are not, and what size they have.
func (x *fsx) checkNames(names ...int) error {
	for _, n := range names {
		var st unix.Stat_t
		err := unix.Lstat(x.path(n), &st)
		f := x.names[n]
		if f == nil {
			if !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("stat of f%d, which is not there: %v", n, err)
			}
			continue
		}
		if err != nil || st.Size != f.size() || int(st.Nlink) != x.links(f) {
			return fmt.Errorf("stat of f%d: size %d, want %d; links %d, want %d; %v", n, st.Size, f.size(), st.Nlink, x.links(f), err)
		}
	}
	return nil
}
