package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// fsxHelper in place of a fsxSpec makes a process one that does single operations for
// an exerciser, with handles and mappings of its own.
const fsxHelper = "helper"

// fsxCall is what a helper is told to do.
type fsxCall struct {
	Kind string `json:"kind"` // read, write, mapread, mapwrite, or close for all that it has open
	Path string `json:"path"`
	Keep bool   `json:"keep"` // the handle, or the mapping, until there are others
	Off  int64  `json:"off"`  // in bytes, as Len is
	Len  int64  `json:"len"`
	Seed uint64 `json:"seed"`
}

type fsxAnswer struct {
	Data   []byte `json:"data"` // what was read
	Failed string `json:"failed"`
}

// fsxProcess is a helper as the exerciser sees it.
type fsxProcess struct {
	cmd   *exec.Cmd
	calls io.WriteCloser
	out   *json.Decoder
}

func startFsxProcess() (*fsxProcess, error) {
	p := &fsxProcess{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), fsxEnv+"="+fsxHelper)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.calls, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(bufio.NewReader(out))
	return p, p.cmd.Start()
}

func (p *fsxProcess) do(c fsxCall) ([]byte, error) {
	if err := json.NewEncoder(p.calls).Encode(c); err != nil {
		return nil, err
	}
	var a fsxAnswer
	if err := p.out.Decode(&a); err != nil {
		return nil, fmt.Errorf("the other process: %w", err)
	}
	if a.Failed != "" {
		return nil, fmt.Errorf("the other process: %s %s: %s", c.Kind, c.Path, a.Failed)
	}
	return a.Data, nil
}

func (p *fsxProcess) end() error { return errors.Join(p.calls.Close(), p.cmd.Wait()) }

// another has the other process read or write, through a handle or a mapping.
func (x *fsx) another(f *fsxFile, op fsxOp) error {
	name := x.nameOf(f)
	if name < 0 {
		return errNothing
	}
	c := fsxCall{Kind: []string{"read", "write", "mapread", "mapwrite"}[op.Flags/2%4], Path: x.path(name), Keep: op.Flags%2 == 0, Off: op.Off, Len: min(op.Len, 100_000), Seed: op.Seed}
	if c.Kind[0] == 'm' {
		if c.Len = min(c.Len, f.size()-c.Off); c.Len <= 0 {
			return errNothing
		}
	}
	got, err := x.process.do(c)
	if err != nil {
		return err
	}
	if c.Kind == "write" || c.Kind == "mapwrite" {
		f.write(c.Off, fsxBytes(c.Seed, c.Len))
		return x.readBack(f, op, c.Off, c.Len)
	}
	return fsxDiffer(fmt.Sprintf("%s of %d bytes at %#x of %#x in the other process", c.Kind, c.Len, c.Off, f.size()), c.Off, got, f.slice(c.Off, c.Len))
}

// serveFsx is the helper's process.
func serveFsx(in io.Reader, out io.Writer) error {
	debug.SetPanicOnFault(true)
	var h fsxHand
	calls, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c fsxCall
		if err := calls.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		data, err := h.do(c)
		a := fsxAnswer{Data: data}
		if err != nil {
			a.Failed = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// fsxHand is what a helper has kept.
type fsxHand struct {
	fds  []int
	maps [][]byte
}

func (h *fsxHand) do(c fsxCall) (data []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	if c.Kind == "close" {
		return nil, h.close(0)
	}
	fd, err := unix.Open(c.Path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	h.fds = append(h.fds, fd)
	switch c.Kind {
	case "read":
		data = make([]byte, c.Len)
		var n int
		n, err = unix.Pread(fd, data, c.Off)
		data = data[:max(n, 0)]
	case "write":
		var n int
		if n, err = unix.Pwrite(fd, fsxBytes(c.Seed, c.Len), c.Off); err == nil && int64(n) != c.Len {
			err = fmt.Errorf("%d bytes of %d", n, c.Len)
		}
	default:
		data, err = h.mapped(fd, c)
	}
	kept := 0
	if c.Keep {
		kept = 2
	}
	return data, errors.Join(err, h.close(kept))
}

func (h *fsxHand) mapped(fd int, c fsxCall) ([]byte, error) {
	start := c.Off / fsxPage * fsxPage
	mem, err := unix.Mmap(fd, start, int(c.Off+c.Len-start), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	h.maps = append(h.maps, mem)
	part := mem[c.Off-start:]
	if c.Kind == "mapread" {
		return append([]byte(nil), part...), nil
	}
	copy(part, fsxBytes(c.Seed, c.Len))
	return nil, unix.Msync(mem, unix.MS_SYNC) // it is not asked to before a kill
}

// close lets go of all but the newest handles and mappings.
func (h *fsxHand) close(kept int) (err error) {
	for ; len(h.maps) > kept; h.maps = h.maps[1:] {
		err = errors.Join(err, unix.Munmap(h.maps[0]))
	}
	for ; len(h.fds) > kept; h.fds = h.fds[1:] {
		err = errors.Join(err, unix.Close(h.fds[0]))
	}
	return err
}
