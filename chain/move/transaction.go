package move

// Transaction is version 1 of Sui's TransactionData, with a programmable
// transaction inside.
type Transaction struct {
	Inputs     []Input
	Commands   []Command
	Sender     Address
	Gas        GasData
	Expiration Expiration
}

// BCS is the layout.
func (t *Transaction) BCS(c *Codec) {
	var version, kind uint8 // Source: Sui, TransactionData::V1 and TransactionKind::ProgrammableTransaction
	c.Variant(&version, 1)
	c.Variant(&kind, 1)
	Vector(c, &t.Inputs, Struct[Input])
	Vector(c, &t.Commands, Struct[Command])
	c.ID(&t.Sender)
	t.Gas.BCS(c)
	t.Expiration.BCS(c)
}

// TransactionDigest names a transaction by its BCS.
func TransactionDigest(bcs []byte) Digest { return hash([]byte("TransactionData::"), bcs) }

// SigningHash returns what the sender of a transaction signs.
func SigningHash(bcs []byte) Digest {
	return hash([]byte{0, 0, 0}, bcs) // Source: Sui, intent of transaction data, version 0, application Sui
}

// GasData says what pays for a transaction.
type GasData struct {
	Payment []ObjectRef
	Owner   Address
	Price   uint64 // MIST per unit of gas
	Budget  uint64 // MIST
}

// BCS is the layout.
func (g *GasData) BCS(c *Codec) {
	Vector(c, &g.Payment, Struct[ObjectRef])
	c.ID(&g.Owner)
	c.U64(&g.Price)
	c.U64(&g.Budget)
}

// ObjectRef names one version of an object.
type ObjectRef struct {
	ID      ID
	Version uint64
	Digest  Digest
}

// BCS is the layout.
func (r *ObjectRef) BCS(c *Codec) {
	c.ID(&r.ID)
	c.U64(&r.Version)
	r.Digest.BCS(c)
}

// The variants of Expiration. Source: Sui, enum TransactionExpiration.
const (
	ExpirationNone        uint8 = 0
	ExpirationEpoch       uint8 = 1
	ExpirationValidDuring uint8 = 2
)

// Expiration says until when a transaction may be executed.
type Expiration struct {
	Kind  uint8
	Epoch uint64 // of ExpirationEpoch: the last epoch of Sui
	// The rest is of ExpirationValidDuring.
	MinEpoch, MaxEpoch *uint64
	MinTime, MaxTime   *uint64 // ms
	Chain              Digest
	Nonce              uint32
}

// BCS is the layout.
func (e *Expiration) BCS(c *Codec) {
	c.Variant(&e.Kind, ExpirationValidDuring+1)
	switch e.Kind {
	case ExpirationEpoch:
		c.U64(&e.Epoch)
	case ExpirationValidDuring:
		for _, bound := range []**uint64{&e.MinEpoch, &e.MaxEpoch, &e.MinTime, &e.MaxTime} {
			Option(c, bound, (*Codec).U64)
		}
		e.Chain.BCS(c)
		c.U32(&e.Nonce)
	}
}

// The kinds of Input. Sources: Sui, enums CallArg and ObjectArg, here in one.
const (
	InputPure      uint8 = iota
	InputOwned           // an object of the sender, or an immutable one
	InputShared          // a shared object
	InputReceiving       // an object that was sent to another object
	InputFunds           // a withdrawal from an address balance
)

// Input is an argument that comes from outside the transaction.
type Input struct {
	Kind    uint8
	Pure    []byte    // of InputPure: BCS of the value
	Object  ObjectRef // of InputOwned and InputReceiving; of InputShared the ID alone
	Initial uint64    // of InputShared: the version at which it was shared
	Mutable bool      // of InputShared
	Funds   Funds     // of InputFunds
}

// Variants of CallArg, and of ObjectArg inside argObject.
const (
	argPure uint8 = iota
	argObject
	argFunds
	argKinds

	objectOwned     uint8 = 0
	objectShared    uint8 = 1
	objectReceiving uint8 = 2
	objectKinds     uint8 = 3
)

// split returns the two variants that an input is written as.
func (i *Input) split() (arg, object uint8) {
	switch i.Kind {
	case InputPure:
		return argPure, 0
	case InputOwned:
		return argObject, objectOwned
	case InputShared:
		return argObject, objectShared
	case InputReceiving:
		return argObject, objectReceiving
	case InputFunds:
		return argFunds, 0
	}
	return argKinds, 0
}

// BCS is the layout.
func (i *Input) BCS(c *Codec) {
	arg, object := i.split()
	c.Variant(&arg, argKinds)
	if arg == argObject {
		c.Variant(&object, objectKinds)
	}
	if c.reading {
		switch arg {
		case argPure:
			i.Kind = InputPure
		case argObject:
			i.Kind = InputOwned + object
		case argFunds:
			i.Kind = InputFunds
		}
	}
	switch i.Kind {
	case InputPure:
		c.Bytes(&i.Pure)
	case InputOwned, InputReceiving:
		i.Object.BCS(c)
	case InputShared:
		c.ID(&i.Object.ID)
		c.U64(&i.Initial)
		c.Bool(&i.Mutable)
	case InputFunds:
		i.Funds.BCS(c)
	}
}

// Funds is a withdrawal from an address balance.
type Funds struct {
	Amount  uint64  // at most
	Type    TypeTag // of the currency
	Sponsor bool    // from the sponsor's balance, not the sender's
}

// BCS is the layout.
func (f *Funds) BCS(c *Codec) {
	var reservation, balance, from uint8 // Source: Sui, FundsWithdrawalArg: MaxAmountU64, Balance, Sender or Sponsor
	c.Variant(&reservation, 1)
	c.U64(&f.Amount)
	c.Variant(&balance, 1)
	f.Type.BCS(c)
	if f.Sponsor {
		from = 1
	}
	c.Variant(&from, 2)
	if c.reading {
		f.Sponsor = from == 1
	}
}

// The variants of Command. Source: Sui, enum Command.
const (
	CommandMoveCall        uint8 = 0
	CommandTransferObjects uint8 = 1
	CommandSplitCoins      uint8 = 2
	CommandMergeCoins      uint8 = 3
	CommandPublish         uint8 = 4
	CommandMakeMoveVec     uint8 = 5
	CommandUpgrade         uint8 = 6
)

// Command is one step of a programmable transaction.
type Command struct {
	Kind uint8
	Call Call // of CommandMoveCall
	// Target is the address of CommandTransferObjects, the coin of the
	// commands on coins, and the ticket of CommandUpgrade.
	Target       Argument
	Arguments    []Argument // objects, amounts, coins or elements
	Type         *TypeTag   // of the elements of CommandMakeMoveVec
	Modules      [][]byte   // of CommandPublish and CommandUpgrade
	Dependencies IDs        // of CommandPublish and CommandUpgrade
	Package      ID         // of CommandUpgrade
}

// BCS is the layout.
func (v *Command) BCS(c *Codec) {
	c.Variant(&v.Kind, CommandUpgrade+1)
	switch v.Kind {
	case CommandMoveCall:
		v.Call.BCS(c)
	case CommandTransferObjects:
		Vector(c, &v.Arguments, Struct[Argument])
		v.Target.BCS(c)
	case CommandSplitCoins, CommandMergeCoins:
		v.Target.BCS(c)
		Vector(c, &v.Arguments, Struct[Argument])
	case CommandMakeMoveVec:
		Option(c, &v.Type, Struct[TypeTag])
		Vector(c, &v.Arguments, Struct[Argument])
	case CommandPublish:
		Vector(c, &v.Modules, (*Codec).Bytes)
		v.Dependencies.BCS(c)
	case CommandUpgrade:
		Vector(c, &v.Modules, (*Codec).Bytes)
		v.Dependencies.BCS(c)
		c.ID(&v.Package)
		v.Target.BCS(c)
	}
}

// Call is a call of a Move function.
type Call struct {
	Package   ID
	Module    string
	Function  string
	Types     []TypeTag
	Arguments []Argument
}

// BCS is the layout.
func (v *Call) BCS(c *Codec) {
	c.ID(&v.Package)
	c.String(&v.Module)
	c.String(&v.Function)
	Vector(c, &v.Types, Struct[TypeTag])
	Vector(c, &v.Arguments, Struct[Argument])
}

// The variants of Argument. Source: Sui, enum Argument.
const (
	ArgumentGasCoin      uint8 = 0
	ArgumentInput        uint8 = 1
	ArgumentResult       uint8 = 2
	ArgumentNestedResult uint8 = 3
)

// Argument is a value that a command uses.
type Argument struct {
	Kind   uint8
	Index  uint16 // of the input, or of the command whose result it is
	Result uint16 // of ArgumentNestedResult: which of the command's results
}

// BCS is the layout.
func (a *Argument) BCS(c *Codec) {
	c.Variant(&a.Kind, ArgumentNestedResult+1)
	if a.Kind != ArgumentGasCoin {
		c.U16(&a.Index)
	}
	if a.Kind == ArgumentNestedResult {
		c.U16(&a.Result)
	}
}
