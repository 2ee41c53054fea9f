package main

import (
	"context"
	"math"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// cleared is what cache clear prints: bytes of slivers and of clean copies that went.
type cleared struct {
	CacheBytes  int64 `json:"cache_bytes"`
	CopiesBytes int64 `json:"copies_bytes"`
}

func newCacheCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "Manage what is kept locally of certified files", Args: arguments(0), RunE: needSubcommand}
	cmd.AddCommand(&cobra.Command{
		Use:   "clear",
		Short: "Drop cached slivers and clean copies",
		Long: "Clear drops the cached slivers and the clean local copies of certified files that are not open.\n" +
			"What is not certified stays. The next read of a file comes from the nodes.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c cleared
			if err := a.ask(cmd.Context(), opCacheClear, nothing{}, &c); err != nil {
				return err
			}
			return a.result("cache", c, func() error {
				return a.Print("dropped %s of slivers and %s of clean copies", ui.Size(c.CacheBytes), ui.Size(c.CopiesBytes))
			})
		},
	})
	cmd.AddCommand(newPinCommand(a, true), newPinCommand(a, false), newEvictCommand(a))
	return cmd
}

func (d *drive) answerCacheClear(ctx context.Context, _ nothing, _ func(any) error) (cleared, error) {
	c := cleared{CacheBytes: d.cache.Used()}
	if err := d.cache.Clear(); err != nil {
		return c, err
	}
	freed, err := d.copies.Load().Evict(ctx, math.MaxInt64)
	c.CopiesBytes = freed
	return c, err
}
