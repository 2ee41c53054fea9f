package commit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// certify waits for one file.
func (r *rig) certify(name string, patience time.Duration) error {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // against a hang
	defer cancel()
	return r.c.Certify(ctx, r.inoOf(name), patience)
}

func (r *rig) state(name string) index.State {
	r.Helper()
	s, err := r.db.State(context.Background(), r.inoOf(name))
	r.must(err)
	return s.State
}

// TestCertify waits for one file in a drive that is in no hurry, whatever
// others are about.
func TestCertify(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: crashPolicy})
	busy := r.file(index.Root, "busy") // open all the time, never queued
	r.writeAt(busy, random(9, 5000), 0)
	open := r.file(index.Root, "open")
	r.writeAt(open, random(1, 2_000_000), 0)
	r.must(r.db.Queue(context.Background(), open.Ino(), open.State()))
	r.must(r.certify("open", time.Minute))
	if s := r.state("open"); s != index.StateCertified {
		t.Errorf("open is %s", s)
	}
	r.restored().same("/open", random(1, 2_000_000))
	if s := r.state("busy"); s != index.StateDirty {
		t.Errorf("busy is %s", s)
	}
	r.done(open)
	r.certified("a rename", func() { r.rename("open", "renamed") }, "renamed")
	r.certified("an attribute", func() {
		mode := uint32(0o600)
		_, err := r.db.SetAttr(context.Background(), r.inoOf("renamed"), index.Change{Mode: &mode})
		r.must(err)
	}, "renamed")
	last := r.last()
	r.must(r.certify("renamed", time.Minute))
	if r.last() != last {
		t.Error("a file that is certified is stored again")
	}
	r.done(busy)
	if err := r.c.Certify(context.Background(), 1<<40, time.Minute); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
}

// certified does something to a file and wants it to be certified afterwards.
func (r *rig) certified(what string, do func(), name string) {
	r.Helper()
	do()
	if s := r.state(name); s == index.StateCertified {
		r.Errorf("after %s %s is certified at once", what, name)
	}
	r.must(r.certify(name, time.Minute))
	if s := r.state(name); s != index.StateCertified {
		r.Errorf("after %s %s is %s", what, name, s)
	}
}

// TestCertifyStalls gives up when nothing goes on, at once when only a person
// can help, and when who waits goes away.
func TestCertifyStalls(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{})
	ledger.set(func() { ledger.register = func(int) (error, error) { return errLost, nil } })
	r.put("a", random(1, 1000))
	if err := r.certify("a", 50*time.Millisecond); !errors.Is(err, commit.ErrStalled) {
		t.Errorf("with the ledger away: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.c.Certify(ctx, r.inoOf("a"), time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when the caller leaves: %v", err)
	}
	ledger.set(func() { ledger.register = func(int) (error, error) { return chain.ErrNoFunds, nil } })
	if err := r.certify("a", time.Hour); !errors.Is(err, chain.ErrNoFunds) {
		t.Errorf("without funds: %v", err)
	}
	ledger.set(func() { ledger.register = nil })
	r.must(r.certify("a", time.Minute))
	r.restored().same("/a", random(1, 1000))
}
