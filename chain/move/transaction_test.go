package move_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

func rawTransaction(t testing.TB, name string, v *vectors) []byte {
	t.Helper()
	for _, tx := range v.Transactions {
		if tx.Name == name {
			raw, err := base64.StdEncoding.DecodeString(tx.BCSBase64)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
	}
	t.Fatalf("no transaction %s", name)
	return nil
}

func TestTransactions(t *testing.T) {
	v := loadVectors(t)
	for _, c := range v.Transactions {
		t.Run(c.Name, func(t *testing.T) {
			raw := rawTransaction(t, c.Name, v)
			var tx move.Transaction
			if err := move.Unmarshal(raw, &tx); err != nil {
				t.Fatal(err)
			}
			if len(tx.Commands) == 0 || tx.Sender != address(t, v.Keys[0].Address) {
				t.Errorf("read: %d commands of %s", len(tx.Commands), tx.Sender)
			}
			got, err := move.Marshal(&tx)
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("written again: %v\n got %x\nwant %x", err, got, raw)
			}
			if digest := move.TransactionDigest(raw).String(); digest != c.Digest {
				t.Errorf("digest: got %s, want %s", digest, c.Digest)
			}
			hash := move.SigningHash(raw)
			if want := unhex(t, c.SignedHash); !bytes.Equal(hash[:], want) {
				t.Errorf("signing hash: got %x, want %x", hash, want)
			}
		})
	}
}

// pure is an input with the BCS of a value.
func pure(t *testing.T, v move.Layout) move.Input {
	t.Helper()
	b, err := move.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return move.Input{Kind: move.InputPure, Pure: b}
}

// layout makes a Layout of a function.
type layout func(c *move.Codec)

func (l layout) BCS(c *move.Codec) { l(c) }

func u64(n uint64) move.Layout { return layout(func(c *move.Codec) { c.U64(&n) }) }
func u32(n uint32) move.Layout { return layout(func(c *move.Codec) { c.U32(&n) }) }
func u8(n uint8) move.Layout   { return layout(func(c *move.Codec) { c.U8(&n) }) }
func flag(b bool) move.Layout  { return layout(func(c *move.Codec) { c.Bool(&b) }) }
func u256(n move.U256) move.Layout {
	return layout(func(c *move.Codec) { c.U256(&n) })
}

// TestBuildTransaction writes register_direct from its parts.
func TestBuildTransaction(t *testing.T) {
	v := loadVectors(t)
	me := address(t, v.Keys[0].Address)
	coin := func(id uint16) move.ObjectRef {
		return move.ObjectRef{ID: small(id), Version: 100, Digest: move.Digest(bytes.Repeat([]byte{7}, 32))}
	}
	input := func(i uint16) move.Argument { return move.Argument{Kind: move.ArgumentInput, Index: i} }
	result := func(i uint16) move.Argument { return move.Argument{Kind: move.ArgumentResult, Index: i} }
	call := func(function string, arguments ...move.Argument) move.Command {
		return move.Command{Kind: move.CommandMoveCall,
			Call: move.Call{Package: testnetPackage(t), Module: "system", Function: function, Arguments: arguments}}
	}
	tx := move.Transaction{
		Inputs: []move.Input{
			{Kind: move.InputShared, Object: move.ObjectRef{ID: address(t, testnetSystem)}, Initial: 50, Mutable: true},
			{Kind: move.InputOwned, Object: coin(0xc02)},
			pure(t, u64(encodedSize)),
			pure(t, u32(3)),
			pure(t, u256(move.U256(unhex(t, v.BlobID.BlobIDHex)))),
			pure(t, u256(move.U256(unhex(t, v.BlobID.RootHashHex)))),
			pure(t, u64(1_000_000)),
			pure(t, u8(1)),
			pure(t, flag(true)),
			pure(t, &me),
		},
		Commands: []move.Command{
			call("reserve_space", input(0), input(2), input(3), input(1)),
			call("register_blob", input(0), result(0), input(4), input(5), input(6), input(7), input(8), input(1)),
			{Kind: move.CommandTransferObjects, Arguments: []move.Argument{result(1)}, Target: input(9)},
		},
		Sender: me,
		Gas:    move.GasData{Payment: []move.ObjectRef{coin(0xc01)}, Owner: me, Price: 1000, Budget: 50_000_000},
	}
	got, err := move.Marshal(&tx)
	if want := rawTransaction(t, "register_direct", v); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", err, got, want)
	}
}

// TestRareTransactions writes and reads the variants that no vector has.
func TestRareTransactions(t *testing.T) {
	n := uint64(7)
	tx := move.Transaction{
		Inputs: []move.Input{
			{Kind: move.InputReceiving, Object: move.ObjectRef{Version: 3}},
			{Kind: move.InputFunds, Funds: move.Funds{Amount: 5, Type: move.SUI.Tag(), Sponsor: true}},
		},
		Commands: []move.Command{
			{Kind: move.CommandPublish, Modules: [][]byte{{1, 2}}, Dependencies: move.IDs{move.Framework}},
			{Kind: move.CommandUpgrade, Modules: [][]byte{{3}}, Package: move.ClockID, Target: move.Argument{Kind: move.ArgumentNestedResult, Index: 1, Result: 2}},
			{Kind: move.CommandSplitCoins, Target: move.Argument{Kind: move.ArgumentGasCoin}},
		},
		Expiration: move.Expiration{Kind: move.ExpirationValidDuring, MinEpoch: &n, MaxTime: &n, Nonce: 9},
	}
	raw, err := move.Marshal(&tx)
	if err != nil {
		t.Fatal(err)
	}
	var back move.Transaction
	if err := move.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := move.Marshal(&back)
	if err != nil || !bytes.Equal(again, raw) || !back.Inputs[1].Funds.Sponsor || *back.Expiration.MaxTime != n {
		t.Errorf("%v, read %+v", err, back)
	}
	if _, err := move.Marshal(&move.Input{Kind: 9}); err == nil {
		t.Error("an input of an unknown kind was written")
	}
}

// FuzzTransaction reads arbitrary bytes: whatever is accepted must be written as the very same bytes.
func FuzzTransaction(f *testing.F) {
	v := loadVectors(f)
	for _, c := range v.Transactions {
		f.Add(rawTransaction(f, c.Name, v))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var tx move.Transaction
		if move.Unmarshal(in, &tx) != nil {
			return
		}
		out, err := move.Marshal(&tx)
		if err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%v\nread  %x\nwrote %x", err, in, out)
		}
	})
}
