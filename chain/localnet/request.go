package localnet

import (
	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// request is what a caller asked for, in a form that can be hashed: the same
// request has the same bytes.
type request struct {
	kind string
	args func(*move.Codec)
}

// BCS is the layout.
func (r *request) BCS(c *move.Codec) {
	c.String(&r.kind)
	r.args(c)
}

// hash names the request together with who made it.
func (r *request) hash(sender chain.Address) ([32]byte, error) {
	b, err := move.Marshal(r)
	if err != nil {
		return [32]byte{}, err
	}
	return blake2b.Sum256(append(sender[:], b...)), nil
}

func faucetRequest(to chain.Address, walFrost, suiMist uint64) *request {
	return &request{"faucet", func(c *move.Codec) {
		c.Fixed(to[:])
		c.U64(&walFrost)
		c.U64(&suiMist)
	}}
}

// systemRequest is a call that makes objects at genesis.
func systemRequest(kind string) *request {
	return &request{kind, func(c *move.Codec) {
		var number uint64
		c.U64(&number)
	}}
}

// noOutcome is an empty chain.Outcome in BCS: what the ledger keeps of a call
// that is known by its ID alone.
var noOutcome = make([]byte, 20)
