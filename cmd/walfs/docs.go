package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newCompletionCommand(a *app) *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash": func(root *cobra.Command) error {
			if err := root.GenBashCompletionV2(a.Stdout(), true); err != nil {
				return err
			}
			_, err := a.Stdout().Write([]byte(bashWords))
			return err
		},
		"zsh":  func(root *cobra.Command) error { return root.GenZshCompletion(a.Stdout()) },
		"fish": func(root *cobra.Command) error { return root.GenFishCompletion(a.Stdout(), true) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes walfs in a shell",
		Long: "Completion prints a script for the shell to read:\n\n" +
			"  bash  source <(walfs completion bash)\n" +
			"  zsh   walfs completion zsh >\"${fpath[1]}/_walfs\"\n" +
			"  fish  walfs completion fish >~/.config/fish/completions/walfs.fish",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      cobra.MatchAll(arguments(1, "SHELL"), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shells[args[0]](cmd.Root())
		},
	}
}

func newManCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long:  "Man writes a page in section 1 for each command into DIR, which it makes where there is none.",
		Args:  arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeManual(cmd.Root(), args[0])
		},
	}
}

// manualDate is that of the pages, so that the same source gives the same pages.
var manualDate = time.Date(2026, time.September, 1, 0, 0, 0, 0, time.UTC)

func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for the pages: %w", err)
	}
	everyCommand(root, func(cmd *cobra.Command) { cmd.DisableAutoGenTag = true })
	date := manualDate
	return wrapf(doc.GenManTree(root, &doc.GenManHeader{
		Title: "WALFS", Section: "1", Date: &date, Source: "walfs " + release, Manual: "walfs",
	}, dir), "write the pages")
}

func everyCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		everyCommand(sub, do)
	}
}
