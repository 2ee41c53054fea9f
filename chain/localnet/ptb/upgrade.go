package ptb

import (
	"bytes"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// moduleMagic is what the bytecode of a module begins with. Source: Move, binary format.
var moduleMagic = []byte{0xa1, 0x1c, 0xeb, 0x0b}

// upgrade makes the next version of the Walrus package, which is the only one
// that can be upgraded. Nobody reads its code: the ledger has no Move VM.
func (m *machine) upgrade(c *move.Command) ([]*slot, error) {
	ticketForm, err := m.env.Table.form(move.FrameworkType("package", "UpgradeTicket").Tag())
	if err != nil {
		return nil, err
	}
	receiptForm, err := m.env.Table.form(move.FrameworkType("package", "UpgradeReceipt").Tag())
	if err != nil {
		return nil, err
	}
	v, err := m.argument(0, c.Target, ByValue, ticketForm)
	if err != nil {
		return nil, err
	}
	ticket := v.(*contract.UpgradeTicket)
	for _, code := range c.Modules {
		if !bytes.HasPrefix(code, moduleMagic) {
			return nil, failed(move.FailedModule)
		}
	}
	digest := move.PackageDigest(c.Modules, c.Dependencies)
	version := m.env.Versions[c.Package]
	switch {
	case version == 0:
		return nil, badUpgrade(move.UpgradeError{Kind: move.UpgradeNoPackage, Package: c.Package})
	case ticket.Package != c.Package:
		return nil, badUpgrade(move.UpgradeError{Kind: move.UpgradeOtherPackage, Package: c.Package, Ticket: ticket.Package})
	case !bytes.Equal(ticket.Digest, digest):
		return nil, badUpgrade(move.UpgradeError{Kind: move.UpgradeDigest, Digest: digest})
	}
	receipt, err := contract.Upgrade(m.over, ticket, version+1)
	if err != nil {
		return nil, err
	}
	return []*slot{{form: receiptForm, value: receipt}}, nil
}

func badUpgrade(e move.UpgradeError) error {
	f := failed(move.FailedUpgrade)
	f.Upgrade = e
	return f
}
