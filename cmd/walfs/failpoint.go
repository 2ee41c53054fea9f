//go:build failpoint

package main

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// failpoint returns a hook that ends this process, without any clean-up, at the stage of
// the write path that WALFS_FAILPOINT names: "stage", or "stage:count" for a later visit.
func failpoint() func(stage string) {
	stage, count, _ := strings.Cut(os.Getenv("WALFS_FAILPOINT"), ":")
	visits, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		visits = 1
	}
	var seen atomic.Int64
	return func(at string) {
		if at == stage && seen.Add(1) == visits {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // the signal is on its way: nothing may happen after the stage
		}
	}
}
