package node

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// caller asks a node over HTTP.
type caller struct {
	*bench
	url string
}

func (b *bench) serve(n *Node) caller {
	server := httptest.NewServer(NewServer(func() (*Node, error) { return n, nil }, false))
	b.t.Cleanup(server.Close)
	return caller{b, server.URL}
}

func (c caller) do(method, path string, body []byte) (int, []byte) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, b
}

// data checks the code of a success and returns what its envelope holds.
func (c caller) data(method, path string, body []byte, code int) any {
	c.t.Helper()
	got, raw := c.do(method, path, body)
	var envelope struct {
		Success struct {
			Code int `json:"code"`
			Data any `json:"data"`
		} `json:"success"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil || got != code || envelope.Success.Code != code {
		c.t.Errorf("%s %s: %d %s, want %d", method, path, got, raw, code)
	}
	return envelope.Success.Data
}

// fails checks code and reason of a refusal.
func (c caller) fails(method, path string, body []byte, code int, reason string) {
	c.t.Helper()
	got, raw := c.do(method, path, body)
	var envelope struct {
		Error struct {
			Code    int `json:"code"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	err := json.Unmarshal(raw, &envelope)
	if err != nil || got != code || envelope.Error.Code != code || len(envelope.Error.Details) == 0 || envelope.Error.Details[0].Reason != reason {
		c.t.Errorf("%s %s: %d %s, want %d %s", method, path, got, raw, code, reason)
	}
}

func pairPath(slot redstuff.Slot) string {
	return fmt.Sprintf("/slivers/%d/%s", walrus.Geometry{Shards: shards}.PairOf(slot.Axis(), slot.Index()), slot.Axis())
}

func sliverBody(s sample, slot redstuff.Slot) []byte {
	return redstuff.MarshalSliver(s.SymbolSize(), slot.Index(), slot.Data())
}

// A blob goes to a node as official clients send it: the metadata, then each
// sliver by itself; and it is durable, whole and confirmed afterwards.
func TestServerTakesBlob(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	c := b.serve(n)
	s := b.sample(101, 5000)
	raw, err := s.Metadata().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	blob := "/v1/blobs/" + s.Blob().String()
	h := s.handover()
	first := h.Slots[0]
	c.fails("GET", blob+"/metadata", nil, 404, "METADATA_NOT_FOUND")
	c.fails("PUT", blob+pairPath(first), sliverBody(s, first), 400, "METADATA_NOT_FOUND")
	if got := c.data("GET", blob+"/metadata/status", nil, 200); got != "nonexistent" {
		t.Errorf("metadata is %v before it is stored", got)
	}
	c.data("PUT", blob+"/metadata?pending=true", raw, 201)
	c.data("PUT", blob+"/metadata", raw, 200)
	if got := c.data("GET", blob+"/metadata/status", nil, 200); got != "stored" {
		t.Errorf("metadata is %v", got)
	}
	confirmation := blob + "/confirmation/deletable/" + walrus.ObjectID{101}.String()
	for i, slot := range h.Slots {
		c.fails("GET", confirmation, nil, 400, "MISSING_SLIVERS")
		c.fails("GET", blob+pairPath(slot), nil, 404, "SLIVER_NOT_FOUND")
		if got := c.data("GET", blob+pairPath(slot)+"/status", nil, 200); got != "nonexistent" {
			t.Errorf("slot %d is %v before it is stored", i, got)
		}
		c.data("PUT", blob+pairPath(slot), sliverBody(s, slot), 201)
		c.data("PUT", blob+pairPath(slot), sliverBody(s, slot), 200)
		if got := c.data("GET", blob+pairPath(slot)+"/status", nil, 200); got != "stored" {
			t.Errorf("slot %d is %v", i, got)
		}
		if code, body := c.do("GET", blob+pairPath(slot), nil); code != 200 || !bytes.Equal(body, sliverBody(s, slot)) {
			t.Errorf("slot %d: %d, %d bytes", i, code, len(body))
		}
	}
	if code, body := c.do("GET", blob+"/metadata", nil); code != 200 || !bytes.Equal(body, append(h.Blob[:len(h.Blob):len(h.Blob)], raw...)) {
		t.Errorf("metadata: %d, %d bytes", code, len(body))
	}
	signed := c.data("GET", confirmation, nil, 200).(map[string]any)["signed"].(map[string]any)
	message, _ := base64.StdEncoding.DecodeString(signed["serializedMessage"].(string))
	signature, _ := base64.StdEncoding.DecodeString(signed["signature"].(string))
	conf := walrus.Confirmation{Member: 1, Message: message, Signature: [96]byte(signature)}
	if !bytes.Equal(message, walrus.ConfirmationMessage(5, h.Blob, deletable(101))) {
		t.Errorf("message %x", message)
	}
	if err := conf.Verify(&walrus.Committee{Epoch: 5, Members: b.ledger.state.Committee.Members}); err != nil {
		t.Error(err)
	}
	b.held(n, h)
}

func TestServerRefuses(t *testing.T) {
	b := newBench(t)
	c := b.serve(b.open(disk()))
	s, other := b.sample(1, 5000), b.sample(2, 5000)
	unknown := b.sample(3, 5000)
	b.ledger.set(func(*chain.State) { b.ledger.events = b.ledger.events[:2] })
	blob := "/v1/blobs/" + s.Blob().String()
	raw, _ := s.Metadata().MarshalBinary()
	foreign, _ := other.Metadata().MarshalBinary()
	unregistered, _ := unknown.Metadata().MarshalBinary()
	slot := s.handover().Slots[0]
	theirs := s.handover(1).Slots[0]
	spoiled := sliverBody(s, slot)
	spoiled[40] ^= 1

	c.fails("PUT", blob+"/metadata", foreign, 400, "INVALID_METADATA")
	c.fails("PUT", blob+"/metadata", raw[:len(raw)-1], 400, "INVALID_METADATA")
	c.fails("PUT", "/v1/blobs/"+unknown.Blob().String()+"/metadata", unregistered, 400, "NOT_REGISTERED")
	c.fails("PUT", "/v1/blobs/"+unknown.Blob().String()+"/metadata?pending=true", unregistered, 400, "NOT_REGISTERED")
	c.data("PUT", blob+"/metadata", raw, 201)
	c.fails("PUT", blob+pairPath(slot), spoiled, 400, "INVALID_SLIVER")
	c.fails("PUT", blob+pairPath(slot), []byte{1, 2}, 400, "INVALID_CONTENT_TYPE")
	c.fails("PUT", blob+pairPath(slot), sliverBody(s, s.handover().Slots[2]), 400, "SLIVER_INDEX_MISMATCH")
	c.fails("PUT", blob+pairPath(theirs), sliverBody(s, theirs), 400, "SHARD_NOT_ASSIGNED")
	c.fails("PUT", blob+"/slivers/10/primary", sliverBody(s, slot), 400, "INDEX_OUT_OF_RANGE")
	c.fails("GET", blob+"/confirmation/permanent", nil, 400, "MISSING_SLIVERS")
	c.fails("GET", blob+"/confirmation/deletable/"+walrus.ObjectID{9}.String(), nil, 400, "NOT_REGISTERED")
	for path, want := range map[string]int{
		"/v1/blobs/abc/metadata": 400, blob + "/slivers/x/primary": 400, blob + "/slivers/1/tertiary": 400,
		blob + "/confirmation/deletable/0xzz": 400, "/v1/nothing": 404,
	} {
		if code, body := c.do("GET", path, nil); code != want || strings.HasPrefix(string(body), "{") {
			t.Errorf("GET %s: %d %s, want plain %d", path, code, body, want)
		}
	}
	if code, _ := c.do("PUT", blob+"/metadata?force=1", raw); code != 400 {
		t.Errorf("unknown parameter: %d", code)
	}
	if code, _ := c.do("PUT", blob+"/metadata", make([]byte, maxSmallBody+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("long body: %d", code)
	}
	limit := walrus.Geometry{Shards: shards}.SourceSecondary()*maxSymbolSize + sliverExtra
	if code, _ := c.do("PUT", blob+pairPath(slot), make([]byte, limit+1)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("long sliver: %d", code)
	}
}

// The state of a blob is that of its best registration.
func TestServerBlobStatus(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	c := b.serve(n)
	s := b.sample(101, 100) // deletable
	path := "/v1/blobs/" + s.Blob().String() + "/status"
	check := func(want string) {
		t.Helper()
		var v any
		if err := json.Unmarshal([]byte(want), &v); err != nil {
			t.Fatal(err)
		}
		if got := c.data("GET", path, nil, 200); !reflect.DeepEqual(got, v) {
			t.Errorf("status %v, want %v", got, v)
		}
	}
	check(`{"deletable":{"initialCertifiedEpoch":null,"deletableCounts":{"count_deletable_total":1,"count_deletable_certified":0}}}`)
	say := func(e chain.Event) {
		e.Blob, e.EndEpoch, e.Tx, e.Index = s.Blob(), 10, chain.TxID{31: 9}, 4
		b.ledger.say(e)
		b.sync(n)
	}
	say(chain.Event{Kind: chain.BlobCertified, Object: walrus.ObjectID{101}, Deletable: true, Epoch: 3})
	check(`{"deletable":{"initialCertifiedEpoch":3,"deletableCounts":{"count_deletable_total":1,"count_deletable_certified":1}}}`)
	say(chain.Event{Kind: chain.BlobRegistered, Object: walrus.ObjectID{1}})
	check(`{"permanent":{"endEpoch":10,"isCertified":false,"statusEvent":{"txDigest":"1111111111111111111111111111111A","eventSeq":"4"},` +
		`"deletableCounts":{"count_deletable_total":1,"count_deletable_certified":1},"initialCertifiedEpoch":3}}`)
	if got := c.data("GET", "/v1/blobs/"+walrus.BlobID{7}.String()+"/status", nil, 200); got != "nonexistent" {
		t.Errorf("status of a blob that nobody registered: %v", got)
	}
}

// A blob of which only a part has come when it is certified is one that lacks
// something, for others to heal; one whose slots came one by one is not.
func TestServerHalfUpload(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	c := b.serve(n)
	half, whole := b.sample(1, 5000), b.sample(2, 5000)
	for _, s := range []sample{half, whole} {
		raw, err := s.Metadata().MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		blob := "/v1/blobs/" + s.Blob().String()
		c.data("PUT", blob+"/metadata", raw, 201)
		slots := s.handover().Slots
		if s.object == half.object {
			slots = slots[1:]
		}
		for _, slot := range slots {
			c.data("PUT", blob+pairPath(slot), sliverBody(s, slot), 201)
		}
	}
	c.data("GET", "/v1/blobs/"+whole.Blob().String()+"/confirmation/permanent", nil, 200)
	b.certify(half)
	b.certify(whole)
	b.sync(n)
	b.lacking(n, half)
	slot := half.handover().Slots[0]
	c.data("PUT", "/v1/blobs/"+half.Blob().String()+pairPath(slot), sliverBody(half, slot), 201)
	c.data("GET", "/v1/blobs/"+half.Blob().String()+"/confirmation/permanent", nil, 200)
	b.lacking(n)
}
