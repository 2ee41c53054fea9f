package localnet

import "github.com/walfs/walfs/chain/localnet/ptb"

// GasPrice is in MIST for a unit of gas: what every localnet asks for.
const GasPrice = ptb.GasPrice
