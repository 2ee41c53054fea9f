package integration

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// allocate punches, zeroes and reserves.
func (x *fsx) allocate(f *fsxFile, op fsxOp) error {
	fd, err := x.handle(f, op, unix.O_RDWR, fsxHandle.writes)
	if err != nil {
		return err
	}
	mode := uint32(0)
	switch op.Kind {
	case "punch":
		mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	case "zero":
		mode = unix.FALLOC_FL_ZERO_RANGE
	}
	if op.Flags%2 == 0 {
		mode |= unix.FALLOC_FL_KEEP_SIZE
	}
	if err := unix.Fallocate(fd, mode, op.Off, op.Len); err != nil {
		return fmt.Errorf("fallocate %#x of %d bytes at %d: %w", mode, op.Len, op.Off, err)
	}
	end := op.Off + op.Len
	if op.Kind != "allocate" {
		f.zero(op.Off, op.Len)
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		f.resize(max(f.size(), end))
	}
	if op.Kind != "punch" {
		f.reserved = max(f.reserved, end)
	}
	return x.readBack(f, op, op.Off, op.Len)
}

// copy copies a range of one file to another, or to elsewhere in the same.
func (x *fsx) copy(f *fsxFile, op fsxOp) error {
	to := x.names[op.To]
	if to == nil {
		return errNothing
	}
	if _, err := x.reader(f, op); err != nil {
		return err
	}
	dst, err := x.writer(to, op)
	if err != nil {
		return err
	}
	src, err := x.reader(f, op) // the writer may have closed the one of before
	if err != nil {
		return err
	}
	from, at := op.Off, op.At
	want := bytes.Clone(f.slice(from, op.Len))
	left := int64(len(want))
	if to == f && from < at+left && at < from+left {
		if _, err := unix.CopyFileRange(src, &from, dst, &at, int(op.Len), 0); !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("copy_file_range of a range over itself: %v", err)
		}
		return nil
	}
	if left == 0 {
		if n, err := unix.CopyFileRange(src, &from, dst, &at, int(op.Len), 0); n != 0 || err != nil {
			return fmt.Errorf("copy_file_range from behind the end: %d, %v", n, err)
		}
		return nil
	}
	for left > 0 {
		n, err := unix.CopyFileRange(src, &from, dst, &at, int(left), 0)
		if err != nil || n == 0 {
			return fmt.Errorf("copy_file_range of %d bytes from %d to %d: %d are left, %v", len(want), op.Off, op.At, left, err)
		}
		left -= int64(n)
	}
	to.write(op.At, want)
	to.mtime = unix.Timespec{}
	return x.readBack(to, op, op.At, op.Len)
}

// mapped stores into a shared mapping, or compares what it shows. One mapping in four is kept.
func (x *fsx) mapped(f *fsxFile, op fsxOp) error {
	off, n := op.Off, min(op.Len, f.size()-op.Off)
	if n <= 0 {
		return errNothing
	}
	start := off / fsxPage * fsxPage
	m, kept := x.mapping(f, op, off, n)
	if !kept {
		flags, prot := unix.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
		fd, err := x.handle(f, op, flags, func(h fsxHandle) bool { return h.reads() && h.writes() })
		if err != nil {
			return err
		}
		mem, err := unix.Mmap(fd, start, int(off+n-start), prot, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("mmap: %w", err)
		}
		m = fsxMap{off: start, mem: mem}
		if kept = op.Flags%4 == 3 && len(f.maps) < 3; kept {
			f.maps = append(f.maps, m)
		}
	}
	part := m.mem[off-m.off:][:n]
	if op.Kind == "mapread" {
		if err := fsxDiffer(fmt.Sprintf("mapping at %#x", off), off, part, f.slice(off, n)); err != nil {
			return err
		}
	} else {
		data := fsxBytes(op.Seed, n)
		copy(part, data)
		f.write(off, data)
		if sync := op.Flags / 4 % 4; sync > 1 {
			if err := unix.Msync(m.mem, map[bool]int{true: unix.MS_SYNC, false: unix.MS_ASYNC}[sync == 2]); err != nil {
				return fmt.Errorf("msync: %w", err)
			}
		}
	}
	if !kept {
		if err := unix.Munmap(m.mem); err != nil {
			return fmt.Errorf("munmap: %w", err)
		}
	}
	if op.Kind == "mapread" {
		return nil
	}
	return x.readBack(f, op, off, n)
}

// mapping is one that was kept and has the range, if there is one.
func (x *fsx) mapping(f *fsxFile, op fsxOp, off, n int64) (fsxMap, bool) {
	for i := range f.maps {
		if m := f.maps[(i+op.Fd)%len(f.maps)]; m.off <= off && off+n <= m.off+int64(len(m.mem)) {
			return m, true
		}
	}
	return fsxMap{}, false
}

// checkHoles walks data and holes: no byte that is not zero may be in a hole,
// and what is asked for behind the end is ENXIO.
func (x *fsx) checkHoles(f *fsxFile, op fsxOp) error {
	fd, err := x.reader(f, op)
	if err != nil {
		return err
	}
	for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
		if at, err := unix.Seek(fd, f.size(), whence); !errors.Is(err, unix.ENXIO) {
			return fmt.Errorf("lseek %d at the end, %d: %d, %v", whence, f.size(), at, err)
		}
	}
	for pos := int64(0); pos < f.size(); {
		data, err := unix.Seek(fd, pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data, err = f.size(), nil
		}
		if err != nil || data < pos || data > f.size() {
			return fmt.Errorf("SEEK_DATA from %#x: %#x, %v", pos, data, err)
		}
		if i := fsxNotZero(f.data[pos:data]); i >= 0 {
			return fmt.Errorf("SEEK_DATA from %#x: %#x, but there is data at %#x", pos, data, pos+int64(i))
		}
		if data == f.size() {
			return nil
		}
		if pos, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil || pos <= data || pos > f.size() {
			return fmt.Errorf("SEEK_HOLE from %#x of %#x: %#x, %v", data, f.size(), pos, err)
		}
	}
	return nil
}

// fsxNotZero returns where the first byte is that is not zero, or -1.
func fsxNotZero(b []byte) int {
	var zeros [fsxPage]byte
	for at := 0; at < len(b); at += fsxPage {
		part := b[at:min(at+fsxPage, len(b))]
		if bytes.Equal(part, zeros[:len(part)]) {
			continue
		}
		return at + bytes.IndexFunc(part, func(r rune) bool { return r != 0 })
	}
	return -1
}

// checkStat compares what stat and fstat say.
func (x *fsx) checkStat(f *fsxFile, op fsxOp) error {
	fd, err := x.handle(f, op, unix.O_RDONLY, func(fsxHandle) bool { return true })
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Size != f.size() || int(st.Nlink) != x.links(f) {
		return fmt.Errorf("fstat: size %d, want %d; links %d, want %d", st.Size, f.size(), st.Nlink, x.links(f))
	}
	if room := (max(f.size(), f.reserved) + fsxPage - 1) / fsxPage * fsxPage; st.Blocks*512 > room+64<<10 {
		return fmt.Errorf("fstat: %d blocks of a file of %d bytes", st.Blocks, f.size())
	}
	if st.Blocks == 0 && len(f.maps) == 0 && len(bytes.Trim(f.data, "\x00")) > 64 { // tar takes it for a hole
		return fmt.Errorf("fstat: no blocks, but data of %d bytes", f.size())
	}
	if err := x.checkStamp(f, fd); err != nil {
		return err
	}
	if n := x.nameOf(f); n >= 0 {
		return x.checkNames(n)
	}
	return nil
}

// checkAll reads every file whole, through the name if it has one.
func (x *fsx) checkAll() error {
	for i, f := range x.names {
		if f == nil {
			continue
		}
		if err := x.checkNames(i); err != nil {
			return err
		}
		fd, err := unix.Open(x.path(i), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open of f%d: %w", i, err)
		}
		err = errors.Join(x.checkStamp(f, fd), x.checkWhole(f, fd, fmt.Sprintf("f%d", i)))
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return err
		}
	}
	for _, f := range x.orphans {
		for _, h := range f.handles {
			if h.reads() && !h.direct() {
				if err := x.checkWhole(f, h.fd, "a file without a name"); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

func (x *fsx) checkWhole(f *fsxFile, fd int, what string) error {
	got := make([]byte, f.size()+1)
	done := 0
	for done < len(got) {
		n, err := unix.Pread(fd, got[done:min(done+512<<10, len(got))], int64(done))
		if err != nil {
			return fmt.Errorf("read of %s at %d: %w", what, done, err)
		}
		if n == 0 {
			break
		}
		done += n
	}
	return fsxDiffer("whole content of "+what, 0, got[:done], f.data)
}
