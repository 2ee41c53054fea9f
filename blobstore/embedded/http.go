package embedded

import (
	"fmt"
	"net/http"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/chain/localnet"
)

// Net returns the localnet itself, for a server in front of it. It ends with the network.
func (n *Network) Net() *localnet.Net { return n.ledger }

// Handler answers the HTTP routes of a node, up or down. With cors the pages of
// any site may call them. It returns ErrUnknown for a name that no node has.
func (n *Network) Handler(name string, cors bool) (http.Handler, error) {
	m, _, err := n.find(name)
	if err != nil {
		return nil, fmt.Errorf("handler: %w", err)
	}
	return node.NewServer(func() (*node.Node, error) {
		up, _, err := m.use()
		return up, err
	}, cors), nil
}
