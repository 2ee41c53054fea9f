package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// app is what all commands share: how they speak and the flags of walfs itself.
type app struct {
	*ui.UI
	out, err io.Writer
	getenv   func(string) string
	self     string // how this program was called

	homeFlag string
	json     bool
	quiet    bool
	verbose  int
	unlock   unlock
}

func newApp(out, err io.Writer) *app {
	a := &app{out: out, err: err, getenv: os.Getenv, self: os.Args[0], unlock: unlock{pass: passphrase{fd: -1}}}
	a.speak()
	return a
}

// speak makes the UI that the flags ask for.
func (a *app) speak() {
	a.UI = ui.New(ui.Config{Stdout: a.out, Stderr: a.err, JSON: a.json, Quiet: a.quiet, Verbose: a.verbose, Getenv: a.getenv})
}

// home finds the state folder.
func (a *app) home() (home, error) { return findHome(a.homeFlag, a.getenv) }

// result prints v with --json, else what text writes to stdout.
func (a *app) result(kind string, v any, text func() error) error {
	if a.JSON() {
		return a.Emit(kind, v)
	}
	return text()
}

const longHelp = `walfs mounts a folder. What is put in it is sealed, spread over storage nodes and
certified on a ledger, and can be read back even when many nodes are down.

walfs mount DIR is all it takes: without a drive it makes one, with nodes and ledger
in this process. fsync returns when data is staged, safe on this machine; walfs sync
when it is certified, so that a fresh machine with the keys gets it back.

  walfs mount ~/Walrus &   use the folder as any other; Ctrl-C or walfs umount ends it
  walfs status             what is safe, and what is under way
  walfs sync               wait until all of it is certified
  walfs key export         keep the keys in another place: without them nobody reads the drive`

func newRootCommand(a *app) *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:           "walfs",
		Short:         "A drive on Walrus storage nodes",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if version {
				return a.version()
			}
			return needSubcommand(cmd, args)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitCodes + "\n")
	root.Flags().BoolVar(&version, "version", false, "print the version, as walfs version does")
	flags := root.PersistentFlags()
	flags.StringVar(&a.homeFlag, "home", "", "state `DIR` of the drive (default: $WALFS_HOME, else ~/.local/share/walfs)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object per line")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	flags.CountVarP(&a.verbose, "verbose", "v", "say more: -v state changes, -vv every operation, with names")
	a.unlock.flags(flags)
	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, cmd := range commands {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	group("use", "Using a drive:", newMountCommand(a), newUmountCommand(a), newStatusCommand(a), newSyncCommand(a), newListCommand(a),
		newStatCommand(a), newGetCommand(a), newPutCommand(a), newTrashCommand(a), newUsageCommand(a), newCostCommand(a))
	group("care", "Looking after it:", newDoctorCommand(a), newCheckCommand(a), newNodeCommand(a), newCollectCommand(a), newCacheCommand(a))
	group("money", "Money and votes:", newWalletCommand(a), newStakeCommand(a), newGovernCommand(a))
	group("keep", "Keys, and other machines:", newInitCommand(a), newKeyCommand(a), newRestoreCommand(a), newTakeoverCommand(a))
	group("more", "Drills and tools:", newLocalnetCommand(a), newBlobCommand(a), newCompletionCommand(a), newManCommand(a), newVersionCommand(a))
	root.SetHelpCommandGroupID("more")
	root.InitDefaultHelpCmd()
	refuseUnknownHelp(root)
	a.completeAll(root)
	exclusive(root, "passphrase-file", "passphrase-fd", "passphrase-command")
	return root
}

// refuseUnknownHelp makes help NAME fail for what there is no help about.
func refuseUnknownHelp(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return fmt.Errorf("there is no command %q", strings.Join(args, " "))
				}
				return nil
			}
		}
	}
}

// refuseUnknownFlagHelp makes NAME --help fail for what there is no help about: the error is there afterwards.
func refuseUnknownFlagHelp(root *cobra.Command) *error {
	unknown, help := new(error), root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if names := cmd.Flags().Args(); cmd.HasSubCommands() && len(names) > 0 {
			*unknown = fmt.Errorf("unknown command %q for %q", names[0], cmd.CommandPath())
			return
		}
		help(cmd, args)
	})
	return unknown
}

// execute runs the command that args name and returns its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	begun := false
	onBegin(root, func() {
		begun = true
		a.speak()
	})
	root.SetArgs(args)
	unknown := refuseUnknownFlagHelp(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = *unknown
	}
	switch {
	case err == nil:
		return int(ui.OK)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errInterrupted
	case !begun: // what cobra finds wrong with arguments and flags, perhaps before it saw --json
		a.json = a.json || wantsJSON(args)
		a.speak()
		err = ui.Errorf(ui.Usage, "%w", err).WithHint("%s --help", cmd.CommandPath())
	}
	if op := strings.TrimPrefix(cmd.CommandPath(), root.Name()); op != "" {
		err = fmt.Errorf("%s: %w", strings.TrimSpace(op), explain(err))
	}
	return int(a.Error(err))
}

// wantsJSON looks for --json in arguments that could not be parsed.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if on, ok := strings.CutPrefix(arg, "--json="); ok {
			yes, err := strconv.ParseBool(on)
			return yes && err == nil
		}
		if arg == "--json" {
			return true
		}
	}
	return false
}

// onBegin calls begin before the body of cmd or of a command below it runs.
func onBegin(cmd *cobra.Command, begin func()) {
	if body := cmd.RunE; body != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			begin()
			return body(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		onBegin(sub, begin)
	}
}

// needSubcommand is the body of a command that only groups others.
func needSubcommand(cmd *cobra.Command, _ []string) error {
	return ui.Errorf(ui.Usage, "which command?").WithHint("%s --help", cmd.CommandPath())
}

// arguments wants as many arguments as names has words, the last len(names) - least of them at will.
func arguments(least int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > len(names) {
			return fmt.Errorf("got %s, want %s", ui.Plural(len(args), "argument", "arguments"), describe(least, names))
		}
		for i, arg := range args {
			if arg == "" {
				return fmt.Errorf("got an empty text for %s", names[i])
			}
		}
		return nil
	}
}

// someNames requires at least one argument.
func someNames(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("got 0 arguments, want at least one NAME")
	}
	return anyNames(nil, args)
}

// anyNames allows any number of arguments, but none that is empty: it would stand for the folder one is in.
func anyNames(_ *cobra.Command, args []string) error {
	if slices.Contains(args, "") {
		return errors.New("got an empty text for a name")
	}
	return nil
}

func describe(least int, names []string) string {
	if len(names) == 0 {
		return "none"
	}
	words := append([]string(nil), names...)
	for i := least; i < len(words); i++ {
		words[i] = "[" + words[i] + "]"
	}
	return strings.Join(words, " ")
}
