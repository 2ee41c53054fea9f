package fs

import (
	"context"
	"time"
)

// watchEvery is how often files are looked at that the kernel writes by itself.
const watchEvery = time.Second

// wake starts the watch.
func (p *passing) wake() {
	select {
	case p.wakes <- struct{}{}:
	default:
	}
}

// lentFiles returns the files that the kernel may write by itself.
func (p *passing) lentFiles() []*file {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*file, 0, len(p.lent))
	for f := range p.lent {
		list = append(list, f)
	}
	return list
}

// runWatch looks at files that the kernel may write by itself, as long as there
// are any, until stop is closed: they count as room, a barrier follows on what
// changed, and the use of what is not mapped any more ends.
func (fs *FS) runWatch(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-fs.passing.wakes:
		}
		for lent := fs.passing.lentFiles(); len(lent) > 0; lent = fs.passing.lentFiles() {
			wait := time.NewTimer(watchEvery)
			select {
			case <-stop:
				wait.Stop()
				return
			case <-wait.C:
			}
			for _, f := range lent {
				f.watch(context.Background())
			}
		}
	}
}

// watch looks at a file that the kernel may write by itself.
func (f *file) watch(ctx context.Context) {
	o := &f.opened
	o.mu.Lock()
	local := f.staged()
	if local == nil || !local.Lent() {
		o.mu.Unlock()
		return
	}
	turns := local.Turns()
	changed, node := turns != o.watched, o.node
	o.watched = turns
	ended := o.lingers && f.settle()
	o.mu.Unlock()
	if changed {
		f.fs.kick()
		if err := f.dropUnseen(ctx); err != nil {
			f.fs.log.Error("set-uid bits stay", "op", "watch", "ino", uint64(f.ino), "err", err)
		}
		if node != nil {
			node.NotifyContent(-1, 0)
		}
	}
	if ended {
		f.endLingering(ctx)
	}
}

// dropUnseen takes set-uid and set-gid bits away that a file got while it was
// lent, and that was written unseen since. Who wrote is not known: root's writes take them too.
func (f *file) dropUnseen(ctx context.Context) error {
	if !f.setid.Load() {
		return nil
	}
	local := f.staged()
	if local == nil || !local.Lent() || local.Wrote() == f.opened.checked.Load() {
		return nil
	}
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	if err != nil {
		return err
	}
	_, err = f.setMode(ctx, &attr, attr.Mode&^setidBits)
	return err
}
