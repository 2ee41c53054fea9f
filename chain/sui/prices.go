package sui

import (
	"context"
	"fmt"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
)

// Prices are what a network asked for at some time, for whoever cannot ask it now.
// Source: the output of "walrus info" in the Walrus documentation of that time; gas as Sui's reference price, rounded up.
type Prices struct {
	Storage   uint64 // FROST per MiB of encoded size and epoch
	Write     uint64 // FROST per MiB of encoded size written
	Gas       uint64 // MIST per unit of gas
	Shards    int
	MaxEpochs uint32
	Date      string // month and year; empty: nothing is known
}

// priceAge is how old a price of gas may be. It changes with Sui's epoch, once a day.
const priceAge = time.Minute

// gasPrice returns a price of gas that is at most a minute old; fresh asks for it anew.
func (c *Client) gasPrice(ctx context.Context, fresh bool) (uint64, error) {
	if known := c.known.price.Load(); known != nil && !fresh && time.Since(known.at) < priceAge {
		return known.mist, nil
	}
	mist, err := c.GasPrice(ctx)
	if err == nil {
		c.known.price.Store(&knownPrice{mist, time.Now()})
	}
	return mist, err
}

// knownPrice is a price of gas and when it was asked for.
type knownPrice struct {
	mist uint64
	at   time.Time
}

// GasPrice returns what a unit of gas costs now, in MIST.
func (c *Client) GasPrice(ctx context.Context) (uint64, error) {
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetEpoch, &pb.GetEpochRequest{ReadMask: mask("reference_gas_price")})
	if err != nil {
		return 0, fmt.Errorf("price of gas: %w", err)
	}
	if answer.GetEpoch().ReferenceGasPrice == nil {
		return 0, fmt.Errorf("no price of gas: %w", ErrAnswer)
	}
	return answer.GetEpoch().GetReferenceGasPrice(), nil
}

// TransactionGas returns what a transaction costs for computation at a price of
// gas, in MIST: the least there is, which is what storing a blob comes to.
func TransactionGas(price uint64) uint64 { return minUnits * price }

// BlobDeposit is what Sui keeps for a blob object until it is deleted or burned, in
// MIST, and then gives back but for a hundredth: what about 300 bytes cost. A localnet keeps nothing.
const BlobDeposit = 300 * storedByte
