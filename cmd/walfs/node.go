package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// nodeArgs names the node for opNodeStop and opNodeStart.
type nodeArgs struct {
	Name string `json:"name"`
}

// replaceArgs is the question of opNodeReplace.
type replaceArgs struct {
	Name string `json:"name"`
	Dir  string `json:"dir,omitempty"` // empty: where the node was
}

// nodeList is the answer of opNodes.
type nodeList struct {
	Nodes []nodeStatus `json:"nodes"`
}

func newNodeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "List, stop, start and check the storage nodes of an embedded drive", Args: arguments(0), RunE: needSubcommand}
	change := func(use, short, long, op string) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME...", Short: short, Long: long, Args: someNames,
			RunE: func(cmd *cobra.Command, args []string) error {
				for _, name := range args {
					var n nodeStatus
					if err := a.ask(cmd.Context(), op, nodeArgs{name}, &n); err != nil {
						return err
					}
					if err := a.result("node", n, func() error { return nil }); err != nil {
						return err
					}
				}
				return nil
			},
		}
	}
	cmd.AddCommand(newNodeListCommand(a),
		change("stop", "Take a node down until it is started again",
			"Stop takes nodes down, as if they had failed, until start takes them up again: to see that the drive\n"+
				"goes on, or before a disk is changed. With ten nodes it stores with up to three down, and reads with\n"+
				"up to six; "+a.self+" status says what is lacking.", opNodeStop),
		change("start", "Take a stopped node up again",
			"Start takes nodes up again. A mounted drive fills them with what they missed; "+a.self+" node list shows\n"+
				"what is left.", opNodeStart),
		newNodeReplaceCommand(a), newNodeScrubCommand(a))
	return cmd
}

func newNodeReplaceCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "replace NAME", Short: "Give a node whose folder was lost a new one, and fill it from the others",
		Long: "Replace makes a folder with the node's key, where it was or in --dir, and takes the node up.\n" +
			"A mounted drive then rebuilds what belongs there; " + a.self + " node list shows what is left. A node\n" +
			"that is up has to be stopped first. Nothing is removed from the old folder.",
		Args: arguments(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := replaceArgs{Name: args[0]}
			if dir != "" {
				q.Dir = absolute(dir)
			}
			var n nodeStatus
			if err := a.ask(cmd.Context(), opNodeReplace, q, &n); err != nil {
				return err
			}
			return a.result("node", n, func() error { return nil })
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "make the folder in `DIR`, on another disk")
	return cmd
}

func newNodeScrubCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "scrub NAME...", Short: "Read all that a node holds and check it against the blob IDs",
		Long: "Scrub reads every sliver of a node and checks it. A mounted drive rebuilds what is missing or\n" +
			"damaged from other nodes; the exit code is 3 when anything was.",
		Args: someNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			bad := 0
			for _, name := range args {
				s, err := a.scrub(cmd.Context(), name)
				if err != nil {
					return err
				}
				bad += s.Missing
			}
			if bad > 0 {
				return ui.Errorf(ui.Partial, "%s missing or damaged", ui.Plural(bad, "sliver is", "slivers are")).WithHint("a mounted drive rebuilds them; %s node list shows what is left", a.self)
			}
			return nil
		},
	}
}

func (a *app) scrub(ctx context.Context, name string) (s scrubbed, err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	progress := a.Progress("scrub "+name, "blobs")
	err = l.call(ctx, opNodeScrub, nodeArgs{name}, func(event json.RawMessage) {
		var at scrubbed
		if json.Unmarshal(event, &at) == nil {
			progress.Set(ui.Count{Items: int64(at.Blobs), Bytes: at.ReadBytes}, ui.Count{Items: int64(at.Total)})
		}
	}, &s)
	progress.End()
	if err != nil {
		return s, err
	}
	return s, a.result("scrub", s, func() error {
		return a.Print("%s: %s missing or damaged, of %s with %s", name, ui.Plural(s.Missing, "sliver is", "slivers are"), blobs(s.Blobs), ui.Size(s.ReadBytes))
	})
}

func newNodeListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the storage nodes", Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list nodeList
			if err := a.ask(cmd.Context(), opNodes, nothing{}, &list); err != nil {
				return err
			}
			return a.showNodes(list.Nodes)
		},
	}
}

func (a *app) showNodes(nodes []nodeStatus) error {
	table := a.Table("NAME", "STATE", "SHARDS", "BLOBS", "SIZE", "READS", "FOLDER")
	for _, n := range nodes {
		if a.JSON() {
			if err := a.Emit("node", n); err != nil {
				return err
			}
			continue
		}
		state, style := n.State, ui.Normal
		if text := n.text(); text != "" && n.State == "up" {
			state, style = fmt.Sprintf("up (%s)", text), ui.Yellow
		}
		if n.State != "up" {
			state, style = fmt.Sprintf("%s (%s)", n.State, n.Reason), ui.Yellow
		}
		held, size := fmt.Sprint(n.Blobs), ui.Size(n.Bytes)
		if n.State != "up" && n.Blobs == 0 {
			held, size = "-", "-" // it has not been up since the drive was opened
		}
		table.Styled(style, n.Name, state, n.Shards, held, size, n.SliverReads, n.Dir)
	}
	return table.Flush()
}

func (d *drive) answerNodes(context.Context, nothing, func(any) error) (nodeList, error) {
	return nodeList{Nodes: d.nodes()}, nil
}

func (d *drive) answerNodeStop(_ context.Context, args nodeArgs, _ func(any) error) (nodeStatus, error) {
	if err := d.net.Stop(args.Name); err != nil {
		return nodeStatus{}, fmt.Errorf("stop %s: %w", args.Name, err)
	}
	return d.node(args.Name)
}

func (d *drive) answerNodeStart(ctx context.Context, args nodeArgs, _ func(any) error) (nodeStatus, error) {
	err := d.net.Start(ctx, args.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nodeStatus{}, ui.Errorf(ui.Failed, "start %s: %w", args.Name, err).
			WithHint("put the disk with its folder back; if that is lost: walfs node replace %s", args.Name)
	}
	if err != nil {
		return nodeStatus{}, fmt.Errorf("start %s: %w", args.Name, err)
	}
	d.nodeCame()
	return d.node(args.Name)
}

// nodeCame has what waits for nodes tried at once.
func (d *drive) nodeCame() {
	d.committer.Retry()
	if d.fsys != nil {
		d.fsys.NodesCame()
	}
}

func (d *drive) answerNodeReplace(ctx context.Context, args replaceArgs, _ func(any) error) (nodeStatus, error) {
	if at := d.mounted().dir; at != "" && args.Dir != "" && inside(at, args.Dir) {
		return nodeStatus{}, usagef("%s lies inside the mount point %s", args.Dir, at)
	}
	err := d.net.Replace(ctx, args.Name, args.Dir)
	if errors.Is(err, embedded.ErrUp) {
		return nodeStatus{}, ui.Errorf(ui.Failed, "%w", err).WithHint("walfs node stop %s", args.Name)
	}
	if err != nil {
		return nodeStatus{}, err
	}
	d.nodeCame()
	return d.node(args.Name)
}

func (d *drive) node(name string) (nodeStatus, error) {
	for _, n := range d.nodes() {
		if n.Name == name {
			return n, nil
		}
	}
	return nodeStatus{}, fmt.Errorf("no node %s", name)
}
