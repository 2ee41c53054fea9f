package localnet

import (
	"context"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// society is a ledger on which the house has the capabilities of all nodes, also
// of one that joins later, and nodes that keep what blobs they should.
type society struct {
	*Net
	w      *wallet
	t      *testing.T
	keys   testNodes
	stored map[move.ID]map[uint16]walrus.NodeID // by blob object and shard, the node that has it
	ends   map[move.ID]uint32                   // of the blobs that are not expired
	moved  int
}

func newSociety(t *testing.T) *society {
	t.Helper()
	s := &society{t: t, stored: make(map[move.ID]map[uint16]walrus.NodeID), ends: make(map[move.ID]uint32)}
	g, keys := newGenesis(t, 4, 20)
	s.keys = keys
	s.Net = openNet(t, Config{Dir: t.TempDir(), Genesis: g, MoveShards: s.fetch})
	s.w = &wallet{t: t, net: s.Net, key: s.house.key}
	return s
}

// fetch brings shards to their new nodes from those that have them.
func (s *society) fetch(_ context.Context, _ walrus.Epoch, all []ShardMove) error {
	for _, m := range all {
		for id, holders := range s.stored {
			if holders[m.Shard] != m.From {
				s.t.Errorf("blob %s: shard %d is not where it is to come from", id, m.Shard)
			}
			holders[m.Shard] = m.To
		}
	}
	s.moved += len(all)
	return nil
}

// store registers and certifies a blob for some epochs.
func (s *society) store(number int, epochs uint32) move.ID {
	s.t.Helper()
	r := numberedBlobs(number, 1)[0]
	r.EpochsAhead = epochs
	b := s.w.build()
	b.transfer(s.w.address(), b.register(r))
	id := created(s.t, s.Net, s.w.succeed(b), s.facts.packages.Blob())
	committee := s.Committee()
	var all []int
	s.stored[id] = make(map[uint16]walrus.NodeID)
	for i, m := range committee.Members {
		all = append(all, i)
		for _, shard := range m.Shards {
			s.stored[id][shard] = m.ID
		}
	}
	msg := walrus.ConfirmationMessage(committee.Epoch, r.Blob, walrus.Persistence{Deletable: true, Object: walrus.ObjectID(id)})
	cert := s.keys.sign(s.t, committee, all, msg)
	b = s.w.build()
	b.call("system", "certify_blob", b.object(s.facts.system), b.object(id), b.bytes(cert.Signature[:]), b.bytes(cert.Bitmap), b.bytes(msg))
	s.w.succeed(b)
	s.ends[id] = uint32(committee.Epoch) + epochs
	return id
}

func (s *society) renew(id move.ID, epochs uint32) {
	s.t.Helper()
	b := s.w.build()
	b.call("system", "extend_blob", b.object(s.facts.system), b.object(id), b.u32(epochs), b.object(s.w.coin()))
	s.w.succeed(b)
	s.ends[id] += epochs
}

// check looks at the books, and for every shard of every blob with the node that is to have it.
func (s *society) check() {
	s.t.Helper()
	checkSupply(s.t, s.Net)
	committee := s.Committee()
	for id, end := range s.ends {
		if end <= uint32(committee.Epoch) {
			delete(s.ends, id)
			delete(s.stored, id)
			continue
		}
		shards := 0
		for _, m := range committee.Members {
			for _, shard := range m.Shards {
				if shards++; s.stored[id][shard] != m.ID {
					s.t.Errorf("epoch %d: blob %s, shard %d is not with its node", committee.Epoch, id, shard)
				}
			}
		}
		if shards != committee.Shards {
			s.t.Errorf("epoch %d: %d shards", committee.Epoch, shards)
		}
	}
}

// join registers a node and stakes with it.
func (s *society) join(wal uint64) (node, nodeCap, receipt move.ID) {
	s.t.Helper()
	secret, err := bls.SecretKeyFromBytes([32]byte{31: 99})
	if err != nil {
		s.t.Fatal(err)
	}
	public := secret.PublicKey()
	s.keys[public] = secret
	proof := secret.Sign(walrus.ProofOfPossessionMessage(s.Committee().Epoch, s.w.address(), public))
	b := s.w.build()
	b.transfer(s.w.address(), b.call("staking", "register_candidate", b.object(s.facts.staking), b.text("newcomer"), b.text("127.0.0.1:1"),
		b.call("node_metadata", "new", b.text(""), b.text(""), b.text("")), b.bytes(public[:]), b.bytes(make([]byte, 33)), b.bytes(proof[:]),
		b.u16(1000), b.u64(DefaultStoragePrice), b.u64(DefaultWritePrice), b.u64(1<<60)))
	e := s.w.succeed(b)
	nodeCap, node = created(s.t, s.Net, e, s.facts.packages.NodeCap()), created(s.t, s.Net, e, s.facts.packages.StakingPool())
	b = s.w.build()
	b.transfer(s.w.address(), b.call("staking", "stake_with_pool", b.object(s.facts.staking), b.split(b.object(s.w.coin()), wal*chain.FrostPerWAL), b.id(node)))
	return node, nodeCap, created(s.t, s.Net, s.w.succeed(b), s.facts.packages.StakedWAL())
}

// caps are the capabilities of all nodes.
func (s *society) caps() (all []*move.NodeCap) {
	s.t.Helper()
	tag := s.facts.packages.NodeCap()
	objects, _, err := s.OwnedObjects(s.t.Context(), s.w.address(), &tag, 0, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range objects {
		c := new(move.NodeCap)
		if err := move.Unmarshal(o.Contents, c); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// votePrice has all nodes vote for a price, at once in force.
func (s *society) votePrice(price uint64) {
	s.t.Helper()
	b := s.w.build()
	for _, c := range s.caps() {
		b.call("staking", "set_storage_price_vote", b.object(s.facts.staking), b.object(c.ID), b.u64(price))
	}
	b.call("staking", "update_prices", b.object(s.facts.staking), b.object(s.facts.system))
	s.w.succeed(b)
	if state, err := s.State(s.t.Context()); err != nil || state.StoragePrice != price {
		s.t.Errorf("price %+v, %v, want %d", state, err, price)
	}
}

// slash has all others vote against a node and burns its commission.
func (s *society) slash(node move.ID) {
	s.t.Helper()
	b := s.w.build()
	for _, c := range s.caps() {
		if c.Node != node {
			b.call("slashing", "vote_for_slashing", b.object(s.slashing()), b.object(s.facts.staking), b.call("auth", "authenticate_sender"), b.id(c.Node), b.id(node))
		}
	}
	b.call("slashing", "execute_slashing", b.object(s.slashing()), b.object(s.facts.staking), b.object(s.facts.treasury), b.id(node))
	before := checkSupply(s.t, s.Net)
	s.w.succeed(b)
	if after := checkSupply(s.t, s.Net); after >= before {
		s.t.Errorf("slashing burnt nothing of %d", before)
	}
}

func (s *society) collect(node, nodeCap move.ID) *Executed {
	s.t.Helper()
	b := s.w.build()
	auth := b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: b.walrus, Module: "auth", Function: "authenticate_with_object",
		Types: []move.TypeTag{s.facts.packages.NodeCap().Tag()}, Arguments: []move.Argument{b.object(nodeCap)}}})
	b.transfer(s.w.address(), b.call("staking", "collect_commission", b.object(s.facts.staking), b.id(node), auth))
	return s.w.succeed(b)
}

// earned is how much WAL a transaction brought its sender.
func (s *society) earned(e *Executed) (frost uint64) {
	s.t.Helper()
	id := created(s.t, s.Net, e, s.facts.packages.WALCoin())
	o, err := s.Object(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return frostIn(s.t, &s.facts.packages, o)
}

func (s *society) weight(node move.ID) int {
	for _, m := range s.Committee().Members {
		if m.ID == walrus.NodeID(node) {
			return len(m.Shards)
		}
	}
	return 0
}

// TestTwentyEpochsOfPrograms lives through twenty epochs by signed transactions:
// a node joins and leaves, all vote on a price and against the newcomer, blobs
// are renewed and expire. Books and blobs are looked at after each epoch, and
// in the end the log alone makes the same ledger.
func TestTwentyEpochsOfPrograms(t *testing.T) {
	s := newSociety(t)
	renewed := s.store(1, 3)
	s.store(2, 4)
	var node, nodeCap, receipt move.ID
	for epoch := uint32(1); epoch < 20; epoch++ {
		switch epoch {
		case 2:
			node, nodeCap, receipt = s.join(1500)
		case 3:
			if s.weight(node) == 0 || s.moved == 0 {
				t.Errorf("the newcomer has %d shards, %d moved", s.weight(node), s.moved)
			}
		case 5:
			s.votePrice(2 * DefaultStoragePrice)
		case 7:
			s.slash(node)
		case 9:
			if s.earned(s.collect(node, nodeCap)) == 0 {
				t.Error("no commission to collect")
			}
		case 10:
			b := s.w.build()
			b.call("staking", "request_withdraw_stake", b.object(s.facts.staking), b.object(receipt))
			s.w.succeed(b)
		case 12:
			if s.weight(node) != 0 {
				t.Errorf("the leaver has %d shards", s.weight(node))
			}
			b := s.w.build()
			b.transfer(s.w.address(), b.call("staking", "withdraw_stake", b.object(s.facts.staking), b.object(receipt)))
			if got := s.earned(s.w.succeed(b)); got <= 1500*chain.FrostPerWAL {
				t.Errorf("the leaver's stake brings %d", got)
			}
		case 16:
			s.store(16, 2)
		}
		if s.ends[renewed]-epoch == 1 {
			s.renew(renewed, 2)
		}
		if err := s.AdvanceEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := uint32(s.Committee().Epoch); now != epoch+1 {
			t.Fatalf("epoch %d, want %d", now, epoch+1)
		}
		s.check()
	}
	if len(s.ends) != 1 || s.ends[renewed] <= 20 {
		t.Errorf("blobs at the end: %v", s.ends)
	}
	checkLog(t, "after twenty epochs", s.Net)
}
