package move

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/blake2b"
)

// Package is a version of a package, as a ledger without a Move VM keeps it:
// its names, and what it was voted for under, no code.
type Package struct {
	ID       ID
	Version  uint64 // above that of the version before by one
	Original ID     // that types are named after
	Previous ID     // the version before
	Digest   []byte // PackageDigest of its modules and dependencies
}

// BCS is the layout. It is this ledger's own: on Sui a package is no Move object.
func (v *Package) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.Version)
	c.ID(&v.Original)
	c.ID(&v.Previous)
	c.Bytes(&v.Digest)
}

// ObjectID returns the ID under which functions of this version are called.
func (v *Package) ObjectID() ID { return v.ID }

// PackageType returns the type under which packages are kept.
func PackageType() StructTag { return FrameworkType("package", "MovePackage") }

// PackageDigest returns the hash that an upgrade names its package by: of the
// hashes of the modules and the IDs of the dependencies, sorted.
// Source: Sui, MovePackage::compute_digest_for_modules_and_deps.
func PackageDigest(modules [][]byte, dependencies []ID) []byte {
	parts := make([][]byte, 0, len(modules)+len(dependencies))
	for _, m := range modules {
		sum := blake2b.Sum256(m)
		parts = append(parts, sum[:])
	}
	for _, id := range dependencies {
		parts = append(parts, bytes.Clone(id[:]))
	}
	slices.SortFunc(parts, bytes.Compare)
	sum := blake2b.Sum256(slices.Concat(parts...))
	return sum[:]
}
