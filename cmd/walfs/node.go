package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// nodeArgs names the node for opNodeStop and opNodeStart.
type nodeArgs struct {
	Name string `json:"name"`
}

// nodeList is the answer of opNodes.
type nodeList struct {
	Nodes []nodeStatus `json:"nodes"`
}

func newNodeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "List, stop and start the storage nodes of an embedded drive", Args: arguments(0), RunE: needSubcommand}
	change := func(use, short, op string) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME...", Short: short, Args: someNames,
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
		change("stop", "Take a node down until it is started again", opNodeStop),
		change("start", "Take a stopped node up again", opNodeStart))
	return cmd
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
		if n.State != "up" {
			state, style = fmt.Sprintf("%s (%s)", n.State, n.Reason), ui.Yellow
		}
		table.Styled(style, n.Name, state, n.Shards, n.Blobs, ui.Size(n.Bytes), n.SliverReads, n.Dir)
	}
	return table.Flush()
}

func (d *drive) answerNodes(context.Context, nothing, func(any) error) (list nodeList, err error) {
	for _, n := range d.net.Nodes() {
		list.Nodes = append(list.Nodes, newNodeStatus(n))
	}
	return list, nil
}

func (d *drive) answerNodeStop(_ context.Context, args nodeArgs, _ func(any) error) (nodeStatus, error) {
	if err := d.net.Stop(args.Name); err != nil {
		return nodeStatus{}, fmt.Errorf("stop %s: %w", args.Name, err)
	}
	return d.node(args.Name)
}

func (d *drive) answerNodeStart(ctx context.Context, args nodeArgs, _ func(any) error) (nodeStatus, error) {
	if err := d.net.Start(ctx, args.Name); err != nil {
		return nodeStatus{}, fmt.Errorf("start %s: %w", args.Name, err)
	}
	return d.node(args.Name)
}

func (d *drive) node(name string) (nodeStatus, error) {
	for _, n := range d.net.Nodes() {
		if n.Name == name {
			return newNodeStatus(n), nil
		}
	}
	return nodeStatus{}, fmt.Errorf("no node %s", name)
}
