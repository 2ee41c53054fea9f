package blobstore

import (
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

func TestStanding(t *testing.T) {
	now := time.Now()
	p := &peer{}
	expect := func(when string, at time.Time, s standing, claim bool) {
		t.Helper()
		if got := p.standing(at); got != s {
			t.Errorf("%s: standing %d, want %d", when, got, s)
		}
		if got := p.claim(at); got != claim {
			t.Errorf("%s: claim %t, want %t", when, got, claim)
		}
	}
	expect("at first", now, good, true)
	p.failed(now)
	expect("just failed", now, avoided, false)
	expect("after the penalty", now.Add(firstPenalty), doubtful, true)
	expect("while one request tries it", now.Add(firstPenalty), avoided, false)
	p.unclaim()
	expect("when that was given up", now.Add(firstPenalty), doubtful, true)
	for range 20 {
		now = p.until
		p.failed(now)
		p.failed(now) // another request that was under way
	}
	if wait := p.until.Sub(now); wait != maxPenalty {
		t.Errorf("after many failures it is avoided for %v, want %v", wait, maxPenalty)
	}
	expect("long after", now.Add(maxPenalty), doubtful, true)
	p.answered()
	expect("when it answered", now, good, true)
	p.failed(now)
	if wait := p.until.Sub(now); wait != firstPenalty {
		t.Errorf("after it was well it is avoided for %v, want %v", wait, firstPenalty)
	}
}

func TestHedge(t *testing.T) {
	var p pace
	check := func(when string, want time.Duration) {
		t.Helper()
		if got := p.hedge(); got != want {
			t.Errorf("%s: hedge %v, want %v", when, got, want)
		}
	}
	check("at first", minHedge)
	for range 100 {
		p.add(time.Millisecond)
	}
	check("fast nodes", minHedge)
	for i := range 64 {
		if i%3 == 0 {
			p.add(20 * time.Second)
		} else {
			p.add(150 * time.Millisecond)
		}
	}
	check("a third is slow", hedgeMedians*150*time.Millisecond)
	for range 64 {
		p.add(20 * time.Second)
	}
	check("all are slow", 30*time.Second)
}

// A member that moves to another address or changes its key starts afresh.
func TestPeersFollowTheCommittee(t *testing.T) {
	var ps peers
	m := walrus.Member{ID: walrus.NodeID{1}, Address: "a:1"}
	first := ps.of(&m)
	first.failed(time.Now())
	if ps.of(&m) != first {
		t.Error("the same member is another peer")
	}
	m.Address = "b:1"
	if second := ps.of(&m); second == first || second.standing(time.Now()) != good {
		t.Error("a member at another address inherits")
	}
}

func TestLRU(t *testing.T) {
	l := newLRU[int, string](10)
	l.put(1, "one", 4)
	l.put(2, "two", 4)
	l.get(1)
	l.put(3, "three", 4) // 2 has to go
	l.put(4, "too large", 11)
	for key, want := range map[int]string{1: "one", 2: "", 3: "three", 4: ""} {
		if got, ok := l.get(key); got != want || ok != (want != "") {
			t.Errorf("%d: %q, %t, want %q", key, got, ok, want)
		}
	}
	l.put(1, "ONE", 9)
	if got, _ := l.get(1); got != "ONE" || l.used != 9 || len(l.byKey) != 1 || l.order.Len() != 1 {
		t.Errorf("%q, %d bytes used by %d", got, l.used, len(l.byKey))
	}
}
