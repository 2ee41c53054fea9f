package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version of this source tree.
const release = "0.1.0"

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and the commit that it was built from",
		Args:  arguments(0),
		RunE:  func(*cobra.Command, []string) error { return a.version() },
	}
}

// version tells what walfs this is.
func (a *app) version() error {
	built := builtFrom()
	v := map[string]string{"version": release, "commit": built, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	return a.result("version", v, func() error {
		return a.Print("walfs %s, commit %s, %s %s/%s", release, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	})
}

// builtFrom returns the commit that the Makefile stamped, or that go did.
func builtFrom() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}
