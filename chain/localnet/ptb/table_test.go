package ptb

import (
	"testing"

	"github.com/walfs/walfs/chain/move"
)

var testPackages = move.Packages{Walrus: move.SmallAddress(0x77), WAL: move.SmallAddress(0x78), Exchange: move.SmallAddress(0x79),
	Subsidies: move.SmallAddress(0x7a), BuyersPackage: move.SmallAddress(0x7b)}

func newTable(t testing.TB) *Table {
	t.Helper()
	table, err := NewTable(&testPackages)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestTable reads every signature and compares it with its Go function.
func TestTable(t *testing.T) {
	table := newTable(t)
	current := move.SmallAddress(0x99)
	versions := Versions{testPackages.Walrus: 1, current: 3}
	f := table.Function(versions, current, "staking", "stake_with_pool")
	if f == nil || len(f.Params) != 4 || f.Arity() != 3 || f.Params[1].Type.Params[0].tag(nil).String() != testPackages.WALType().String() {
		t.Fatalf("stake_with_pool: %+v", f)
	}
	if table.Function(versions, move.SmallAddress(0x98), "staking", "stake_with_pool") != nil {
		t.Error("a package that is none has functions")
	}
}

// TestAbilities compares the table with what the ledger says of objects that it writes.
func TestAbilities(t *testing.T) {
	table := newTable(t)
	for name, d := range table.types {
		tag := move.StructTag{Address: d.address, Module: d.module, Name: d.name}
		if d.abilities.has(Key) && d.abilities.has(Store) != testPackages.HasStore(tag) {
			t.Errorf("%s: store %v here, %v there", name, d.abilities.has(Store), testPackages.HasStore(tag))
		}
		if d.abilities.has(Key) && d.abilities.has(Drop) {
			t.Errorf("%s is an object and can be dropped", name)
		}
	}
}
