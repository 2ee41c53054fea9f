package embedded

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/sui"
)

// ErrNoHouse reports a text that is not the file network.json of a network.
var ErrNoHouse = errors.New("not a network.json with a seed")

// House returns the wallet of the account that operates the network's own
// nodes: it has their capabilities, and votes for them.
func (n *Network) House() (*sui.Wallet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return house(n.plan.Seed)
}

// HouseOfPlan is House of the text of a network's file network.json.
func HouseOfPlan(text []byte) (*sui.Wallet, error) {
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, ErrNoHouse
	}
	return house(p.Seed)
}

// house makes the wallet of a network's seed. It does not quote it.
func house(seed string) (*sui.Wallet, error) {
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != seedSize {
		return nil, ErrNoHouse
	}
	w, err := sui.WalletFromSeed(localnet.HouseSecret([seedSize]byte(raw)))
	if err != nil {
		return nil, fmt.Errorf("house of the network: %w", err)
	}
	return w, nil
}
