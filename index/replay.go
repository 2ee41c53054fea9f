package index

import "context"

// Replay builds a fresh index from trailers.
type Replay struct{}

// ReplayReport says what a replay made and what it had to leave out.
type ReplayReport struct {
	Generations int
	Inodes      int64
	Bytes       int64
	Problems    []string // what was refused or made harmless
}

// NewReplay starts a fresh index, which appears at path when the replay is closed. ErrExist: there is one.
func NewReplay(ctx context.Context, path string, d Drive) (*Replay, error) { return nil, errUnfinished }

// Apply lays a trailer over the tree. Trailers come in ascending order, each
// with the segments that carried it: Number, Blob, Size and Header are used.
func (r *Replay) Apply(ctx context.Context, t *Trailer, segments []SegmentRow) error {
	return errUnfinished
}

// Close drops what no name reaches, recomputes link counts, numbers new inodes
// above all, records the anchor and puts the index in its place.
func (r *Replay) Close(ctx context.Context, a AnchorState) (ReplayReport, error) {
	return ReplayReport{}, errUnfinished
}

// Abort gives up and removes what was built. After Close it does nothing.
func (r *Replay) Abort() error { return errUnfinished }
