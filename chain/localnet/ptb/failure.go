package ptb

import (
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// failure ends the commands of a transaction, which then only pays for gas.
type failure struct {
	move.Failure
	abort *chain.AbortError // of FailedAbort and FailedPrimitive
}

// Error says what failed.
func (f *failure) Error() string {
	if f.abort != nil {
		return f.abort.Error()
	}
	return f.String()
}

func failed(kind move.FailureKind) *failure { return &failure{Failure: move.Failure{Kind: kind}} }

// badArgument is the failure of an argument of a command.
func badArgument(index int, kind uint8) *failure {
	f := failed(move.FailedArgument)
	f.Index, f.Argument = uint16(index), move.ArgumentError{Kind: kind}
	return f
}

// arithmetic is the name of aborts that Move itself raises.
const arithmetic = "ARITHMETIC_ERROR"

// aborted turns the abort of a contract into a failure; it passes other errors
// through. As on Sui the place of an abort names the version of the package that
// was called, and that of a failure of arithmetic the original one.
func (env *Env) aborted(err error, called move.Address) error {
	var abort *chain.AbortError
	if !errors.As(err, &abort) {
		return err
	}
	f := failed(move.FailedAbort)
	group := moduleGroup(abort.Module)
	pkg := env.Table.addresses[group]
	switch {
	case abort.Name == arithmetic:
		f.Kind = move.FailedPrimitive
	case group == inWalrus && env.Versions[called] != 0:
		pkg = called
	}
	function := abort.Function
	f.Location = &move.Location{Package: pkg, Module: abort.Module, FunctionName: &function}
	f.Code, f.abort = abort.Code, abort
	return f
}

// moduleGroup returns the package that has a module from which aborts come.
func moduleGroup(name string) string {
	switch name {
	case "option", "vector", "string":
		return inStd
	case "balance", "coin", "bcs", "vec_map", "vec_set", "table", "dynamic_field", "dynamic_object_field", "transfer":
		return inFramework
	case "wal":
		return inWAL
	case "wal_exchange":
		return inExchange
	case "walrus_subsidies", "walrus_subsidies_inner":
		return inSubsidies
	case "subsidies":
		return inBuyers
	}
	return inWalrus
}

// RefusalKind says why a transaction was not executed at all.
type RefusalKind uint8

// The kinds of refusals. To Sui all but RefusedMissing are invalid arguments.
// After RefusedStale and RefusedMissing the sender looks again and builds anew.
const (
	RefusedMalformed   RefusalKind = 1 + iota // no transaction, or beyond the limits
	RefusedUnsupported                        // a part of Sui that this ledger does not have
	RefusedSignature                          // missing, wrong, or of another scheme or key
	RefusedStale                              // an owned object is at another version or digest
	RefusedMissing                            // an object or a package that is not there
	RefusedOwner                              // an object of somebody else, or not shared, or shared at another version
	RefusedGas                                // price, budget or the coins that pay
	RefusedExpired                            // outside of the time that the transaction named, or for another chain
)

// RefusedError reports a transaction that was not executed, and left no trace.
type RefusedError struct {
	Kind   RefusalKind
	Object *move.ObjectRef // of RefusedStale: what the transaction named; of RefusedMissing: the ID
	Have   *move.ObjectRef // of RefusedStale: what the ledger has
	Text   string
}

// Error returns the text.
func (e *RefusedError) Error() string { return e.Text }

// Is makes the errors of package chain match: ErrStaleVersion, ErrNotExist and ErrNotOwner.
func (e *RefusedError) Is(target error) bool {
	switch target {
	case chain.ErrStaleVersion:
		return e.Kind == RefusedStale
	case chain.ErrNotExist:
		return e.Kind == RefusedMissing
	case chain.ErrNotOwner:
		return e.Kind == RefusedOwner
	}
	return false
}

// refuse returns a refusal.
func refuse(kind RefusalKind, format string, args ...any) error {
	return &RefusedError{Kind: kind, Text: fmt.Sprintf(format, args...)}
}
