package localnet

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// PackageVersion is one version of a package.
type PackageVersion struct {
	ID      move.ID // under which its functions are called
	Version uint64  // from 1
}

// PackageVersions returns the versions of the package that an ID is one of, and
// the original one. They are in order, and have gaps where a ledger began with a
// later version. It returns chain.ErrNotExist when there is no such package.
func (n *Net) PackageVersions(ctx context.Context, id move.ID) (original move.ID, all []PackageVersion, err error) {
	versions, err := n.versions(ctx, n.store.reader)
	if err != nil {
		return original, nil, err
	}
	if versions[id] == 0 {
		if !n.table.HasPackage(versions, id) {
			return original, nil, fmt.Errorf("package %s: %w", id, errNone)
		}
		return id, []PackageVersion{{id, 1}}, nil // the others are never upgraded
	}
	for pkg, version := range versions {
		all = append(all, PackageVersion{pkg, version})
	}
	slices.SortFunc(all, func(a, b PackageVersion) int { return cmp.Compare(a.Version, b.Version) })
	return n.facts.packages.Walrus, all, nil
}

// versions says which versions of the Walrus package there are: the original
// one, the one that the ledger began with, and each that an upgrade made.
func (n *Net) versions(ctx context.Context, q queryer) (ptb.Versions, error) {
	system, err := n.readSystem(ctx, q)
	if err != nil {
		return nil, err
	}
	v := ptb.Versions{n.facts.packages.Walrus: 1}
	id, version := system.PackageID, system.Version
	if system.NewPackageID != nil {
		id = *system.NewPackageID
	}
	for {
		o, err := n.store.object(ctx, q, id)
		if err != nil {
			return nil, err
		}
		if o == nil { // the first one, which is an ID alone
			v[id] = version
			return v, nil
		}
		var p move.Package
		if err := move.Unmarshal(o.Contents, &p); err != nil || v[id] != 0 {
			return nil, fmt.Errorf("package %s: %w", id, ErrDamaged)
		}
		v[id] = p.Version
		id, version = p.Previous, p.Version-1
	}
}
