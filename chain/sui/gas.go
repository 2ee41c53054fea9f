package sui

import (
	"strconv"
	"strings"
	"sync"

	"github.com/walfs/walfs/chain/move"
)

// gasUse is what a transaction took, in MIST.
type gasUse struct {
	computation uint64
	net         int64 // with storage, less what came back for objects that were written anew
}

// gasBook remembers what the last transaction of a shape took. Another one of the same
// shape, the same commands in the same order, takes about as much, and need not be tried out.
type gasBook struct {
	mu   sync.Mutex // guards last
	last map[string]gasUse
}

// maxShapes is how many shapes are remembered: batches have up to chain.MaxBatch members.
const maxShapes = 1024

// shapeOf names the commands of a transaction without their arguments.
func shapeOf(commands []move.Command) string {
	var b strings.Builder
	for i := range commands {
		c := &commands[i]
		b.WriteString(strconv.Itoa(int(c.Kind)))
		b.WriteString(c.Call.Module)
		b.WriteByte(':')
		b.WriteString(c.Call.Function)
		b.WriteString(strconv.Itoa(len(c.Arguments)))
		b.WriteByte(' ')
	}
	return b.String()
}

func (g *gasBook) of(shape string) (gasUse, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	use, ok := g.last[shape]
	return use, ok
}

func (g *gasBook) learn(shape string, use gasUse) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last == nil || len(g.last) >= maxShapes {
		g.last = map[string]gasUse{}
	}
	g.last[shape] = use
}

func (g *gasBook) forget(shape string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.last, shape)
}

// storedByte is what Sui keeps for a byte that is stored, in MIST. Source: Sui,
// obj_data_cost_refundable 100 units a byte, storage price 76.
const storedByte = 7600

// budgetLike is what to reserve for a transaction of size bytes that is like one which
// took so much: twice that, and what it would cost to store all of its bytes. What
// is reserved and not needed is not paid.
func budgetLike(use gasUse, size int, price uint64) uint64 {
	need := max(int64(use.computation), use.net, 0)
	return max(2*uint64(need)+uint64(size)*storedByte, minUnits*price)
}
