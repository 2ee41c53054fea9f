// Package ptb executes programmable transactions: the commands of a Sui
// transaction over the objects of an overlay, with the functions of the
// contracts in the place of Move code.
//
// The functions that can be called stand in one table, a file for each module,
// with their signatures as Move has them. The table types the arguments, says
// which shared inputs have to be mutable, and answers those who ask what a
// function looks like.
package ptb

import "github.com/walfs/walfs/chain/move"

// Ref says how a parameter is passed.
type Ref uint8

// The ways to pass a parameter.
const (
	ByValue Ref = iota
	ByRef       // &T
	ByMut       // &mut T
)

// Ability is one of the four abilities of Move types. The numbers are those of sui.rpc.v2.
type Ability uint8

// The abilities.
const (
	Copy  Ability = 1
	Drop  Ability = 2
	Store Ability = 3
	Key   Ability = 4
)

// Type is a Move type that may name the type parameters of the function, or
// of the datatype, in which it stands.
type Type struct {
	Kind   move.Kind
	IsOpen bool // a type parameter, number Open; the rest is zero
	Open   uint16
	Params []Type // of a struct, or the one element type of a vector
	// Of a struct: the package that defined it, module and name.
	Address move.Address
	Module  string
	Name    string
}

// Param is the type of a parameter or of a result, and how it is passed.
type Param struct {
	Ref  Ref
	Type Type
}

// TypeParam is a type parameter of a function or of a datatype.
type TypeParam struct {
	Constraints []Ability
	Phantom     bool
}

// Function is the signature of a public function. It is shared: nobody changes it.
type Function struct {
	Package    move.Address // that was asked for
	Module     string
	Name       string
	Entry      bool
	TypeParams []TypeParam
	Params     []Param // with the transaction context that Sui supplies, if the function takes one
	Results    []Param
}

// Datatype is a struct or enum of the packages that the ledger knows.
type Datatype struct {
	Package    move.Address // the one that defined it
	Module     string
	Name       string
	Abilities  []Ability
	TypeParams []TypeParam
	Enum       bool
}
