package move_test

import (
	"bytes"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// layouts are the types that bytes from outside are read into.
func layouts() []move.Layout {
	return []move.Layout{
		&move.Blob{}, &move.Storage{}, &move.SystemInner{}, &move.StakingInner{}, &move.StakingPool{}, &move.Metadata{},
		&move.NodeMetadata{}, &move.StakedWAL{}, &move.NodeCap{}, &move.ActiveSet{}, &move.ExchangeRate{}, &move.TypeTag{},
		&move.Object{}, &move.UpgradeProposal{}, &move.SlashingProposal{}, &move.StoragePoolInner{}, &move.PooledBlob{},
		&move.BlobRegistered{}, &move.BlobCertified{}, &move.BlobDeleted{}, &move.ShardsReceived{}, &move.SharedBlob{},
	}
}

// FuzzUnmarshal reads arbitrary bytes into every layout: whatever is accepted
// must be written as the very same bytes.
func FuzzUnmarshal(f *testing.F) {
	v := loadVectors(f)
	for _, o := range v.Objects {
		f.Add(unhex(f, o.ContentsHex))
		f.Add(unhex(f, o.Envelope.BCSHex))
	}
	for _, e := range v.Events {
		f.Add(unhex(f, e.BCSHex))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, l := range layouts() {
			if move.Unmarshal(in, l) != nil {
				continue
			}
			out, err := move.Marshal(l)
			if err != nil || !bytes.Equal(in, out) {
				t.Fatalf("%T: %v\nread  %x\nwrote %x", l, err, in, out)
			}
		}
	})
}

// FuzzTypeName reads arbitrary text as a type: whatever is accepted must have
// a name that reads as the same type.
func FuzzTypeName(f *testing.F) {
	for _, o := range loadVectors(f).Objects {
		f.Add(o.Type)
	}
	f.Add("vector<vector<u8>>")
	f.Fuzz(func(t *testing.T, in string) {
		tag, err := move.ParseTypeTag(in)
		if err != nil {
			return
		}
		back, err := move.ParseTypeTag(tag.String())
		if err != nil || !back.Equal(tag) {
			t.Fatalf("%q: %s became %s, %v", in, tag, back, err)
		}
	})
}
