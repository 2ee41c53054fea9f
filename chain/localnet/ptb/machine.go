package ptb

import (
	"errors"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// slot is a value that commands can use: an input, the gas coin or a result.
type slot struct {
	pure  []byte // of a plain input, whose type the command that uses it gives
	form  *form  // nil for a plain input
	value any    // a pointer to the form's Go type
	in    *input // of an input object
	isGas bool
	gone  bool // used up
}

// machine runs the commands of one transaction.
type machine struct {
	env     *Env
	tx      *move.Transaction
	over    *overlay.Tx
	inputs  []*slot
	gas     *slot
	results [][]*slot
	values  [][]Value // of results, as they were when they were returned; nil when nobody asks
	wants   bool      // somebody asks
	events  move.Events
	// borrowed says which values the command that runs has by reference.
	borrowed map[*slot]Ref
}

// newMachine makes the inputs known to a fresh overlay and puts all gas into the first coin.
func newMachine(env *Env, tx *move.Transaction, digest move.Digest, in *loaded) (*machine, error) {
	m := &machine{env: env, tx: tx, over: overlay.New(digest, tx.Sender, env.TimeMS, env.Table.packages, env.Source)}
	m.over.FixedCommittee = env.FixedCommittee
	for i := range tx.Inputs {
		s := &slot{pure: tx.Inputs[i].Pure}
		if in.inputs[i] != nil {
			var err error
			if s, err = m.object(in.inputs[i]); err != nil {
				return nil, err
			}
		}
		m.inputs = append(m.inputs, s)
	}
	for i, coin := range in.gas {
		s, err := m.object(coin)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			s.isGas, m.gas = true, s
			continue
		}
		if err := m.smash(s.value.(*move.Coin)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// smash puts a coin into the first one that pays.
func (m *machine) smash(coin *move.Coin) error {
	if err := m.over.TakeInput(coin.ID); err != nil {
		return err
	}
	return contract.JoinCoin(m.over, m.gasCoin(), coin)
}

// gasCoin is the coin that pays, wherever it is.
func (m *machine) gasCoin() *move.Coin { return m.gas.value.(*move.Coin) }

// object makes an input object known to the overlay.
func (m *machine) object(in *input) (*slot, error) {
	value := m.env.Table.object(in.object.Type)
	if err := m.over.Input(in.object, value, in.mutable); err != nil {
		return nil, err
	}
	if clock, ok := value.(*move.Clock); ok {
		clock.TimestampMS = m.env.TimeMS
	}
	f, err := m.env.Table.form(in.object.Type.Tag())
	if errors.Is(err, errNoType) {
		f, err = &form{tag: in.object.Type.Tag(), goType: goType[raw](), abilities: 1 << Key}, nil
		if in.object.HasPublicTransfer {
			f.abilities |= 1 << Store
		}
	}
	return &slot{form: f, value: value, in: in}, err
}

// run executes all commands. A failure tells which one failed.
func (m *machine) run() error {
	for i := range m.tx.Commands {
		m.borrowed = make(map[*slot]Ref)
		c := &m.tx.Commands[i]
		events := m.over.EventCount()
		results, err := m.command(c)
		if err == nil {
			err = m.keep(results)
		}
		if err != nil {
			var f *failure
			if errors.As(err, &f) && f.Command == nil {
				number := uint64(i)
				f.Command = &number
			}
			return err
		}
		m.locate(c, events)
	}
	return m.leftovers()
}

// keep makes results usable for the commands that follow.
func (m *machine) keep(results []*slot) error {
	m.results = append(m.results, results)
	if !m.wants {
		return nil
	}
	var values []Value
	for _, s := range results {
		bcs, err := s.form.encode(s.value)
		if err != nil {
			return err
		}
		values = append(values, Value{s.form.tag, bcs})
	}
	m.values = append(m.values, values)
	return nil
}

// locate notes where the events of a command came from.
func (m *machine) locate(c *move.Command, from int) {
	for _, e := range m.over.EventsFrom(from) {
		m.events = append(m.events, move.TransactionEvent{Package: c.Call.Package, Module: c.Call.Module, Sender: m.tx.Sender,
			Type: e.Type, Contents: e.BCS})
	}
}

// leftovers fails when a result that cannot be dropped was not used.
func (m *machine) leftovers() error {
	for i, results := range m.results {
		for k, s := range results {
			if !s.gone && !s.form.abilities.has(Drop) {
				f := failed(move.FailedUnusedValue)
				f.Index, f.Secondary = uint16(i), uint16(k)
				return f
			}
		}
	}
	return nil
}

// command executes one command.
func (m *machine) command(c *move.Command) ([]*slot, error) {
	switch c.Kind {
	case move.CommandMoveCall:
		return m.moveCall(&c.Call)
	case move.CommandTransferObjects:
		return nil, m.transferObjects(c)
	case move.CommandSplitCoins:
		return m.splitCoins(c)
	case move.CommandMergeCoins:
		return nil, m.mergeCoins(c)
	case move.CommandMakeMoveVec:
		return m.makeVector(c)
	case move.CommandUpgrade:
		return m.upgrade(c)
	}
	return nil, failed(move.FailedNotSupported)
}
