package ui

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often progress shows.
const (
	redrawEvery = 100 * time.Millisecond // on a terminal
	plainEvery  = 30 * time.Second       // elsewhere
	jsonEvery   = time.Second
)

// Count is an amount of work.
type Count struct {
	Items int64
	Bytes int64
}

// Progress shows how far a piece of work has come. It knows nothing of the work:
// who does it calls Set or Add, at any rate and from any goroutine, and End once.
type Progress struct {
	u          *UI
	name, unit string
	stop       chan struct{}
	stopped    chan struct{}
	end        sync.Once

	// mu guards the fields below.
	mu          sync.Mutex
	done, total Count
	history     []sample // the oldest first; never empty
	shown       bool     // at least one line was written
}

// Progress starts to show the work called name, whose items are called unit, in
// the plural. One Progress shows at a time: this one hides an earlier one.
func (u *UI) Progress(name, unit string) *Progress {
	p := &Progress{
		u: u, name: name, unit: unit,
		stop: make(chan struct{}), stopped: make(chan struct{}),
		history: []sample{{when: time.Now()}},
	}
	if u.cfg.Quiet {
		close(p.stopped)
		return p
	}
	u.mu.Lock()
	u.active = p
	u.mu.Unlock()
	go p.run()
	return p
}

// Set says how much is done and how much there is in all; 0 in all is unknown.
func (p *Progress) Set(done, total Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total = done, total
}

// Add says that more is done.
func (p *Progress) Add(more Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Items += more.Items
	p.done.Bytes += more.Bytes
}

// Total says how much there is in all, as far as is known.
func (p *Progress) Total(total Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

// End takes the line away; elsewhere than on a terminal it writes a last line if
// there was one before. It may be called more than once.
func (p *Progress) End() {
	p.end.Do(func() { close(p.stop) })
	<-p.stopped
}

func (p *Progress) run() {
	defer close(p.stopped)
	every := plainEvery
	switch {
	case p.u.cfg.JSON:
		every = jsonEvery
	case p.u.err.terminal:
		every = redrawEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.show()
		case <-p.stop:
			p.finish()
			return
		}
	}
}

// show writes the state of now.
func (p *Progress) show() {
	s := p.state(time.Now())
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	if p.u.active != p {
		return
	}
	p.mu.Lock()
	p.shown = true
	p.mu.Unlock()
	p.u.draw(s)
}

func (p *Progress) finish() {
	p.mu.Lock()
	last := p.shown && (p.u.cfg.JSON || !p.u.err.terminal)
	p.mu.Unlock()
	if last {
		p.show()
	}
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	if p.u.active == p {
		p.u.erase()
		p.u.active = nil
	}
}

// draw writes s in the way that stderr allows. The caller holds u.mu.
func (u *UI) draw(s state) {
	if u.cfg.JSON {
		if line, err := typed("progress", s); err == nil {
			_, _ = u.err.w.Write(line)
		}
		return
	}
	if !u.err.terminal {
		_, _ = io.WriteString(u.err.w, s.line()+"\n")
		return
	}
	_, _ = io.WriteString(u.err.w, eraseLine+fit(s.line(), u.err.width()))
	u.drawn = true
}

// width returns the columns of a terminal, 80 if it does not tell.
func (st stream) width() int {
	if f, ok := st.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// fit cuts line so that it does not wrap, since a wrapped line cannot be erased.
func fit(line string, width int) string {
	r := []rune(line)
	return string(r[:min(len(r), max(1, width-1))])
}
