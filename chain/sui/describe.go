package sui

import (
	"fmt"

	"github.com/walfs/walfs/chain/move"
)

// Describe says what the commands of a draft do, a line for each.
func (d *Draft) Describe() []string { return describe(d.Tx.Commands) }

func describe(commands []move.Command) (lines []string) {
	for i := range commands {
		c := &commands[i]
		switch c.Kind {
		case move.CommandMoveCall:
			lines = append(lines, c.Call.Module+"::"+c.Call.Function)
		case move.CommandTransferObjects:
			lines = append(lines, fmt.Sprintf("transfer %d", len(c.Arguments)))
		case move.CommandSplitCoins:
			lines = append(lines, fmt.Sprintf("split %d", len(c.Arguments)))
		case move.CommandMergeCoins:
			lines = append(lines, fmt.Sprintf("merge %d", len(c.Arguments)))
		case move.CommandMakeMoveVec:
			lines = append(lines, fmt.Sprintf("vector of %d", len(c.Arguments)))
		default:
			lines = append(lines, fmt.Sprintf("command of kind %d", c.Kind))
		}
	}
	return lines
}
