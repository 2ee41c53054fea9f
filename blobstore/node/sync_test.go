package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// The bodies are those of the reference, there and back.
func TestBodies(t *testing.T) {
	raw, err := os.ReadFile("../walrus/testdata/messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Bodies []struct{ Name, Hex, AuthorizationHeader string }
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	digest := func(b byte) (h [32]byte) { return [32]byte(bytes.Repeat([]byte{b}, 32)) }
	want := map[string]move.Layout{
		"recovery symbols list": &symbolBodies{
			{walrus.Secondary, 5, 2, []byte{1, 2}, redstuff.Proof{digest(0x11), {}}},
			{walrus.Primary, 4, 7, []byte{3, 4, 5, 6}, redstuff.Proof{}},
		},
		"sync shard response": &syncedBodies{{walrus.SliverID{Blob: digest(7), Axis: walrus.Primary, Index: 12}, 2, []byte{0xab, 0xcd}}},
		"sync shard request":  nil,
	}
	for _, body := range v.Bodies {
		wanted, ok := want[body.Name]
		if !ok {
			continue
		}
		delete(want, body.Name)
		raw, err := hex.DecodeString(body.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if wanted == nil {
			checkSignedBody(t, raw, body.AuthorizationHeader)
			continue
		}
		got, err := move.Marshal(wanted)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %x, %v\nwant %x", body.Name, got, err, raw)
		}
		var back move.Layout = new(symbolBodies)
		if body.Name == "sync shard response" {
			back = new(syncedBodies)
		}
		if err := move.Unmarshal(raw, back); err != nil {
			t.Errorf("%s: %v", body.Name, err)
		}
		if again, err := move.Marshal(back); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: read and written again: %x, %v", body.Name, again, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("no vectors for %v", want)
	}
}

// checkSignedBody takes a request apart and verifies its signature.
func checkSignedBody(t *testing.T, raw []byte, header string) {
	t.Helper()
	var s signedBody
	if err := move.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(header)
	if err != nil || len(key) != 48 {
		t.Fatalf("key of %d bytes, %v", len(key), err)
	}
	if err := bls.Verify([48]byte(key), s.message, s.signature); err != nil {
		t.Error(err)
	}
	if r, err := walrus.ParseSyncShard(s.message); err != nil || r.Shard != 3 || r.Count != 10 || r.Epoch != 21 {
		t.Errorf("request %+v, %v", r, err)
	}
}

// pair is two nodes of one ledger: that of the bench, and the other one.
type pair struct {
	*bench
	from, to *Node
	url      string // of from
}

// newPair makes two nodes, whose blobs are certified.
func newPair(t *testing.T, samples int) (*pair, []sample) {
	t.Helper()
	b := newBench(t)
	key, err := bls.NewSecretKey(bytes.NewReader(bytes.Repeat([]byte{8}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := Open(t.Context(), Config{Dir: t.TempDir(), Name: "other", Key: key, Codec: b.codec, Ledger: b.ledger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := from.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(NewServer(func() (*Node, error) { return from, nil }, false))
	t.Cleanup(server.Close)
	p := &pair{b, from, b.open(disk()), server.URL}
	var all []sample
	for i := range samples {
		s := b.sample(uint64(i+1), 3000)
		if err := from.Store(t.Context(), s.handover(1, 2, 4, 5, 6, 8, 9)); err != nil {
			t.Fatal(err)
		}
		if err := p.to.Store(t.Context(), s.handover()); err != nil {
			t.Fatal(err)
		}
		b.certify(s)
		all = append(all, s)
	}
	return p, all
}

// deal gives shards 2 and 4 of the other node to the tested one, in another epoch.
func (p *pair) deal() {
	p.t.Helper()
	p.ledger.set(func(state *chain.State) {
		state.Epoch++
		state.Committee.Members = []walrus.Member{
			{Name: "other", PublicKey: p.from.PublicKey(), Shards: []uint16{1, 5, 6, 8, 9}},
			{Name: "tested", PublicKey: p.to.PublicKey(), Shards: []uint16{0, 2, 3, 4, 7}},
		}
	})
	p.sync(p.to)
}

func (p *pair) client() *Client {
	return NewHTTPClient(HTTPConfig{URL: p.url, Geometry: walrus.Geometry{Shards: shards}})
}

// TestFetchShard moves two shards of several blobs over HTTP. A sliver that the
// source lacks is left out, and known to be missing.
func TestFetchShard(t *testing.T) {
	p, samples := newPair(t, 5)
	young := p.sample(6, 3000) // certified in the epoch that begins: its slivers go to the new owner at once
	if err := p.from.Store(t.Context(), young.handover(1, 2, 4, 5, 6, 8, 9)); err != nil {
		t.Fatal(err)
	}
	p.deal()
	gone := samples[2]
	lost := idOf(gone.handover(4), gone.handover(4).Slots[1])
	f, err := openBlob(p.from.path(gone.Blob()), gone.Blob(), os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, p.from.path(gone.Blob()), f.tailAt(f.find(slotKey{lost.Axis, lost.Index})), make([]byte, tailSize))
	if err := f.f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, shard := range []uint16{2, 4} {
		for range 2 { // again it stores nothing
			if _, err := p.to.FetchShard(t.Context(), shard, p.client()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range samples {
		gap, err := p.to.Gap(t.Context(), s.Blob(), Hashes)
		if err != nil {
			t.Fatal(err)
		}
		if s.Blob() != gone.Blob() {
			p.held(p.to, s.handover(0, 2, 3, 4, 7))
		} else if len(gap.Missing) != 1 || gap.Missing[0] != lost {
			t.Errorf("missing are %v, want %v", gap.Missing, lost)
		}
	}
	if err := p.to.filled(t.Context(), idOf(young.handover(2), young.handover(2).Slots[0])); !errors.Is(err, ErrNotFound) {
		t.Errorf("a blob that was not certified came along: %v", err)
	}
}

// TestFetchShardRefusesLies has the source give slivers that are not those of the blob.
func TestFetchShardRefusesLies(t *testing.T) {
	p, samples := newPair(t, 2)
	p.deal()
	lie := func(change func(*Synced)) *Client {
		honest := p.client().calls
		calls := honest
		calls.SyncShard = func(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]Synced, error) {
			page, err := honest.SyncShard(ctx, key, message, signature)
			for i := range page {
				change(&page[i])
			}
			return page, err
		}
		return NewClient(calls)
	}
	if stored, err := p.to.FetchShard(t.Context(), 2, lie(func(s *Synced) { s.Data[0] ^= 1 })); err != nil || stored != 0 {
		t.Errorf("wrong bytes: %d stored, %v", stored, err)
	}
	for name, change := range map[string]func(*Synced){
		"of another shard": func(s *Synced) { s.ID.Index ^= 1 },
		"of another axis":  func(s *Synced) { s.ID.Axis ^= 1 },
		"of another blob":  func(s *Synced) { s.ID.Blob[0] ^= 0x80 },
	} {
		if stored, err := p.to.FetchShard(t.Context(), 2, lie(change)); stored != 0 || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("slivers %s: %d stored, %v", name, stored, err)
		}
	}
	for _, s := range samples {
		if gap, err := p.to.Gap(t.Context(), s.Blob(), Hashes); err != nil || len(gap.Missing) != 4 || gap.Damaged != 0 {
			t.Errorf("gap %+v, %v", gap, err)
		}
	}
}

// TestSyncShardRefuses asks for a shard as nobody may.
func TestSyncShardRefuses(t *testing.T) {
	p, _ := newPair(t, 1)
	p.deal()
	public := p.to.PublicKey()
	mine := base64.StdEncoding.EncodeToString(public[:])
	stranger, err := bls.NewSecretKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	strange := stranger.PublicKey()
	good := walrus.SyncShard{Shard: 2, Count: 10, Epoch: 6}
	signed := func(r walrus.SyncShard) []byte {
		message := walrus.SyncShardMessage(r)
		return marshal(t, &signedBody{message, p.key.Sign(message)})
	}
	edit := func(change func(*walrus.SyncShard)) []byte {
		r := good
		change(&r)
		return signed(r)
	}
	forged := signed(good)
	forged[len(forged)-1] ^= 1
	other := walrus.InvalidBlobMessage(6, walrus.BlobID{})
	for _, c := range []struct {
		name, header string
		body         []byte
		code         int
		reason       string
	}{
		{"no header", "", signed(good), http.StatusUnauthorized, ""},
		{"bad header", "Bearer " + mine, signed(good), http.StatusBadRequest, ""},
		{"short key", mine[:8], signed(good), http.StatusBadRequest, ""},
		{"stranger", base64.StdEncoding.EncodeToString(strange[:]), signed(good), http.StatusForbidden, "REQUEST_UNAUTHORIZED"},
		{"no message", mine, []byte{1, 2, 3}, http.StatusBadRequest, "INVALID_CONTENT_TYPE"},
		{"forged", mine, forged, http.StatusBadRequest, "MESSAGE_VERIFICATION_FAILED"},
		{"other message", mine, marshal(t, &signedBody{other, p.key.Sign(other)}), http.StatusBadRequest, "MESSAGE_VERIFICATION_FAILED"},
		{"epoch before", mine, edit(func(r *walrus.SyncShard) { r.Epoch-- }), http.StatusBadRequest, "INVALID_EPOCH"},
		{"too many", mine, edit(func(r *walrus.SyncShard) { r.Count = maxSyncCount + 1 }), http.StatusBadRequest, "SLIVER_COUNT_EXCEEDS_LIMIT"},
		{"no shard", mine, edit(func(r *walrus.SyncShard) { r.Shard = shards }), http.StatusBadRequest, "SHARD_NOT_ASSIGNED"},
		{"shard of another", mine, edit(func(r *walrus.SyncShard) { r.Shard = 1 }), http.StatusForbidden, "REQUEST_UNAUTHORIZED"},
		{"good", mine, signed(good), http.StatusOK, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/migrate/sync_shard", bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Error struct{ Details []errorInfo }
		}
		if c.reason != "" {
			if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		reason := ""
		if len(v.Error.Details) > 0 {
			reason = v.Error.Details[0].Reason
		}
		if answer.StatusCode != c.code || reason != c.reason {
			t.Errorf("%s: %d %s, want %d %s", c.name, answer.StatusCode, reason, c.code, c.reason)
		}
		if c.reason == "INVALID_EPOCH" && (v.Error.Details[0].Metadata["request_epoch"] != "5" || v.Error.Details[0].Metadata["server_epoch"] != "6") {
			t.Errorf("%s: metadata %v", c.name, v.Error.Details[0].Metadata)
		}
	}
}

func marshal(t *testing.T, v move.Layout) []byte {
	t.Helper()
	raw, err := move.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzBodies reads bytes as each of the bodies that nodes send each other. What
// can be read is written as the same bytes, and nothing takes much more memory than it is long.
func FuzzBodies(f *testing.F) {
	for _, v := range []move.Layout{
		&symbolBodies{{walrus.Secondary, 5, 2, []byte{1, 2}, redstuff.Proof{{1}, {}}}},
		&syncedBodies{{walrus.SliverID{Blob: walrus.BlobID{7}, Index: 12}, 2, []byte{0xab, 0xcd}}},
		&signedBody{message: walrus.SyncShardMessage(walrus.SyncShard{Shard: 3, Epoch: 9})},
	} {
		raw, err := move.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, v := range []move.Layout{new(symbolBodies), new(syncedBodies), new(signedBody)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := move.Unmarshal(raw, v)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+uint64(len(raw))*200 {
				t.Errorf("%T: %d bytes of memory for %d", v, used, len(raw))
			}
			if err != nil {
				continue
			}
			if again, err := move.Marshal(v); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("%T: %x is written as %x, %v", v, raw, again, err)
			}
		}
		if r, err := walrus.ParseSyncShard(raw); err == nil && !bytes.Equal(walrus.SyncShardMessage(r), raw) {
			t.Errorf("%x is read as %+v", raw, r)
		}
	})
}
