package ptb

import "github.com/walfs/walfs/chain/move"

// Limits of a transaction. Source: Sui, protocol configuration.
const (
	MaxCommands        = 1024
	MaxArguments       = 512 // of one command
	MaxTypeArguments   = 16
	MaxInputs          = 2048     // objects, the gas coins not counted
	MaxPureBytes       = 16 << 10 // of one plain input
	MaxGasCoins        = 256
	MaxTransactionSize = 128 << 10 // bytes of BCS
)

// Gas. The price is that of a quiet network; every transaction costs the same here.
const (
	GasPrice  = 1000           // MIST per unit of gas, and the least
	GasCost   = 1_000_000      // MIST that a transaction costs: the least on Sui, 1000 units
	MaxBudget = 50_000_000_000 // MIST
)

// Decode reads the BCS of a transaction and checks it against the limits.
func Decode(bcs []byte) (*move.Transaction, error) {
	if len(bcs) > MaxTransactionSize {
		return nil, refuse(RefusedMalformed, "transaction of %d bytes, at most %d", len(bcs), MaxTransactionSize)
	}
	tx := new(move.Transaction)
	if err := move.Unmarshal(bcs, tx); err != nil {
		return nil, refuse(RefusedMalformed, "transaction: %v", err)
	}
	return tx, nil
}

// checkLimits refuses what is beyond the limits or not in this ledger.
func checkLimits(tx *move.Transaction) error {
	if len(tx.Commands) > MaxCommands {
		return refuse(RefusedMalformed, "%d commands, at most %d", len(tx.Commands), MaxCommands)
	}
	if len(tx.Gas.Payment) > MaxGasCoins {
		return refuse(RefusedMalformed, "%d gas coins, at most %d", len(tx.Gas.Payment), MaxGasCoins)
	}
	objects := 0
	for i := range tx.Inputs {
		switch in := &tx.Inputs[i]; in.Kind {
		case move.InputPure:
			if len(in.Pure) > MaxPureBytes {
				return refuse(RefusedMalformed, "input %d: plain value of %d bytes, at most %d", i, len(in.Pure), MaxPureBytes)
			}
		case move.InputReceiving:
			return refuse(RefusedUnsupported, "input %d: this ledger does not receive objects that were sent to objects", i)
		case move.InputFunds:
			return refuse(RefusedUnsupported, "input %d: this ledger has no address balances", i)
		default:
			objects++
		}
	}
	if objects > MaxInputs {
		return refuse(RefusedMalformed, "%d input objects, at most %d", objects, MaxInputs)
	}
	for i := range tx.Commands {
		if err := checkCommand(i, &tx.Commands[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkCommand(number int, c *move.Command) error {
	arguments := c.Arguments
	switch c.Kind {
	case move.CommandPublish:
		return refuse(RefusedUnsupported, "command %d: this ledger has no Move virtual machine and takes no packages", number)
	case move.CommandUpgrade:
		if len(c.Modules) == 0 {
			return refuse(RefusedMalformed, "command %d: no modules", number)
		}
	case move.CommandMoveCall:
		arguments = c.Call.Arguments
		if len(c.Call.Types) > MaxTypeArguments {
			return refuse(RefusedMalformed, "command %d: %d type arguments, at most %d", number, len(c.Call.Types), MaxTypeArguments)
		}
	case move.CommandMakeMoveVec:
		if c.Type == nil && len(arguments) == 0 {
			return refuse(RefusedMalformed, "command %d: no elements and no type", number)
		}
	default:
		if len(arguments) == 0 {
			return refuse(RefusedMalformed, "command %d: no arguments", number)
		}
	}
	if len(arguments) > MaxArguments {
		return refuse(RefusedMalformed, "command %d: %d arguments, at most %d", number, len(arguments), MaxArguments)
	}
	return nil
}
