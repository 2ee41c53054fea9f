package walrus_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

func TestMessages(t *testing.T) {
	made := 0
	for _, m := range read[messages](t, "messages.json").Messages {
		var got []byte
		var persistence walrus.Persistence
		switch m.Name {
		case "confirmation deletable":
			object, err := walrus.ParseObjectID(m.ObjectID)
			if err != nil {
				t.Fatal(err)
			}
			persistence = walrus.Persistence{Deletable: true, Object: object}
			fallthrough
		case "confirmation permanent":
			blob := walrus.BlobID(unhex(t, m.BlobIDHex))
			got = walrus.ConfirmationMessage(m.Epoch, blob, persistence)
			e, b, p, err := walrus.ParseConfirmation(got)
			if e != m.Epoch || b != blob || p != persistence || err != nil {
				t.Errorf("%s: parsed %d, %s, %v, %v", m.Name, e, b, p, err)
			}
		case "invalid blob id":
			got = walrus.InvalidBlobMessage(m.Epoch, walrus.BlobID(unhex(t, m.BlobIDHex)))
		case "proof of possession":
			address, err := walrus.ParseObjectID(m.SuiAddress)
			if err != nil {
				t.Fatal(err)
			}
			got = walrus.ProofOfPossessionMessage(m.Epoch, address, [48]byte(unhex(t, m.PublicKeyHex)))
		case "sync shard":
			want := walrus.SyncShard{Shard: m.ShardIndex, Start: walrus.BlobID(unhex(t, m.StartingBlobIDHex)), Count: m.SliverCount, Epoch: m.Epoch}
			got = walrus.SyncShardMessage(want)
			if r, err := walrus.ParseSyncShard(got); r != want || err != nil {
				t.Errorf("%s: parsed %+v, %v", m.Name, r, err)
			}
		default:
			continue
		}
		made++
		same(t, m.Name, hex.EncodeToString(got), m.Hex)
	}
	same(t, "messages made", made, 6)
}

func TestParseSyncShardRefuses(t *testing.T) {
	good := walrus.SyncShardMessage(walrus.SyncShard{Shard: 3, Axis: walrus.Secondary, Start: walrus.BlobID{1}, Count: 9, Epoch: 7})
	if _, err := walrus.ParseSyncShard(good); err != nil {
		t.Fatal(err)
	}
	edit := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for name, msg := range map[string][]byte{
		"nothing": nil, "type": edit(0, 1), "version": edit(1, 1), "application": edit(2, 0), "variant": edit(7, 1), "axis": edit(10, 2),
		"other epoch": edit(3, 8), "too long": append(bytes.Clone(good), 0), "too short": good[:len(good)-1],
	} {
		if r, err := walrus.ParseSyncShard(msg); !errors.Is(err, walrus.ErrMessage) {
			t.Errorf("%s: parsed %+v, %v", name, r, err)
		}
	}
}

func TestParseConfirmationRefuses(t *testing.T) {
	permanent := walrus.ConfirmationMessage(7, walrus.BlobID{1}, walrus.Persistence{})
	deletable := walrus.ConfirmationMessage(7, walrus.BlobID{1}, walrus.Persistence{Deletable: true, Object: walrus.ObjectID{2}})
	edit := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	bad := map[string][]byte{
		"type": edit(permanent, 0, 2), "version": edit(permanent, 1, 1), "application": edit(permanent, 2, 0),
		"variant": edit(permanent, 39, 2), "deletable without object": edit(permanent, 39, 1),
		"permanent with object": edit(deletable, 39, 0), "too long": append(bytes.Clone(permanent), 0),
		"deletable too long": append(bytes.Clone(deletable), 0), "invalid blob": walrus.InvalidBlobMessage(7, walrus.BlobID{1}),
	}
	for i := range deletable {
		if i != len(permanent) {
			bad["cut"] = deletable[:i]
			if _, _, _, err := walrus.ParseConfirmation(deletable[:i]); !errors.Is(err, walrus.ErrMessage) {
				t.Errorf("first %d bytes: got %v", i, err)
			}
		}
	}
	for name, b := range bad {
		if _, _, _, err := walrus.ParseConfirmation(b); !errors.Is(err, walrus.ErrMessage) {
			t.Errorf("%s: got %v, want %v", name, err, walrus.ErrMessage)
		}
	}
}

func FuzzParseConfirmation(f *testing.F) {
	for _, m := range read[messages](f, "messages.json").Messages {
		f.Add(unhex(f, m.Hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, blob, p, err := walrus.ParseConfirmation(b)
		if err == nil && !bytes.Equal(walrus.ConfirmationMessage(epoch, blob, p), b) {
			t.Errorf("%x does not come back", b)
		}
	})
}
