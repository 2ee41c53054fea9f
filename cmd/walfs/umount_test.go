package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/gofrs/flock"

	"github.com/walfs/walfs/cmd/internal/control"
)

// TestLeaveLazily takes a mount away whose process is not quick to end: what nobody uses is waited for, and
// what programs have open is told of.
func TestLeaveLazily(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status status
		told   bool
	}{
		"it is being closed": {status{Detached: true, Closing: true}, false},
		"it is in use":       {status{Detached: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := home{dir: filepath.Join(t.TempDir(), "home"), given: true}
			must(t, h.make())
			lock := flock.New(h.lock())
			must(t, lock.Lock())
			defer func() { must(t, lock.Unlock()) }()
			socket, err := control.Listen(h.dir)
			must(t, err)
			asked := make(chan struct{}, 1)
			socket.Handle(opStatus, func(context.Context, json.RawMessage, func(any) error) (any, error) {
				asked <- struct{}{}
				return tt.status, nil
			})
			served := make(chan error, 1)
			go func() { served <- socket.Serve(t.Context()) }()
			var said bytes.Buffer
			left := make(chan error, 1)
			go func() { left <- newApp(&said, &said).leaveLazily(context.Background(), h, "mnt") }()
			<-asked
			if !tt.told {
				must(t, lock.Unlock()) // it has ended
			}
			must(t, <-left)
			if tt.told != (said.Len() > 0) {
				t.Errorf("it said %q", said.String())
			}
			must(t, socket.Close())
			must(t, <-served)
		})
	}
}
