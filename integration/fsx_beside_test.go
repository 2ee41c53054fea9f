package integration

import (
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// besideRounds is how often each of two threads does its part.
const besideRounds = 6

// beside has two threads change pages of one file that lie side by side: one stores
// through a mapping or writes, the other writes, punches or zeroes. Each finds
// its own changes at the end, whatever the order.
func (x *fsx) beside(f *fsxFile, op fsxOp) error {
	from := op.Off / fsxPage * fsxPage
	n := min(op.Len, 32*fsxPage, f.size()-from) / (2 * fsxPage) * fsxPage // of each part
	if n <= 0 {
		return errNothing
	}
	fd, err := x.handle(f, op, unix.O_RDWR, func(h fsxHandle) bool { return h.reads() && h.writes() && !h.direct() && !h.appends() })
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(fd, from, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	data := func(part, round int) []byte { return fsxBytes(op.Seed+uint64(8*(2*round+part)), n) } // of one kind
	write := func(part int) func(int) error {
		return func(round int) error {
			b := data(part, round)
			if m, err := unix.Pwrite(fd, b, from+int64(part)*n); err != nil || m != len(b) {
				return fmt.Errorf("pwrite beside: %d, %w", m, err)
			}
			return nil
		}
	}
	first, second := write(0), write(1)
	if op.Flags%2 == 0 {
		first = func(round int) error {
			copy(mem, data(0, round))
			if round%3 == 2 {
				return unix.Msync(mem, unix.MS_SYNC)
			}
			return nil
		}
	}
	zero := op.Flags/2%2 == 0
	if zero {
		mode := uint32(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
		if op.Flags/4%2 == 0 {
			mode = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
		}
		before := second
		second = func(round int) error {
			return errors.Join(before(round), unix.Fallocate(fd, mode, from+n, n))
		}
	}
	done := make(chan error, 2)
	for _, part := range []func(int) error{first, second} {
		go func() {
			done <- rounds(part)
		}()
	}
	if err := errors.Join(<-done, <-done, unix.Munmap(mem)); err != nil {
		return err
	}
	f.write(from, data(0, besideRounds-1))
	f.write(from+n, data(1, besideRounds-1))
	if zero {
		f.zero(from+n, n)
	}
	return x.read(f, op, from, 2*n)
}

// rounds does something in each round, in a thread where a page that cannot be read is an error.
func rounds(do func(int) error) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("beside: panic: %v", fault)
		}
	}()
	for round := range besideRounds {
		if err := do(round); err != nil {
			return err
		}
	}
	return nil
}

// splice writes through a pipe, whose pages the file may be given.
func (x *fsx) splice(f *fsxFile, op fsxOp) error {
	fd, err := x.writer(f, op)
	if err != nil {
		return err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	data, off := fsxBytes(op.Seed, min(op.Len, 200_000)), op.Off
	for left := data; len(left) > 0; {
		n, err := unix.Write(pipe[1], left[:min(len(left), 64<<10)])
		if err != nil {
			return err
		}
		for left = left[n:]; n > 0; {
			m, err := unix.Splice(pipe[0], nil, fd, &off, n, 0)
			if err != nil || m == 0 {
				return fmt.Errorf("splice of %d bytes to %d: %d, %w", n, off, m, err)
			}
			n -= int(m)
		}
	}
	f.write(op.Off, data)
	return x.readBack(f, op, op.Off, int64(len(data)))
}

// refused asks for what no file on a drive can do. Nothing changes.
func (x *fsx) refused(f *fsxFile, op fsxOp) error {
	fd, err := x.handle(f, op, unix.O_RDWR, fsxHandle.writes)
	if err != nil {
		return err
	}
	off, n := op.Off/fsxPage*fsxPage, (op.Len+fsxPage-1)/fsxPage*fsxPage
	for _, mode := range []uint32{unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE, unix.FALLOC_FL_UNSHARE_RANGE} {
		if err := unix.Fallocate(fd, mode, off, n); !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("fallocate %#x: %v", mode, err)
		}
	}
	return x.read(f, op, off, n)
}

// appendOnce appends through a handle that does not, by a flag of the call.
func (x *fsx) appendOnce(f *fsxFile, op fsxOp) error {
	n := min(op.Len, x.MaxSize-f.size(), 100_000)
	if n <= 0 {
		return errNothing
	}
	fd, err := x.writer(f, op)
	if err != nil {
		return err
	}
	data, end := fsxBytes(op.Seed, n), f.size()
	parts := [][]byte{data[:n/3], data[n/3 : n/2], data[n/2:]}
	parts = append(parts[:0:0], bytesOnly(parts)...)
	if got, err := unix.Pwritev2(fd, parts, 0, unix.RWF_APPEND); err != nil || got != len(data) {
		return fmt.Errorf("append of %d bytes by a flag: %d, %w", len(data), got, err)
	}
	f.write(end, data)
	return x.readBack(f, op, end, n)
}

// bytesOnly leaves out what is empty.
func bytesOnly(parts [][]byte) (some [][]byte) {
	for _, p := range parts {
		if len(p) > 0 {
			some = append(some, p)
		}
	}
	return some
}

// stamp sets the times of a file, which stay so until it is changed again.
func (x *fsx) stamp(f *fsxFile, op fsxOp) error {
	if len(f.maps) > 0 {
		return errNothing // what is stored there may reach the file later
	}
	fd, err := x.handle(f, op, unix.O_RDWR, func(fsxHandle) bool { return true })
	if err != nil {
		return err
	}
	ts := unix.Timespec{Sec: int64(op.Seed%4_000_000_000) - 2_000_000_000, Nsec: int64(op.Seed >> 34 % 1_000_000_000)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{ts, ts}, 0); err != nil {
		return fmt.Errorf("utimensat: %w", err)
	}
	f.mtime = ts
	return x.checkStamp(f, fd)
}

// checkStamp compares the time that was set of a file that did not change since.
func (x *fsx) checkStamp(f *fsxFile, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || f.mtime == (unix.Timespec{}) {
		return err
	}
	if st.Mtim != f.mtime {
		return fmt.Errorf("mtime %d.%09d, want %d.%09d", st.Mtim.Sec, st.Mtim.Nsec, f.mtime.Sec, f.mtime.Nsec)
	}
	return nil
}
