//go:build profile

package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profile writes what this process spends its time on to the file that WALFS_PROFILE
// names, until the function that it returns is called.
func profile() (stop func()) {
	name := os.Getenv("WALFS_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "walfs: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "walfs: no profile:", err)
		}
	}
}
