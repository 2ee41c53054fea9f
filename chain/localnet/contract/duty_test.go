package contract

import (
	"bytes"
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// certified returns a message of a kind for an epoch, with a body.
func certified(kind uint8, epoch uint32, body func(c *move.Codec)) []byte {
	head, err := move.Marshal(&message{kind: kind, app: appID, epoch: epoch})
	if err != nil {
		panic(err)
	}
	rest, err := move.Marshal(layoutFunc(body))
	if err != nil {
		panic(err)
	}
	return append(head, rest...)
}

type layoutFunc func(c *move.Codec)

// BCS is the layout.
func (f layoutFunc) BCS(c *move.Codec) { f(c) }

func denyMessage(node move.ID, sequence, size uint64) []byte {
	d := denyList{node: node, sequence: sequence, size: size, root: move.U256{7}}
	return certified(denyListUpdate, 1, d.BCS)
}

// denying brings a message about the deny list of the first node.
func (e *economy) denying(msg []byte) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		signature, bitmap := e.signed(msg)
		return UpdateDenyList(tx, o.system, e.nodeCap(tx, 0), signature, bitmap, msg)
	}
}

// TestDenyList announces and confirms what a node does not store: it earns less.
func TestDenyList(t *testing.T) {
	e := newEconomy(t, 4, 12)
	e.advance()
	result := e.do(func(tx *overlay.Tx, o *shared) error {
		return RegisterDenyListUpdate(tx, o.system, e.nodeCap(tx, 0), move.U256{7}, 1)
	})
	if got := result.Events; len(got) != 1 || got[0].Type.Name != "RegisterDenyListUpdate" {
		t.Errorf("events %v", got)
	}
	if got := e.do(e.denying(denyMessage(e.node(0), 1, 1<<37))).Events; len(got) != 1 || got[0].Type.Name != "DenyListUpdate" {
		t.Errorf("events %v", got)
	}
	if c := e.nodeCap(e.begin(), 0); c.DenyListSequence != 1 || c.DenyListSize != 1<<37 || c.DenyListRoot != (move.U256{7}) {
		t.Errorf("capability %+v", c)
	}
	e.reward() // 256 GiB, half of which the node denies
	e.advance()
	if one, other := e.commission(0), e.commission(1); one < other/2-1 || one > other/2+1 {
		t.Errorf("commission %d of the one that denies half, %d of another", one, other)
	}
	body := move.U256{5}
	msg := certified(denyListBlobDeleted, 2, func(c *move.Codec) { c.U256(&body) })
	signature, bitmap := e.signed(msg)
	result = e.do(func(tx *overlay.Tx, o *shared) error {
		return DeleteDenyListedBlob(tx, o.system, signature, bitmap, msg)
	})
	want, err := move.Marshal(&move.DenyListBlobDeleted{Epoch: 2, Blob: body})
	e.must(err)
	if got := result.Events; len(got) != 1 || !bytes.Equal(got[0].BCS, want) {
		t.Errorf("events %v", got)
	}
	e.balanced()
}

func protocolMessage(epoch, start uint32) []byte {
	p := protocol{start: start, version: 3}
	return certified(protocolVersion, epoch, p.BCS)
}

func (e *economy) speaking(msg []byte) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		signature, bitmap := e.signed(msg)
		return UpdateProtocolVersion(tx, o.system, e.nodeCap(tx, 0), signature, bitmap, msg)
	}
}

func TestProtocolVersion(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	if got := e.do(e.speaking(protocolMessage(1, 2))).Events; len(got) != 1 || got[0].Type.Name != "ProtocolVersionUpdated" {
		t.Errorf("events %v", got)
	}
}

// eventBlob is the blob of events up to a checkpoint.
func eventBlob(checkpoint uint64, epoch uint32) EventBlob {
	root := move.U256{0: byte(checkpoint), 1: 0xee}
	return EventBlob{Blob: move.BlobID(root, 1, blobSize), Root: root, Size: blobSize, EncodingType: 1, Checkpoint: checkpoint, Epoch: epoch}
}

func (e *economy) attesting(i int, b EventBlob) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error { return CertifyEventBlob(tx, o.system, e.nodeCap(tx, i), b) }
}

// TestEventBlobs certifies blobs of events by the word of one node after the other.
func TestEventBlobs(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	before, _ := e.state()
	for i, want := range []string{"", "", "BlobRegistered BlobCertified", ""} {
		var names string
		for _, ev := range e.do(e.attesting(i, eventBlob(100, 1))).Events {
			names = names + " " + ev.Type.Name
		}
		if len(names) > 0 {
			names = names[1:]
		}
		if names != want {
			t.Errorf("events of node %d: %q, want %q", i, names, want)
		}
	}
	after, _ := e.state()
	encoded, err := encodedSize(blobSize, 1, 10)
	e.must(err)
	if after.UsedCapacity != before.UsedCapacity+encoded || after.LatestEventBlob == nil || after.LatestEventBlob.Checkpoint != 100 || len(after.EventBlobWeight) != 0 {
		t.Errorf("used %d, latest %+v, open %v", after.UsedCapacity, after.LatestEventBlob, after.EventBlobWeight)
	}
	e.do(e.attesting(0, eventBlob(200, 1)))
	wantAbort(t, "the same again", e.try(e.attesting(0, eventBlob(200, 1))), innerRepeated)
	wantAbort(t, "the next while one is open", e.try(e.attesting(0, eventBlob(300, 1))), innerAttestation)
	e.advance()
	e.do(e.attesting(0, eventBlob(200, 2)))
	if now, _ := e.state(); len(now.EventBlobWeight) != 1 {
		t.Errorf("open after the epoch: %v", now.EventBlobWeight)
	}
	e.balanced()
}

// onDuty runs something among nodes in epoch 1.
func onDuty(do func(e *economy, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return staked(do)
}

var dutyAborts = []abortCase{
	{"deny list of a stranger", innerNotMember, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return RegisterDenyListUpdate(tx, o.system, &move.NodeCap{}, move.U256{}, 1)
	})},
	{"deny list announced again", innerDenySequence, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return RegisterDenyListUpdate(tx, o.system, e.nodeCap(tx, 0), move.U256{}, 0)
	})},
	{"deny list confirmed again", innerDenySequence, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.denying(denyMessage(e.node(0), 0, 1))(tx, o)
	})},
	{"deny list of another", innerDenyNode, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.denying(denyMessage(e.node(1), 1, 1))(tx, o)
	})},
	{"deny list of another kind", messageType, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.denying(protocolMessage(1, 1))(tx, o)
	})},
	{"deny list cut short", bcsOutOfRange, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		msg := denyMessage(e.node(0), 1, 1)
		return e.denying(msg[:len(msg)-1])(tx, o)
	})},
	{"protocol of another kind", messageType, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.speaking(denyMessage(e.node(0), 1, 1))(tx, o)
	})},
	{"protocol cut short", bcsOutOfRange, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		msg := protocolMessage(1, 1)
		return e.speaking(msg[:len(msg)-1])(tx, o)
	})},
	{"protocol of the past", innerStartEpoch, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.speaking(protocolMessage(1, 0))(tx, o)
	})},
	{"event blob of another epoch", innerIDEpoch, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		return e.attesting(0, eventBlob(1, 2))(tx, o)
	})},
	{"event blob twice", innerRepeated, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		e.must(e.attesting(0, eventBlob(1, 1))(tx, o))
		return e.attesting(0, eventBlob(1, 1))(tx, o)
	})},
	{"two event blobs at once", innerAttestation, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		e.must(e.attesting(0, eventBlob(1, 1))(tx, o))
		return e.attesting(0, eventBlob(2, 1))(tx, o)
	})},
	{"event blob of no size", innerResourceSize, onDuty(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner, err := SystemInner(tx, o.system)
		e.must(err)
		_, err = giveStorage(tx, inner, 0)
		return err
	})},
}
