package move

import "fmt"

// Status says whether a transaction did what it should.
type Status struct {
	Failure *Failure // nil is success
}

// BCS is the layout.
func (s *Status) BCS(c *Codec) {
	// Source: Sui, enum ExecutionStatus {Success, Failure{error, command}}: laid out like an Option.
	Option(c, &s.Failure, Struct[Failure])
}

// FailureKind is the variant of a Failure. Source: Sui, enum ExecutionFailureStatus.
type FailureKind = uint8

// The kinds of failures that are read and written.
const (
	FailedInsufficientGas  FailureKind = 0
	FailedInvalidGasObject FailureKind = 1
	FailedInvariant        FailureKind = 2
	FailedNotSupported     FailureKind = 3
	FailedObjectTooBig     FailureKind = 4  // Size, MaxSize
	FailedCoinBalance      FailureKind = 7  // a coin is short
	FailedCoinOverflow     FailureKind = 8  // a coin would hold too much
	FailedPrimitive        FailureKind = 11 // arithmetic: Location, if known
	FailedAbort            FailureKind = 12 // a contract refused: Location, Code
	FailedModule           FailureKind = 13 // no bytecode of a module
	FailedFunctionNotFound FailureKind = 15
	FailedArity            FailureKind = 16 // number of arguments
	FailedTypeArity        FailureKind = 17 // number of type arguments
	FailedNonEntry         FailureKind = 18
	FailedArgument         FailureKind = 19 // Index of the argument, Argument
	FailedTypeArgument     FailureKind = 20 // Index of the type argument, TypeArgument
	FailedUnusedValue      FailureKind = 21 // Index of the command, Secondary of its result
	FailedInvalidTransfer  FailureKind = 23
	FailedUpgrade          FailureKind = 27 // Upgrade
	FailedSharedNotAllowed FailureKind = 31
	failureKinds           FailureKind = 42
)

// failureNames are the variants' names, as Sui shows them.
var failureNames = map[FailureKind]string{
	FailedInsufficientGas: "InsufficientGas", FailedInvalidGasObject: "InvalidGasObject", FailedInvariant: "InvariantViolation",
	FailedNotSupported: "FeatureNotYetSupported", FailedObjectTooBig: "MoveObjectTooBig", FailedCoinBalance: "InsufficientCoinBalance",
	FailedCoinOverflow: "CoinBalanceOverflow", FailedPrimitive: "MovePrimitiveRuntimeError", FailedAbort: "MoveAbort",
	FailedFunctionNotFound: "FunctionNotFound", FailedArity: "ArityMismatch", FailedTypeArity: "TypeArityMismatch",
	FailedNonEntry: "NonEntryFunctionInvoked", FailedArgument: "CommandArgumentError", FailedTypeArgument: "TypeArgumentError",
	FailedUnusedValue: "UnusedValueWithoutDrop", FailedInvalidTransfer: "InvalidTransferObject",
	FailedModule: "VMVerificationOrDeserializationError", FailedUpgrade: "PackageUpgradeError",
	FailedSharedNotAllowed: "SharedObjectOperationNotAllowed",
}

// Failure is why a transaction failed. Gas was paid and nothing else was done.
type Failure struct {
	Kind          FailureKind
	Location      *Location // of FailedAbort, and of FailedPrimitive if known
	Code          uint64    // of FailedAbort
	Index         uint16
	Secondary     uint16
	Argument      ArgumentError // of FailedArgument
	TypeArgument  uint8         // of FailedTypeArgument: 0 type not found, 1 constraint not satisfied
	Size, MaxSize uint64        // of FailedObjectTooBig, in bytes
	Upgrade       UpgradeError  // of FailedUpgrade
	Command       *uint64       // number of the command that failed, if it was one
}

// BCS is the layout.
func (f *Failure) BCS(c *Codec) {
	c.Variant(&f.Kind, failureKinds)
	if _, ok := failureNames[f.Kind]; !ok {
		c.fail("failure of kind %d", f.Kind)
	}
	switch f.Kind {
	case FailedObjectTooBig:
		c.U64(&f.Size)
		c.U64(&f.MaxSize)
	case FailedPrimitive:
		Option(c, &f.Location, Struct[Location])
	case FailedAbort:
		nested(c, f.location(c))
		c.U64(&f.Code)
	case FailedUpgrade:
		f.Upgrade.BCS(c)
	case FailedArgument:
		c.U16(&f.Index)
		f.Argument.BCS(c)
	case FailedTypeArgument:
		c.U16(&f.Index)
		c.Variant(&f.TypeArgument, 2)
	case FailedUnusedValue:
		c.U16(&f.Index)
		c.U16(&f.Secondary)
	}
	Option(c, &f.Command, (*Codec).U64)
}

// location returns where to read a location to, or the one to be written.
func (f *Failure) location(c *Codec) *Location {
	if c.reading {
		f.Location = new(Location)
	}
	return f.Location
}

// String says what failed, as Sui words it.
func (f *Failure) String() string {
	text := failureNames[f.Kind]
	switch f.Kind {
	case FailedAbort:
		text = fmt.Sprintf("MoveAbort(%s, %d)", f.Location, f.Code)
	case FailedPrimitive:
		text = fmt.Sprintf("MovePrimitiveRuntimeError(%s)", f.Location)
	case FailedUpgrade:
		text = fmt.Sprintf("PackageUpgradeError { upgrade_error: %s }", &f.Upgrade)
	case FailedArgument:
		text = fmt.Sprintf("CommandArgumentError { arg_idx: %d, kind: %s }", f.Index, f.Argument)
	case FailedTypeArgument:
		text = fmt.Sprintf("TypeArgumentError { argument_idx: %d, kind: %d }", f.Index, f.TypeArgument)
	case FailedUnusedValue:
		text = fmt.Sprintf("UnusedValueWithoutDrop { result_idx: %d, secondary_idx: %d }", f.Index, f.Secondary)
	case FailedObjectTooBig:
		text = fmt.Sprintf("MoveObjectTooBig { object_size: %d, max_object_size: %d }", f.Size, f.MaxSize)
	}
	if f.Command != nil {
		text += fmt.Sprintf(" in command %d", *f.Command)
	}
	return text
}

// The kinds of UpgradeError. Source: Sui, enum PackageUpgradeError.
const (
	UpgradeNoPackage    uint8 = 0 // Package
	UpgradeDigest       uint8 = 3 // Digest: not the one that was authorized
	UpgradeOtherPackage uint8 = 5 // Package, Ticket: not the one that was authorized
	upgradeErrors       uint8 = 6
)

// UpgradeError says why a package cannot be upgraded.
type UpgradeError struct {
	Kind    uint8
	Package ID
	Ticket  ID     // package that the ticket is for
	Digest  []byte // of the package that was sent
}

// BCS is the layout.
func (e *UpgradeError) BCS(c *Codec) {
	c.Variant(&e.Kind, upgradeErrors)
	switch e.Kind {
	case UpgradeNoPackage:
		c.ID(&e.Package)
	case UpgradeDigest:
		c.Bytes(&e.Digest)
	case UpgradeOtherPackage:
		c.ID(&e.Package)
		c.ID(&e.Ticket)
	default:
		c.fail("upgrade error of kind %d", e.Kind)
	}
}

// String returns the name that Sui gives it, with what it is about.
func (e *UpgradeError) String() string {
	switch e.Kind {
	case UpgradeNoPackage:
		return fmt.Sprintf("UnableToFetchPackage { package_id: %s }", e.Package)
	case UpgradeDigest:
		return fmt.Sprintf("DigestDoesNotMatch { digest: %x }", e.Digest)
	}
	return fmt.Sprintf("PackageIDDoesNotMatch { package_id: %s, ticket_id: %s }", e.Package, e.Ticket)
}

// Location is a place in a Move module. A ledger without bytecode knows the
// function by its name alone, and writes its numbers as 0.
type Location struct {
	Package      ID // the version that was called; of FailedPrimitive the original one
	Module       string
	Function     uint16 // number in the module
	Instruction  uint16 // number in the function
	FunctionName *string
}

// BCS is the layout.
func (l *Location) BCS(c *Codec) {
	c.ID(&l.Package)
	c.String(&l.Module)
	c.U16(&l.Function)
	c.U16(&l.Instruction)
	Option(c, &l.FunctionName, (*Codec).String)
}

// String returns package, module and function.
func (l *Location) String() string {
	if l == nil {
		return "unknown"
	}
	text := l.Package.String() + "::" + l.Module
	if l.FunctionName != nil {
		text += "::" + *l.FunctionName
	}
	return text
}

// The kinds of ArgumentError. Source: Sui, enum CommandArgumentError.
const (
	ArgumentTypeMismatch     uint8 = 0
	ArgumentInvalidBCS       uint8 = 1
	ArgumentPureUsage        uint8 = 2 // a plain input where only an object can be
	ArgumentOutOfBounds      uint8 = 4 // Index
	ArgumentSecondaryBounds  uint8 = 5 // Index, Secondary
	ArgumentResultArity      uint8 = 6 // Index: a command without exactly one result
	ArgumentGasUsage         uint8 = 7 // the gas coin by value, other than to be transferred
	ArgumentValueUsage       uint8 = 8
	ArgumentObjectByValue    uint8 = 9  // an immutable or shared object by value
	ArgumentObjectByMutRef   uint8 = 10 // an object that was not declared mutable
	ArgumentSharedNotAllowed uint8 = 11
	ArgumentTransferObject   uint8 = 13 // a type that cannot be transferred freely
	ArgumentVectorElement    uint8 = 14 // not an object in a MakeMoveVec without a type
	ArgumentWithoutValue     uint8 = 15 // used up
	ArgumentBorrowed         uint8 = 16
	argumentErrors           uint8 = 19
)

var argumentErrorNames = map[uint8]string{
	ArgumentTypeMismatch: "TypeMismatch", ArgumentInvalidBCS: "InvalidBCSBytes", ArgumentPureUsage: "InvalidUsageOfPureArg",
	ArgumentOutOfBounds: "IndexOutOfBounds", ArgumentSecondaryBounds: "SecondaryIndexOutOfBounds",
	ArgumentResultArity: "InvalidResultArity", ArgumentGasUsage: "InvalidGasCoinUsage", ArgumentValueUsage: "InvalidValueUsage",
	ArgumentObjectByValue: "InvalidObjectByValue", ArgumentObjectByMutRef: "InvalidObjectByMutRef",
	ArgumentSharedNotAllowed: "SharedObjectOperationNotAllowed", ArgumentTransferObject: "InvalidTransferObject",
	ArgumentVectorElement: "InvalidMakeMoveVecNonObjectArgument", ArgumentWithoutValue: "ArgumentWithoutValue",
	ArgumentBorrowed: "CannotMoveBorrowedValue",
}

// ArgumentError says what is wrong with an argument of a command.
type ArgumentError struct {
	Kind             uint8
	Index, Secondary uint16 // of the kinds that say so
}

// BCS is the layout.
func (e *ArgumentError) BCS(c *Codec) {
	c.Variant(&e.Kind, argumentErrors)
	switch e.Kind {
	case ArgumentOutOfBounds, ArgumentResultArity:
		c.U16(&e.Index)
	case ArgumentSecondaryBounds:
		c.U16(&e.Index)
		c.U16(&e.Secondary)
	}
}

// String returns the name that Sui gives it.
func (e ArgumentError) String() string {
	name := argumentErrorNames[e.Kind]
	switch e.Kind {
	case ArgumentOutOfBounds, ArgumentResultArity:
		return fmt.Sprintf("%s(%d)", name, e.Index)
	case ArgumentSecondaryBounds:
		return fmt.Sprintf("%s(%d, %d)", name, e.Index, e.Secondary)
	}
	return name
}
