package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// blobAttributesArgs is the question of opBlobAttributes: attributes to set and to remove, or to show.
type blobAttributesArgs struct {
	Name   string      `json:"name"`
	Set    []attribute `json:"set,omitempty"`
	Remove []string    `json:"remove,omitempty"`
}

// attribute is one key and value of a blob object.
type attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// attributesOf is the answer of opBlobAttributes.
type attributesOf struct {
	ObjectID   string      `json:"object_id"`
	BlobID     string      `json:"blob_id"`
	Attributes []attribute `json:"attributes"`
}

func newBlobAttributesCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "attributes", Short: "Show and change the attributes of blob objects", Args: arguments(0), RunE: needSubcommand,
		Long: "Attributes are keys and values that a blob object has on the ledger. They are public, and say nothing\n" +
			"about the content to anybody who does not know what they mean. Those of the drive begin with walfs.",
	}
	one := func(use, short string, args cobra.PositionalArgs, question func(args []string) (blobAttributesArgs, error)) *cobra.Command {
		var at ledgerFlags
		cmd := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
			q, err := question(args)
			if err != nil {
				return err
			}
			return a.attributes(cmd.Context(), &at, q)
		}}
		at.add(cmd)
		return cmd
	}
	several := func(_ *cobra.Command, args []string) error {
		if len(args) < 2 {
			return errors.New("want an ID and at least one attribute")
		}
		return nil
	}
	cmd.AddCommand(
		one("get ID", "Show the attributes of a blob object", arguments(1, "ID"), func(args []string) (blobAttributesArgs, error) {
			return blobAttributesArgs{Name: args[0]}, nil
		}),
		one("set ID KEY=VALUE...", "Set attributes of a blob object", several, func(args []string) (blobAttributesArgs, error) {
			set, err := parseAttributes(args[1:])
			return blobAttributesArgs{Name: args[0], Set: set}, err
		}),
		one("remove ID KEY...", "Remove attributes of a blob object", several, func(args []string) (blobAttributesArgs, error) {
			return blobAttributesArgs{Name: args[0], Remove: args[1:]}, nil
		}),
	)
	return cmd
}

// maxAttributes is how many attributes one transaction changes. Source: Sui allows 1024 commands
// in a transaction.
const maxAttributes = 500

// parseAttributes reads KEY=VALUE.
func parseAttributes(args []string) (list []attribute, err error) {
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef("%q: want KEY=VALUE", arg)
		}
		list = append(list, attribute{key, value})
	}
	return list, nil
}

func (a *app) attributes(ctx context.Context, at *ledgerFlags, q blobAttributesArgs) (err error) {
	l, err := a.reachEstate(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var found attributesOf
	if err := l.call(ctx, opBlobAttributes, q, nil, &found); err != nil {
		return err
	}
	if !a.JSON() && len(q.Set)+len(q.Remove) > 0 {
		return nil
	}
	return a.result("attributes", found, func() error {
		for _, v := range found.Attributes {
			if err := a.Print("%s=%s", ui.Clean(v.Key), ui.Clean(v.Value)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *estate) answerAttributes(ctx context.Context, args blobAttributesArgs, _ func(any) error) (a attributesOf, err error) {
	list, err := e.find(ctx, []string{args.Name})
	if err != nil {
		return a, err
	}
	if len(args.Set)+len(args.Remove) > 0 {
		if err := e.setAttributes(ctx, &list[0], args); err != nil {
			return a, err
		}
		if list, err = e.Owned(ctx, chain.OwnedQuery{Objects: ids(list)}); err != nil {
			return a, err
		}
	}
	a = attributesOf{Attributes: []attribute{}}
	for i := range list {
		a.ObjectID, a.BlobID = list[i].Object.String(), list[i].Blob.String()
		for _, v := range list[i].Attributes {
			a.Attributes = append(a.Attributes, attribute(v))
		}
	}
	return a, nil
}

// setAttributes changes attributes. Those of an anchor nobody changes: its version is what tells
// machines apart that write to a drive.
func (e *estate) setAttributes(ctx context.Context, o *chain.OwnedObject, args blobAttributesArgs) error {
	uses, err := e.uses(ctx)
	if err != nil {
		return err
	}
	if is := uses.of(o); is.Kind == useAnchor {
		return ui.Errorf(ui.Failed, "%s is the %s: only the drive changes its attributes", o.Object, is.text())
	}
	if n := len(args.Set) + len(args.Remove); n > maxAttributes {
		return usagef("%d attributes: at most %d at a time", n, maxAttributes)
	}
	set := make([]chain.Attribute, len(args.Set))
	keys := slices.Clone(args.Remove)
	for i, v := range args.Set {
		set[i] = chain.Attribute(v)
		keys = append(keys, v.Key)
	}
	for i, key := range keys {
		if err := freeKey(key); err != nil {
			return err
		}
		there := slices.ContainsFunc(o.Attributes, func(a chain.Attribute) bool { return a.Key == key })
		if i < len(args.Remove) && (!there || slices.Index(keys, key) != i) {
			return ui.Errorf(ui.Failed, "%s has no attribute %s", o.Object, ui.Clean(key))
		}
	}
	return e.do(ctx, func(tx chain.TxID) (*sui.Result, error) {
		return e.SetAttributes(ctx, tx, o.Object, set, args.Remove)
	})
}

// freeKey refuses keys of attributes that are walfs's own: they tell what an object is needed for.
func freeKey(key string) error {
	if strings.HasPrefix(key, ownAttributes) {
		return usagef("%s: attributes that begin with %s are walfs's own", ui.Clean(key), ownAttributes)
	}
	return nil
}
