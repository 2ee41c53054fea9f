package move

// Effects is version 2 of Sui's TransactionEffects: what a transaction did.
type Effects struct {
	Status        Status
	Epoch         uint64 // of Sui, in which it was executed
	Gas           GasUsed
	Transaction   Digest
	GasObject     *uint32 // place of the gas coin among Changed; nil when no coin paid
	EventsDigest  *Digest // nil when there are no events
	Dependencies  []Digest
	Version       uint64 // the Lamport version: of every object that was written
	Changed       []ObjectChange
	Unchanged     []UnchangedObject
	AuxDataDigest *Digest
}

// effectsV2 is the variant of the only version that is written. Source: Sui, enum TransactionEffects.
const effectsV2 = 1

// BCS is the layout.
func (e *Effects) BCS(c *Codec) {
	var version uint8 = effectsV2
	c.Variant(&version, effectsV2+1)
	if version != effectsV2 {
		c.fail("effects of version 1")
	}
	e.Status.BCS(c)
	c.U64(&e.Epoch)
	e.Gas.BCS(c)
	e.Transaction.BCS(c)
	Option(c, &e.GasObject, (*Codec).U32)
	Option(c, &e.EventsDigest, Struct[Digest])
	Vector(c, &e.Dependencies, Struct[Digest])
	c.U64(&e.Version)
	Vector(c, &e.Changed, Struct[ObjectChange])
	Vector(c, &e.Unchanged, Struct[UnchangedObject])
	Option(c, &e.AuxDataDigest, Struct[Digest])
}

// Digest returns the hash that names the effects.
func (e *Effects) Digest() (Digest, error) {
	b, err := Marshal(e)
	if err != nil {
		return Digest{}, err
	}
	return hash([]byte("TransactionEffects::"), b), nil
}

// GasUsed is what a transaction cost, in MIST. Source: Sui, GasCostSummary.
type GasUsed struct {
	Computation   uint64
	Storage       uint64
	Rebate        uint64
	NonRefundable uint64
}

// Net returns what the gas coin lost: negative when the rebate was more than the cost.
func (g GasUsed) Net() int64 { return int64(g.Computation + g.Storage - g.Rebate) }

// BCS is the layout.
func (g *GasUsed) BCS(c *Codec) {
	c.U64(&g.Computation)
	c.U64(&g.Storage)
	c.U64(&g.Rebate)
	c.U64(&g.NonRefundable)
}

// IDOperation says whether an ID came into being or went. Source: Sui, enum IDOperation.
type IDOperation = uint8

// The operations on IDs.
const (
	IDNone    IDOperation = 0 // mutated, wrapped or unwrapped
	IDCreated IDOperation = 1
	IDDeleted IDOperation = 2
)

// ObjectChange is what a transaction did to one object.
type ObjectChange struct {
	ID        ID
	Input     *ObjectInput  // nil when it was not there: created or unwrapped
	Output    *ObjectOutput // nil when it is not there any more: deleted or wrapped
	Operation IDOperation
}

// ObjectInput is an object before a transaction.
type ObjectInput struct {
	Version uint64
	Digest  Digest
	Owner   Owner
}

// ObjectOutput is an object after a transaction; its version is that of the
// effects, unless it is a package, which has versions of its own.
type ObjectOutput struct {
	Digest  Digest
	Owner   Owner
	Package uint64 // version of a package; 0: it is none
}

// The variants of what stands after a transaction. Source: Sui, enum ObjectOut.
const (
	outNone uint8 = iota
	outObject
	outPackage
	outKinds
)

// output lays out what stands after a transaction, nil for nothing.
func output(c *Codec, v **ObjectOutput) {
	kind := outNone
	if out := *v; out != nil {
		if kind = outObject; out.Package != 0 {
			kind = outPackage
		}
	}
	c.Variant(&kind, outKinds)
	if kind == outNone {
		return
	}
	if c.reading {
		*v = new(ObjectOutput)
	}
	out := *v
	if kind == outPackage {
		c.U64(&out.Package)
		out.Digest.BCS(c)
		out.Owner.Kind = OwnerImmutable
		return
	}
	out.Digest.BCS(c)
	out.Owner.BCS(c)
}

// BCS is the layout.
func (o *ObjectChange) BCS(c *Codec) {
	// Source: Sui, enum ObjectIn {NotExist, Exist}.
	c.ID(&o.ID)
	Option(c, &o.Input, func(c *Codec, in *ObjectInput) {
		c.U64(&in.Version)
		in.Digest.BCS(c)
		in.Owner.BCS(c)
	})
	output(c, &o.Output)
	c.Variant(&o.Operation, IDDeleted+1)
}

// UnchangedObject is a shared object that a transaction only read.
type UnchangedObject struct {
	ID      ID
	Version uint64
	Digest  Digest
}

// BCS is the layout.
func (o *UnchangedObject) BCS(c *Codec) {
	c.ID(&o.ID)
	var kind uint8 // Source: Sui, enum UnchangedConsensusKind: ReadOnlyRoot
	c.Variant(&kind, 1)
	c.U64(&o.Version)
	o.Digest.BCS(c)
}

// TransactionEvent is an event with where it came from. Source: Sui, struct Event.
type TransactionEvent struct {
	Package  ID     // that was called, which is the current one
	Module   string // of the function that was called
	Sender   Address
	Type     StructTag // named after the package that first defined it
	Contents []byte    // BCS
}

// BCS is the layout.
func (e *TransactionEvent) BCS(c *Codec) {
	c.ID(&e.Package)
	c.String(&e.Module)
	c.ID(&e.Sender)
	e.Type.BCS(c)
	c.Bytes(&e.Contents)
}

// Events is the events of a transaction, in the order in which they were emitted.
type Events []TransactionEvent

// BCS is the layout.
func (v *Events) BCS(c *Codec) { Vector(c, (*[]TransactionEvent)(v), Struct[TransactionEvent]) }

// Digest returns the hash that names the events, or nil when there are none.
func (v Events) Digest() (*Digest, error) {
	if len(v) == 0 {
		return nil, nil
	}
	b, err := Marshal(&v)
	if err != nil {
		return nil, err
	}
	d := hash([]byte("TransactionEvents::"), b)
	return &d, nil
}
