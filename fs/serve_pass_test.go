package fs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// answer has the commands about passthrough.
func (s *server) answer(command, arg string) (any, error) {
	args := strings.Fields(arg)
	switch command {
	case "passing":
		p := s.fs.Passing()
		if !p.On {
			return "off: " + p.Why, nil
		}
		return fmt.Sprintf("on %d %d", p.Opens, p.Cached), nil
	case "lent":
		return s.fs.Passing().Lent, nil
	case "using": // whether staging holds the file open
		attr, err := s.db.Resolve(ctx, arg)
		return yes(isOpen(fmt.Sprintf("/%d.data", attr.Ino))), err
	case "dirty":
		attr, err := s.db.Resolve(ctx, arg)
		return yes(attr.Dirty), err
	case "back":
		return "", s.back()
	case "backing": // all the time, until it is off
		if arg == "off" {
			close(s.backing)
			return "", nil
		}
		s.backing = make(chan struct{})
		go func() {
			for s.fs.Passing().On {
				select {
				case <-s.backing:
					return
				default:
					s.staging.BackAll()
				}
			}
		}()
		return "", nil
	case "hold": // the next read of published content, until "go"
		s.held, s.holds = make(chan struct{}), make(chan struct{})
		read := func() error {
			close(s.holds)
			<-s.held
			return nil
		}
		s.blobs.first.Store(&read)
		return "", nil
	case "holding":
		select {
		case <-s.holds:
			return "yes", nil
		default:
			return "no", nil
		}
	case "go":
		close(s.held)
		return "", nil
	case "try": // publishes, unless a file is written all the time
		n, err := s.publish()
		if errors.Is(err, staging.ErrBusy) {
			return 0, nil
		}
		return n, err
	case "published":
		return s.readPublished(args[0], args[1], args[2])
	}
	return "", fmt.Errorf("unknown command %q", command)
}

// back begins as a Drain of the committer does: files that are closed are taken back, and what
// is dirty gets a job.
func (s *server) back() error {
	s.staging.BackAll()
	dirty, err := s.db.Dirties(ctx)
	for _, attr := range dirty {
		file, ok, lerr := s.staging.Lookup(attr.Ino)
		if lerr != nil || !ok {
			return lerr
		}
		err = errors.Join(err, s.db.Queue(ctx, attr.Ino, file.State()))
		file.Release()
	}
	return err
}

// isOpen reports whether this process has a file open whose path ends so.
func isOpen(path string) bool {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return slices.ContainsFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err == nil && strings.HasSuffix(target, path)
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// readPublished returns content that is published, whatever staging has.
func (s *server) readPublished(name, off, n string) (string, error) {
	at, err := strconv.ParseInt(off, 10, 64)
	length, err2 := strconv.Atoi(n)
	attr, err3 := s.db.Resolve(ctx, name)
	extents, err4 := s.db.Extents(ctx, attr.Ino, at, int64(length))
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return "", err
	}
	b := make([]byte, length)
	for _, e := range extents {
		if err := s.readExtent(e, b[e.Off-at:e.Off-at+e.Len]); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", b), nil
}

func (s *server) readExtent(e index.Extent, p []byte) error {
	sealed, err := os.ReadFile(s.blobs.path(e.Blob))
	if err != nil {
		return err
	}
	header, err := seal.ParseHeader(sealed)
	if err != nil {
		return err
	}
	opener, err := s.keys.Open(header, int64(len(sealed)))
	if err != nil {
		return err
	}
	_, err = opener.ReadAt(ctx, func(_ context.Context, p []byte, off int64) (int, error) {
		return copy(p, sealed[off:]), nil
	}, p, e.Pos)
	return err
}

// limitFiles takes a test's limit of descriptors over.
func limitFiles() error {
	n, err := strconv.ParseUint(os.Getenv("WALFS_TEST_FILES"), 10, 64)
	if err != nil {
		return nil // none is given
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n})
}
