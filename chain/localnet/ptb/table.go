package ptb

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// module is the functions of a Move module.
type module struct {
	pkg, name string
	functions []declared
}

// declared is a function with its signature as Move has it. The Go function
// gets the transaction, if its first parameter is one, and then the arguments:
// what Move passes by reference as a pointer, the rest as values or pointers.
// A *call as first parameter tells the type arguments, too.
type declared struct {
	signature string
	function  any
}

// modules is the table of everything that can be called, a file for each group.
var modules = []module{
	coinModule, balanceModule, payModule, transferModule, clockModule, objectModule,
	systemModule, systemPoolModule, systemNodeModule, storageModule, blobModule, metadataModule,
	sharedBlobModule, storagePoolModule, exchangeModule, nodeSubsidiesModule, buyerSubsidiesModule, walModule,
	stakingModule, stakedModule, nodeMetadataModule, authModule, slashingModule, upgradeModule, initModule,
}

// call is what a function may want to know besides its arguments.
type call struct {
	*overlay.Tx
	types []move.TypeTag // type arguments
}

// coin returns Coin of the first type argument.
func (c *call) coin() move.StructTag {
	return move.FrameworkType("coin", "Coin", c.types[0])
}

// native is a function that can be called.
type native struct {
	*Function
	pkg      string
	function reflect.Value
}

// Table is the functions and types of a network. It does not change and may be
// used concurrently.
type Table struct {
	packages  *move.Packages
	addresses map[string]move.Address
	types     map[string]*datatype
	natives   map[string]*native // by package, module and function
}

// NewTable returns the table for a network.
func NewTable(p *move.Packages) (*Table, error) {
	t := &Table{packages: p, addresses: packageAddresses(p), natives: make(map[string]*native)}
	var err error
	if t.types, err = makeTypes(p); err != nil {
		return nil, err
	}
	for _, m := range modules {
		for _, d := range m.functions {
			n, err := t.bind(m, d)
			if err != nil {
				return nil, fmt.Errorf("%s::%s: %w", m.name, d.signature, err)
			}
			t.natives[m.pkg+"::"+m.name+"::"+n.Name] = n
		}
	}
	return t, nil
}

// bind reads a signature and checks that the Go function can stand for it.
func (t *Table) bind(m module, d declared) (*native, error) {
	f, err := parseFunction(t.types, d.signature)
	if err != nil {
		return nil, err
	}
	f.Package, f.Module = t.addresses[m.pkg], m.name
	n := &native{Function: f, pkg: m.pkg, function: reflect.ValueOf(d.function)}
	return n, n.check(t)
}

// datatypeIn returns a type by where it stands.
func (t *Table) datatypeIn(address move.Address, module, name string) *datatype {
	return t.datatype(&move.StructTag{Address: address, Module: module, Name: name})
}

// Versions are the addresses of the Walrus package that calls may go to, with
// the version of each. The original one is version 1.
type Versions map[move.Address]uint64

// Datatype returns a type of a package, in any of its versions, or nil.
func (t *Table) Datatype(versions Versions, pkg move.Address, module, name string) *Datatype {
	if versions[pkg] != 0 {
		pkg = t.packages.Walrus
	}
	d := t.datatypeIn(pkg, module, name)
	if d == nil {
		return nil
	}
	return &Datatype{Package: d.address, Module: d.module, Name: d.name, Abilities: d.abilities.list(), TypeParams: d.params, Enum: d.enum}
}

// Function returns the signature of a function of a package, in any of its versions, or nil.
func (t *Table) Function(versions Versions, pkg move.Address, module, name string) *Function {
	n := t.native(versions, pkg, module, name)
	if n == nil {
		return nil
	}
	f := *n.Function
	f.Package = pkg
	return &f
}

// Functions returns the signatures of all functions, in order of package, module and name.
func (t *Table) Functions() []*Function {
	var all []*Function
	for _, name := range slices.Sorted(maps.Keys(t.natives)) {
		all = append(all, t.natives[name].Function)
	}
	return all
}

// native finds a function, or returns nil.
func (t *Table) native(versions Versions, pkg move.Address, module, name string) *native {
	group := t.group(versions, pkg)
	if group == "" {
		return nil
	}
	return t.natives[group+"::"+module+"::"+name]
}

// HasPackage reports whether an address is a package, in any of its versions.
func (t *Table) HasPackage(versions Versions, pkg move.Address) bool {
	return t.group(versions, pkg) != ""
}

// group returns which package an address is, or "".
func (t *Table) group(versions Versions, pkg move.Address) string {
	if versions[pkg] != 0 {
		return inWalrus
	}
	for group, address := range t.addresses {
		if address == pkg && group != inWalrus && !pkg.IsZero() {
			return group
		}
	}
	return ""
}

// isContext reports whether a parameter is the one that Sui supplies.
func (p *Param) isContext() bool { return p.Type.Name == "TxContext" }

// Arity returns how many arguments a caller gives.
func (f *Function) Arity() int {
	n := len(f.Params)
	if n > 0 && f.Params[n-1].isContext() {
		n--
	}
	return n
}
