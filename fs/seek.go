package fs

import (
	"context"

	"github.com/walfs/walfs/fs/staging"
)

// seek returns the first offset from off on that is data, or a hole; the size
// when there is none. Fetch has the kernel hand over what programs stored into a range of
// pages through mappings, if it may have any.
func (f *file) seek(ctx context.Context, off int64, data bool, fetch func(off, n int64)) (int64, error) {
	size, _ := f.live()
	for off < size {
		s, err := f.span(ctx, off, size)
		if err == nil && !s.Data && s.End > off && f.mappable() {
			fetch(off, s.End-off) // no program can tell whether it was before our answer or after
			s, err = f.span(ctx, off, size)
		}
		if err != nil {
			return 0, err
		}
		if s.Data == data || s.End <= off {
			return off, nil
		}
		off = s.End
	}
	return size, nil
}

// mappable reports whether somebody may have the file mapped for writing so that the kernel
// keeps what is stored for a while: a mapping holds the handle. Mappings of the data file keep nothing.
func (f *file) mappable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writers > 0 && (f.local == nil || !f.local.Lent())
}

// span tells what begins at off, here or in what is published.
func (f *file) span(ctx context.Context, off, size int64) (staging.Span, error) {
	s := staging.Span{End: size}
	if local := f.staged(); local != nil {
		var err error
		if s, err = local.Span(off); err != nil || s.Held {
			return s, err
		}
	}
	_, base := f.live()
	if off >= base {
		return s, nil
	}
	end := min(s.End, base)
	extents, err := f.fs.cfg.Index.Extents(ctx, f.ino, off, end-off)
	if err != nil {
		return s, err
	}
	switch {
	case len(extents) == 0:
		return staging.Span{End: end}, nil
	case extents[0].Off > off:
		return staging.Span{End: extents[0].Off}, nil
	}
	return staging.Span{End: off + extents[0].Len, Data: true}, nil
}
