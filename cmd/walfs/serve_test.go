package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitGone ends a mount after a signal: programs are waited for, then they lose what they have
// open, and what is staged is brought onto the disk also where that is slow, or where the last program
// has gone just before.
func TestAwaitGone(t *testing.T) {
	noConnection := errors.New("there is no such connection")
	for name, tt := range map[string]struct {
		after time.Duration // the mount is gone; 0: when it is ended
		end   error
		ended bool
		says  string
	}{
		"nobody stays":      {time.Second, nil, false, ""},
		"somebody stays":    {0, nil, true, ""},
		"it is slow":        {leaveWithin + closeWithin/2, nil, true, ""},
		"it ends by itself": {leaveWithin + time.Second, noConnection, true, ""},
		"it does not end":   {time.Hour, noConnection, true, noConnection.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone, ended := make(chan error, 1), false
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { gone <- nil })
				}
				err := awaitGone(gone, func() error {
					ended = true
					if tt.after == 0 {
						gone <- nil
					}
					return tt.end
				})
				if ended != tt.ended || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("ended %v, %v", ended, err)
				}
			})
		})
	}
}
