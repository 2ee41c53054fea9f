package main

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/control"
)

// completeWithin is how long completion asks a drive, and only one that is mounted: somebody
// holds the Tab key. Tests wait longer.
var completeWithin = 2 * time.Second

const maxCompletions = 1000

// completer is what cobra calls for arguments and values of flags.
type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeAll says what every command below root takes, so that no shell offers files where there
// are none to name.
func (a *app) completeAll(root *cobra.Command) {
	nodes, paths := anyOf(a.completeNodes), anyOf(a.completePaths)
	takes := map[string]completer{
		"node stop": nodes, "node start": nodes, "node scrub": nodes, "node replace": first(a.completeNodes, nothingMore),
		"ls": first(a.completePaths, nothingMore), "stat": first(a.completePaths, nothingMore), "sync": first(a.completePaths, nothingMore),
		"check": paths, "du": paths, "cache pin": paths, "cache unpin": paths, "cache evict": paths, "get": first(a.completePaths, filesHere), "put": first(filesHere, a.completePaths),
	}
	for _, name := range []string{"stake add", "gov slash"} {
		takes[name] = first(a.completeNodes, nothingMore)
	}
	for _, name := range []string{"wallet send", "wallet exchange", "wallet new", "wallet import", "stake request-withdraw", "stake withdraw", "stake split", "stake join"} {
		takes[name] = nothingMore
	}
	everyCommand(root, func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		switch {
		case takes[name] != nil:
			cmd.ValidArgsFunction = takes[name]
		case len(strings.Fields(cmd.Use)) == 1 && len(cmd.ValidArgs) == 0:
			cmd.ValidArgsFunction = nothingMore
		}
		for _, dir := range []string{"home", "network", "node-dir", "new-node-dir", "dir", "out"} {
			if flag := cmd.Flags().Lookup(dir); flag != nil && strings.Contains(flag.Usage, "`DIR`") {
				_ = cmd.MarkFlagDirname(dir) // fails for flags that are not there only
			}
		}
	})
}

// first completes the first argument in one way and those that follow in another.
func first(one, more completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return one(cmd, args, typed)
		}
		return more(cmd, args, typed)
	}
}

// anyOf completes all arguments in one way, and offers none twice.
func anyOf(one completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		found, what := one(cmd, args, typed)
		var left []string
		for _, word := range found {
			if !slices.Contains(args, word) {
				left = append(left, word)
			}
		}
		return left, what
	}
}

func nothingMore(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// filesHere leaves an argument to the shell, which knows files.
func filesHere(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// asking calls ask with a line to the drive, if that is mounted.
func (a *app) asking(cmd *cobra.Command, ask func(ctx context.Context, l *line) error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	h, err := a.home()
	if err != nil {
		return
	}
	client, err := control.Dial(ctx, h.dir)
	if err != nil {
		return
	}
	_ = ask(ctx, &line{call: client.Call, close: client.Close, mounted: true}) // what was found by then is offered
	_ = client.Close()
}

func (a *app) completeNodes(cmd *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
	a.asking(cmd, func(ctx context.Context, l *line) error {
		var list nodeList
		err := l.call(ctx, opNodes, nothing{}, nil, &list)
		for _, n := range list.Nodes {
			if strings.HasPrefix(n.Name, typed) {
				found = append(found, n.Name)
			}
		}
		return err
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completePaths completes a path in the drive. One below the mount point is left to the shell.
func (a *app) completePaths(cmd *cobra.Command, _ []string, typed string) (found []string, what cobra.ShellCompDirective) {
	what = cobra.ShellCompDirectiveDefault
	a.asking(cmd, func(ctx context.Context, l *line) error {
		var s status
		if err := l.call(ctx, opStatus, nothing{}, nil, &s); err != nil {
			return err
		}
		if _, mounted := below(s.Mountpoint, typed); mounted {
			return nil
		}
		dir, _ := path.Split(typed)
		asked := listArgs{Path: []byte("/" + strings.TrimPrefix(dir, "/"))}
		return l.call(ctx, opList, asked, func(event json.RawMessage) {
			var page listPage
			_ = json.Unmarshal(event, &page) // of another version: then there is nothing to offer
			for _, e := range page.Entries {
				word := dir + path.Base(e.Path)
				if e.Kind == "dir" {
					word += "/"
				}
				if len(found) < maxCompletions && strings.HasPrefix(word, typed) && e.PathBytes == nil {
					found = append(found, word)
				}
			}
		}, nil)
	})
	if len(found) > 0 {
		what = cobra.ShellCompDirectiveNoFileComp
	}
	if len(found) == 1 && strings.HasSuffix(found[0], "/") {
		what |= cobra.ShellCompDirectiveNoSpace
	}
	return found, what
}

// completeOptions completes the last of the options of mount -o.
func completeOptions(_ *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
	before := typed[:strings.LastIndex(typed, ",")+1]
	for option := range strings.FieldsFuncSeq(optionsHelp, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		option = strings.NewReplacer("=N", "=", "=OCTAL", "=").Replace(option)
		if strings.HasPrefix(before+option, typed) {
			found = append(found, before+option)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// bashWords stands in for a part of the bash-completion package where that is not loaded: bash
// splits words at = and : as well, and walfs does not.
const bashWords = `
__walfs_init_completion()
{
    COMPREPLY=()
    local line=${COMP_LINE} before i
    words=() cword=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        before=${line%%"${COMP_WORDS[i]}"*}
        line=${line#*"${COMP_WORDS[i]}"}
        if ((i > 0)) && [[ -z ${before} && -n ${COMP_WORDS[i]} ]]; then
            words[${#words[@]}-1]+=${COMP_WORDS[i]}
        else
            words+=("${COMP_WORDS[i]}")
        fi
        ((i == COMP_CWORD)) && cword=$((${#words[@]} - 1))
    done
    cur=${words[cword]} prev=${words[cword-1]}
}
`
