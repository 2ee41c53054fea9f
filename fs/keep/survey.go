package keep

import "context"

// Survey says what the finished segments of a drive take on the nodes, in bytes there.
type Survey struct {
	Segments int
	Stored   int64
	Content  int64 // the share of published content
	Trailers int64 // segments without content, from the newest full snapshot on
	Garbage  int64 // all else: what is dead, and the trailers beside content
	Freeable int64 // of that, what a round without grace period that compacts would free
}

// Survey looks at all segments. It reads every extent, and holds nobody up.
func (c *Collector) Survey(ctx context.Context) (s Survey, err error) {
	r := round{c: c, o: CollectOptions{Asked: true, Compact: true}}
	uses, err := c.cfg.Index.SegmentUses(ctx)
	if err != nil {
		return s, err
	}
	snapshot, err := r.worthSnapshot(ctx)
	if err != nil {
		return s, err
	}
	for _, u := range uses {
		stored := r.encoded(u.Size)
		content := int64(float64(stored) * float64(u.Live) / float64(max(1, u.Size)))
		s.Segments++
		s.Stored += stored
		s.Content += content
		u.Trailer = u.Trailer && !snapshot
		if u.Live == 0 && u.Trailer {
			s.Trailers += stored
		} else {
			s.Garbage += stored - content
		}
		switch {
		case u.Trash:
		case u.Free():
			s.Freeable += stored
		case r.sparse(&u):
			s.Freeable += stored - r.packed(u.Live)
		}
	}
	return s, nil
}
