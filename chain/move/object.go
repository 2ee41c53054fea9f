package move

// OwnerKind is the variant of an Owner. Source: Sui, enum Owner.
type OwnerKind = uint8

// The kinds of owners.
const (
	OwnerAddress   OwnerKind = 0
	OwnerObject    OwnerKind = 1
	OwnerShared    OwnerKind = 2
	OwnerImmutable OwnerKind = 3

	ownerKinds = 4
)

// Owner says who may use an object.
type Owner struct {
	Kind           OwnerKind
	Address        Address // of OwnerAddress and OwnerObject
	InitialVersion uint64  // of OwnerShared: the version at which it was shared
}

// AddressOwner returns the owner of what an account holds.
func AddressOwner(a Address) Owner { return Owner{Kind: OwnerAddress, Address: a} }

// ObjectOwner returns the owner of a child of another object.
func ObjectOwner(id ID) Owner { return Owner{Kind: OwnerObject, Address: id} }

// BCS is the layout.
func (o *Owner) BCS(c *Codec) {
	c.Variant(&o.Kind, ownerKinds)
	switch o.Kind {
	case OwnerAddress, OwnerObject:
		c.ID(&o.Address)
	case OwnerShared:
		c.U64(&o.InitialVersion)
	}
}

// Object is one version of an object with all that Sui keeps beside its contents.
type Object struct {
	Type                StructTag
	HasPublicTransfer   bool // the type has store beside key
	Version             uint64
	Contents            []byte // BCS; the first 32 bytes are the object's ID
	Owner               Owner
	PreviousTransaction Digest
	StorageRebate       uint64
}

// ID returns the object's ID, or 0x0 when Contents is too short to have one.
func (o *Object) ID() ID {
	var id ID
	if len(o.Contents) >= len(id) {
		copy(id[:], o.Contents)
	}
	return id
}

// dataMove is the variant of an object's data that is not a package. Source: Sui, enum Data.
const dataMove = 0

// BCS is the layout.
func (o *Object) BCS(c *Codec) {
	var data uint8 = dataMove
	c.Variant(&data, dataMove+1)
	objectType(c, &o.Type)
	c.Bool(&o.HasPublicTransfer)
	c.U64(&o.Version)
	c.Bytes(&o.Contents)
	if len(o.Contents) < len(ID{}) {
		c.fail("contents of %d bytes", len(o.Contents))
	}
	o.Owner.BCS(c)
	o.PreviousTransaction.BCS(c)
	c.U64(&o.StorageRebate)
}

// Digest returns the hash that names this version of the object.
func (o *Object) Digest() (Digest, error) {
	b, err := Marshal(o)
	if err != nil {
		return Digest{}, err
	}
	return hash([]byte("Object::"), b), nil
}

// Variants of an object's type, which is short for coins. Source: Sui, MoveObjectType.
const (
	typeOther uint8 = iota
	typeGasCoin
	typeStakedSUI
	typeCoin
	typeKinds
)

// stakedSUI is the type that typeStakedSUI stands for.
var stakedSUI = StructTag{Address: SmallAddress(3), Module: "staking_pool", Name: "StakedSui"}

func objectType(c *Codec, t *StructTag) {
	kind, param := typeOther, TypeTag{}
	if !c.reading {
		kind, param = shortType(t)
	}
	c.Variant(&kind, typeKinds)
	switch kind {
	case typeOther:
		t.BCS(c)
	case typeCoin:
		param.BCS(c)
	}
	if !c.reading || c.err != nil {
		return
	}
	switch kind {
	case typeGasCoin:
		*t = CoinType(SUI)
	case typeStakedSUI:
		*t = stakedSUI
	case typeCoin:
		*t = FrameworkType("coin", "Coin", param)
	}
	if short, _ := shortType(t); short != kind {
		c.fail("type not in its shortest form")
	}
}

// shortType returns the variant for a type, and the currency of a coin.
func shortType(t *StructTag) (uint8, TypeTag) {
	switch {
	case t.Equal(CoinType(SUI)):
		return typeGasCoin, TypeTag{}
	case t.Equal(stakedSUI):
		return typeStakedSUI, TypeTag{}
	case t.Address == Framework && t.Module == "coin" && t.Name == "Coin" && len(t.Params) == 1:
		return typeCoin, t.Params[0]
	}
	return typeOther, TypeTag{}
}
