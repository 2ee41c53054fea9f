package index_test

import (
	"testing"

	"github.com/walfs/walfs/index"
)

// TestNextChange: each who waits is told of the next commit, and of no earlier one.
func TestNextChange(t *testing.T) {
	db := open(t)
	create := func(name string) {
		t.Helper()
		if _, err := db.Create(t.Context(), index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: 0o100644}); err != nil {
			t.Fatal(err)
		}
		if err := db.Barrier(t.Context(), nil); err != nil { // what was answered before its commit is committed now
			t.Fatal(err)
		}
	}
	create("before")
	one, other := db.NextChange(), db.NextChange()
	select {
	case <-one:
		t.Fatal("told of what was committed before")
	default:
	}
	create("after")
	for _, told := range []<-chan struct{}{one, other} {
		select {
		case <-told:
		default:
			t.Error("not told of a commit")
		}
	}
}
