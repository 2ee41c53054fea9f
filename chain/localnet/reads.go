package localnet

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// Facts is what a client has to know of a ledger before its first call.
type Facts struct {
	ChainID       move.Digest   // in the place of the genesis checkpoint's digest
	Packages      move.Packages // original ones: types are named after them
	Walrus        move.ID       // the current package: calls go to it
	System        move.ID
	Staking       move.ID
	Treasury      move.ID
	Exchange      move.ID
	Slashing      move.ID
	Upgrades      move.ID
	Faucet        move.Address
	GasPrice      uint64        // MIST per unit of gas
	GasCost       uint64        // MIST for every transaction
	GasBudget     uint64        // MIST that Resolve asks for
	EpochDuration time.Duration // of Sui, not of Walrus
}

// Facts returns what does not change, and the current package.
func (n *Net) Facts(ctx context.Context) (Facts, error) {
	system, err := n.readSystem(ctx, n.store.reader)
	if err != nil {
		return Facts{}, err
	}
	return Facts{ChainID: move.Digest(n.facts.chainID), Packages: n.facts.packages, Walrus: system.PackageID,
		System: n.facts.system, Staking: n.facts.staking, Treasury: n.facts.treasury, Faucet: move.Address(n.facts.faucet), Exchange: n.exchange(), Slashing: n.slashing(), Upgrades: n.upgrades(),
		GasPrice: ptb.GasPrice, GasCost: ptb.GasCost, GasBudget: resolvedBudget, EpochDuration: time.Duration(suiEpochMS) * time.Millisecond}, nil
}

// SuiEpoch returns the epoch of Sui, which is not that of Walrus, and when it began, in the ledger's time.
func (n *Net) SuiEpoch() (epoch uint64, start time.Time) {
	epoch, startMS := n.suiEpoch(n.clock.timeMS())
	return epoch, time.UnixMilli(int64(startMS))
}

// Now returns the ledger's time.
func (n *Net) Now() time.Time { return time.UnixMilli(int64(n.clock.timeMS())) }

// Function returns the signature of a public function of a package, in any
// of its versions. It returns chain.ErrNotExist when there is none.
func (n *Net) Function(ctx context.Context, pkg move.ID, module, name string) (*ptb.Function, error) {
	versions, err := n.versions(ctx, n.store.reader)
	if err != nil {
		return nil, err
	}
	if f := n.table.Function(versions, pkg, module, name); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("function %s::%s::%s: %w", pkg, module, name, errNone)
}

// Datatype returns a type of a package, in any of its versions. It returns
// chain.ErrNotExist when there is none.
func (n *Net) Datatype(ctx context.Context, pkg move.ID, module, name string) (*ptb.Datatype, error) {
	versions, err := n.versions(ctx, n.store.reader)
	if err != nil {
		return nil, err
	}
	if d := n.table.Datatype(versions, pkg, module, name); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("type %s::%s::%s: %w", pkg, module, name, errNone)
}

// Object returns an object. It returns chain.ErrNotExist when there is none.
func (n *Net) Object(ctx context.Context, id move.ID) (*move.Object, error) {
	o, err := n.store.object(ctx, n.store.reader, id)
	if err == nil && o == nil {
		err = errNone
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", id, err)
	}
	return o, nil
}

// Objects returns objects of one state of the ledger, nil for those that are not there.
func (n *Net) Objects(ctx context.Context, ids []move.ID) (objects []*move.Object, err error) {
	objects = make([]*move.Object, len(ids))
	err = n.view(ctx, func(tx *sql.Tx) error {
		for i, id := range ids {
			if objects[i], err = n.store.object(ctx, tx, id); err != nil {
				return fmt.Errorf("object %s: %w", id, err)
			}
		}
		return nil
	})
	return objects, err
}

// rowed is an object and the number of its row.
type rowed struct {
	row    uint64
	object *move.Object
}

// listOwned lists objects of an owner behind a row, at most limit of them, whose
// type has a number among types; nil means any.
func (n *Net) listOwned(ctx context.Context, tx *sql.Tx, owner move.Address, types []int64, after uint64, limit int) (all []rowed, err error) {
	query := `SELECT rowid, version, type, public, owner_kind, owner, initial_version, contents, previous_tx
		FROM objects WHERE owner = ? AND rowid > ?`
	if types != nil {
		query += " AND type IN (" + strings.Trim(strings.Repeat("?,", len(types)), ",") + ")"
	}
	args := []any{owner[:], int64(after)}
	for _, t := range types {
		args = append(args, t)
	}
	rows, err := tx.QueryContext(ctx, query+" ORDER BY rowid LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r rowed
		r.object, err = n.store.scanObject(ctx, tx, func(into ...any) error { return rows.Scan(append([]any{&r.row}, into...)...) })
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// typesLike returns the numbers of the types that match a tag: itself, or all
// of its instances when it has no parameters. Nil means that tag is nil.
func (n *Net) typesLike(ctx context.Context, tx *sql.Tx, tag *move.StructTag) (numbers []int64, err error) {
	if tag == nil {
		return nil, nil
	}
	name := tag.String()
	rows, err := tx.QueryContext(ctx, `SELECT id FROM types WHERE name = ? OR substr(name, 1, ?) = ?`, name, len(name)+1, name+"<")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	numbers = []int64{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		numbers = append(numbers, id)
	}
	return numbers, rows.Err()
}

// page lists objects as listOwned does, and returns the cursor of the next page, 0 when there is none.
func (n *Net) page(ctx context.Context, owner move.Address, kind move.OwnerKind, tag *move.StructTag, cursor uint64, limit int,
	give func(tx *sql.Tx, o *move.Object) error) (next uint64, err error) {
	err = n.view(ctx, func(tx *sql.Tx) error {
		types, err := n.typesLike(ctx, tx, tag)
		if err != nil {
			return err
		}
		rows, err := n.listOwned(ctx, tx, owner, types, cursor, limit+1)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			next = rows[limit-1].row
		}
		for _, r := range rows {
			if r.object.Owner.Kind != kind {
				continue
			}
			if err := give(tx, r.object); err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// OwnedObjects lists what an address owns, oldest first: at most limit objects
// of a type, or of all types when tag is nil; a tag without parameters stands
// for all of its instances. It goes on behind cursor, 0 at first, and returns
// the cursor of the next page, 0 when there is none.
func (n *Net) OwnedObjects(ctx context.Context, owner move.Address, tag *move.StructTag, cursor uint64, limit int) (objects []*move.Object, next uint64, err error) {
	next, err = n.page(ctx, owner, move.OwnerAddress, tag, cursor, limit, func(_ *sql.Tx, o *move.Object) error {
		objects = append(objects, o)
		return nil
	})
	return objects, next, err
}

// DynamicField is a field that hangs below an object.
type DynamicField struct {
	Field     *move.Object // the field object itself
	NameType  move.TypeTag // of the key; that inside the wrapper for an object field
	Name      []byte       // BCS of the key
	ValueType move.TypeTag // of the value, or of the child
	Value     []byte       // BCS; of an object field the child's ID
	Child     *move.Object // of an object field, else nil
}

// DynamicFields lists the fields below an object, paged as OwnedObjects.
func (n *Net) DynamicFields(ctx context.Context, parent move.ID, cursor uint64, limit int) (fields []DynamicField, next uint64, err error) {
	tag := move.FrameworkType("dynamic_field", "Field")
	next, err = n.page(ctx, parent, move.OwnerObject, &tag, cursor, limit, func(tx *sql.Tx, o *move.Object) error {
		f, err := n.dynamicField(ctx, tx, o)
		if err != nil {
			return fmt.Errorf("field %s: %w", o.ID(), err)
		}
		fields = append(fields, f)
		return nil
	})
	return fields, next, err
}

// dynamicField takes a field object apart.
func (n *Net) dynamicField(ctx context.Context, tx *sql.Tx, o *move.Object) (f DynamicField, err error) {
	if len(o.Type.Params) != 2 {
		return f, fmt.Errorf("type %s: %w", o.Type, ErrDamaged)
	}
	f = DynamicField{Field: o, NameType: o.Type.Params[0], ValueType: o.Type.Params[1]}
	wrapper := f.NameType.Struct
	object := wrapper != nil && wrapper.Module == "dynamic_object_field" && wrapper.Name == "Wrapper" && len(wrapper.Params) == 1
	if object {
		f.NameType = wrapper.Params[0]
	}
	rest := o.Contents[len(move.ID{}):]
	length, err := n.table.Length(f.NameType, rest)
	if err != nil {
		return f, err
	}
	f.Name, f.Value = rest[:length], rest[length:]
	if !object {
		return f, nil
	}
	child := move.ID{}
	if copy(child[:], f.Value) != len(child) {
		return f, ErrDamaged
	}
	if f.Child, err = n.store.object(ctx, tx, child); err == nil && f.Child == nil {
		err = ErrDamaged
	}
	if err == nil {
		f.ValueType = f.Child.Type.Tag()
	}
	return f, err
}

// CoinBalance is what an address has of one currency.
type CoinBalance struct {
	Currency move.StructTag
	Amount   uint64
	Coins    int
}

// Balances returns what an address has, in order of currencies.
func (n *Net) Balances(ctx context.Context, owner move.Address) ([]CoinBalance, error) {
	sums := make(map[string]*CoinBalance)
	tag := move.FrameworkType("coin", "Coin")
	const pageSize = 1000
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		objects, next, err := n.OwnedObjects(ctx, owner, &tag, cursor, pageSize)
		if err != nil {
			return nil, err
		}
		cursor = next
		for _, o := range objects {
			var coin move.Coin
			if err := move.Unmarshal(o.Contents, &coin); err != nil || o.Type.Params[0].Struct == nil {
				return nil, fmt.Errorf("coin %s: %w", o.ID(), errors.Join(err, ErrDamaged))
			}
			currency := o.Type.Params[0].Struct
			if sums[currency.String()] == nil {
				sums[currency.String()] = &CoinBalance{Currency: *currency}
			}
			sums[currency.String()].Amount += coin.Balance
			sums[currency.String()].Coins++
		}
	}
	all := make([]CoinBalance, 0, len(sums))
	for _, b := range sums {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b CoinBalance) int { return cmp.Compare(a.Currency.String(), b.Currency.String()) })
	return all, nil
}

// CoinInfo describes a currency.
type CoinInfo struct {
	Currency    move.StructTag
	Decimals    uint8
	Name        string
	Symbol      string
	Description string
	Supply      *uint64 // nil when nobody counts it
	Treasury    move.ID // of the TreasuryCap; zero when there is none
}

// CoinInfo describes a currency. It returns chain.ErrNotExist for one that is not there.
func (n *Net) CoinInfo(ctx context.Context, currency move.StructTag) (*CoinInfo, error) {
	const decimals = 9 // Sources: modules sui and wal
	switch {
	case currency.Equal(move.SUI):
		return &CoinInfo{Currency: currency, Decimals: decimals, Name: "Sui", Symbol: "SUI", Description: "Play money for gas on a localnet."}, nil
	case currency.Equal(n.facts.packages.WALType()):
	default:
		return nil, fmt.Errorf("currency %s: %w", currency, errNone)
	}
	info := &CoinInfo{Currency: currency, Decimals: decimals, Name: "WAL Token", Symbol: "WAL", Description: "Play money for storage on a localnet."}
	err := n.view(ctx, func(tx *sql.Tx) error {
		fields, err := n.readTreasury(ctx, tx)
		if err == nil {
			info.Treasury, info.Supply = fields.ID, &fields.TotalSupply
		}
		return err
	})
	return info, err
}

// readTreasury reads the capability that counts WAL.
func (n *Net) readTreasury(ctx context.Context, tx *sql.Tx) (treasury move.TreasuryCap, err error) {
	field, err := move.FieldID(n.facts.treasury, move.ObjectFieldKey(n.facts.packages.TreasuryKey()))
	if err != nil {
		return treasury, err
	}
	o, err := n.store.object(ctx, tx, field)
	if err != nil || o == nil || len(o.Contents) < len(move.ID{}) {
		return treasury, errors.Join(err, fmt.Errorf("treasury: %w", ErrDamaged))
	}
	id := move.ID(o.Contents[len(o.Contents)-len(move.ID{}):])
	if o, err = n.store.object(ctx, tx, id); err != nil || o == nil {
		return treasury, errors.Join(err, fmt.Errorf("treasury: %w", ErrDamaged))
	}
	return treasury, move.Unmarshal(o.Contents, &treasury)
}
