package walrus_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
)

// committeeOf makes a committee whose members hold the given numbers of shards.
func committeeOf(epoch walrus.Epoch, keys [][48]byte, weights ...int) *walrus.Committee {
	c := &walrus.Committee{Epoch: epoch}
	for i, w := range weights {
		m := walrus.Member{PublicKey: keys[i]}
		for range w {
			m.Shards = append(m.Shards, uint16(c.Shards))
			c.Shards++
		}
		c.Members = append(c.Members, m)
	}
	return c
}

// TestLedgerCertificates checks certificates that the contracts would accept,
// or refuse for the weight of their signers.
func TestLedgerCertificates(t *testing.T) {
	v := read[ledger](t, "ledger.json").BLS
	var keys [][48]byte
	var weights []int
	for _, n := range v.Nodes {
		keys = append(keys, [48]byte(unhex(t, n.PublicKey)))
		weights = append(weights, n.Weight)
	}
	committee := committeeOf(v.Epoch, keys, weights...)
	for _, want := range v.Certificates {
		same(t, "shards", committee.Shards, want.Shards)
		cert := &walrus.Certificate{
			Signature: [96]byte(unhex(t, want.Signature)),
			Bitmap:    unhex(t, want.Bitmap),
			Message:   unhex(t, want.Message),
		}
		if got := cert.Signers(); !slices.Equal(got, want.Signers) {
			t.Errorf("signers: got %v, want %v", got, want.Signers)
		}
		var confirmations []walrus.Confirmation
		weight := 0
		for i, member := range want.Signers {
			c := walrus.Confirmation{Member: member, Message: cert.Message, Signature: [96]byte(unhex(t, want.Signatures[i]))}
			if err := c.Verify(committee); err != nil {
				t.Error(err)
			}
			confirmations = append(confirmations, c)
			weight += committee.Weight(member)
		}
		same(t, "weight", weight, want.Weight)
		same(t, "quorum", committee.Geometry().IsQuorum(weight), want.Quorum)
		same(t, "one honest", committee.Geometry().IsOneHonest(weight), want.OneCorrect)
		_, _, p, err := walrus.ParseConfirmation(cert.Message)
		same(t, "deletable", p.Deletable, want.Deletable)
		same(t, "message", err, nil)

		verified := cert.Verify(committee)
		made, aggregated := walrus.Aggregate(committee, confirmations)
		if !want.Quorum {
			wantErr(t, "verify", verified, walrus.ErrQuorum)
			wantErr(t, "aggregate", aggregated, walrus.ErrQuorum)
			continue
		}
		same(t, "verify", verified, nil)
		if aggregated != nil || !reflect.DeepEqual(made, cert) {
			t.Errorf("aggregate: got %+v, %v, want %+v", made, aggregated, cert)
		}
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestNodeCertificates(t *testing.T) {
	v := read[messages](t, "messages.json")
	var keys [][48]byte
	for _, k := range v.BLS.Keys {
		keys = append(keys, [48]byte(unhex(t, k.PublicHex)))
	}
	for i, want := range v.Certificates {
		msg := unhex(t, want.MessageHex)
		epoch, _, _, err := walrus.ParseConfirmation(msg)
		if err != nil {
			t.Fatal(err)
		}
		weights := []int{1, 1, 1, 1, 1}
		for _, s := range want.Signers {
			weights[s] = 4
		}
		committee := committeeOf(epoch, keys, weights...)
		var confirmations []walrus.Confirmation
		for _, s := range slices.Backward(want.Signers) {
			signature := [96]byte(unhex(t, v.BLS.Signatures[i].SignaturesHex[s]))
			confirmations = append(confirmations, walrus.Confirmation{Member: s, Message: msg, Signature: signature})
		}
		confirmations = append(confirmations, confirmations[0]) // counts once
		cert, err := walrus.Aggregate(committee, confirmations)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "bitmap", hex.EncodeToString(cert.Bitmap), want.SignersBitmapHex)
		same(t, "signature", hex.EncodeToString(cert.Signature[:]), want.AggregateHex)
		same(t, "verify", cert.Verify(committee), nil)
	}
}

func TestBitmaps(t *testing.T) {
	for _, v := range read[messages](t, "messages.json").Bitmaps {
		cert := walrus.Certificate{Bitmap: unhex(t, v.Hex)}
		if got := cert.Signers(); !slices.Equal(got, v.Signers) {
			t.Errorf("%s: got %v, want %v", v.Hex, got, v.Signers)
		}
	}
}

// signers makes nine members with keys and a certificate of the first six, who
// hold 7 of 10 shards.
func signers(t *testing.T) (*walrus.Committee, []*bls.SecretKey, []walrus.Confirmation, *walrus.Certificate) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{1})
	var secrets []*bls.SecretKey
	var keys [][48]byte
	for range 9 {
		k, err := bls.NewSecretKey(rng)
		if err != nil {
			t.Fatal(err)
		}
		secrets, keys = append(secrets, k), append(keys, k.PublicKey())
	}
	committee := committeeOf(5, keys, 2, 1, 1, 1, 1, 1, 1, 1, 1)
	msg := walrus.ConfirmationMessage(5, walrus.BlobID{9}, walrus.Persistence{})
	var confirmations []walrus.Confirmation
	for i := range 6 {
		confirmations = append(confirmations, walrus.Confirmation{Member: i, Message: msg, Signature: secrets[i].Sign(msg)})
	}
	cert, err := walrus.Aggregate(committee, confirmations)
	if err != nil {
		t.Fatal(err)
	}
	return committee, secrets, confirmations, cert
}

func TestCertificateVerify(t *testing.T) {
	committee, _, confirmations, good := signers(t)
	same(t, "verify", good.Verify(committee), nil)
	same(t, "bitmap", hex.EncodeToString(good.Bitmap), "3f00")

	tests := map[string]struct {
		spoil func(c *walrus.Certificate)
		want  error
	}{
		"short bitmap":     {func(c *walrus.Certificate) { c.Bitmap = c.Bitmap[:1] }, nil},
		"long bitmap":      {func(c *walrus.Certificate) { c.Bitmap = append(c.Bitmap, 0) }, walrus.ErrBitmap},
		"stray bit":        {func(c *walrus.Certificate) { c.Bitmap[1] |= 2 }, walrus.ErrBitmap},
		"last bit":         {func(c *walrus.Certificate) { c.Bitmap[1] |= 0x80 }, walrus.ErrBitmap},
		"no bitmap":        {func(c *walrus.Certificate) { c.Bitmap = nil }, walrus.ErrQuorum},
		"one less":         {func(c *walrus.Certificate) { c.Bitmap[0] = 0x1f }, walrus.ErrQuorum},
		"one more":         {func(c *walrus.Certificate) { c.Bitmap[0] = 0x7f }, walrus.ErrSignature},
		"another":          {func(c *walrus.Certificate) { c.Bitmap[0] = 0x5f }, walrus.ErrSignature},
		"message":          {func(c *walrus.Certificate) { c.Message[20] ^= 1 }, walrus.ErrSignature},
		"epoch":            {func(c *walrus.Certificate) { c.Message[3] = 6 }, walrus.ErrEpoch},
		"no message":       {func(c *walrus.Certificate) { c.Message = nil }, walrus.ErrMessage},
		"version":          {func(c *walrus.Certificate) { c.Message[1] = 1 }, walrus.ErrMessage},
		"no signature":     {func(c *walrus.Certificate) { c.Signature = [96]byte{} }, walrus.ErrSignature},
		"infinity":         {func(c *walrus.Certificate) { c.Signature = [96]byte{0: 0xc0} }, walrus.ErrSignature},
		"single signature": {func(c *walrus.Certificate) { c.Signature = confirmations[0].Signature }, walrus.ErrSignature},
	}
	for name, test := range tests {
		c := &walrus.Certificate{Signature: good.Signature, Bitmap: bytes.Clone(good.Bitmap), Message: bytes.Clone(good.Message)}
		test.spoil(c)
		wantErr(t, name, c.Verify(committee), test.want)
	}

	missing := *committee
	missing.Members = missing.Members[:5]
	wantErr(t, "smaller committee", good.Verify(&missing), walrus.ErrBitmap)
	wantErr(t, "empty committee", good.Verify(&walrus.Committee{}), walrus.ErrBitmap)
	wantErr(t, "nobody for nobody", (&walrus.Certificate{}).Verify(&walrus.Committee{}), walrus.ErrQuorum)
}

func TestConfirmationVerify(t *testing.T) {
	committee, secrets, confirmations, _ := signers(t)
	good := confirmations[2]
	same(t, "verify", good.Verify(committee), nil)
	old := walrus.ConfirmationMessage(4, walrus.BlobID{9}, walrus.Persistence{})
	tests := map[string]struct {
		c    walrus.Confirmation
		want error
	}{
		"member":   {walrus.Confirmation{Member: 3, Message: good.Message, Signature: good.Signature}, walrus.ErrSignature},
		"negative": {walrus.Confirmation{Member: -1, Message: good.Message, Signature: good.Signature}, walrus.ErrBitmap},
		"beyond":   {walrus.Confirmation{Member: 9, Message: good.Message, Signature: good.Signature}, walrus.ErrBitmap},
		"message":  {walrus.Confirmation{Member: 2, Signature: good.Signature}, walrus.ErrMessage},
		"epoch":    {walrus.Confirmation{Member: 2, Message: old, Signature: secrets[2].Sign(old)}, walrus.ErrEpoch},
		"zero":     {walrus.Confirmation{Member: 2, Message: good.Message}, walrus.ErrSignature},
	}
	for name, test := range tests {
		wantErr(t, name, test.c.Verify(committee), test.want)
	}
}

func TestAggregateRefuses(t *testing.T) {
	committee, secrets, confirmations, _ := signers(t)
	edit := func(at int, change func(c *walrus.Confirmation)) []walrus.Confirmation {
		all := slices.Clone(confirmations)
		change(&all[at])
		return all
	}
	other := walrus.ConfirmationMessage(5, walrus.BlobID{8}, walrus.Persistence{})
	tests := map[string]struct {
		confirmations []walrus.Confirmation
		want          error
	}{
		"none":      {nil, walrus.ErrQuorum},
		"few":       {confirmations[1:], walrus.ErrQuorum},
		"twice":     {edit(5, func(c *walrus.Confirmation) { *c = confirmations[1] }), walrus.ErrQuorum},
		"message":   {edit(3, func(c *walrus.Confirmation) { c.Message, c.Signature = other, secrets[3].Sign(other) }), walrus.ErrMessage},
		"member":    {edit(3, func(c *walrus.Confirmation) { c.Member = 9 }), walrus.ErrBitmap},
		"negative":  {edit(3, func(c *walrus.Confirmation) { c.Member = -1 }), walrus.ErrBitmap},
		"signature": {edit(3, func(c *walrus.Confirmation) { c.Signature = [96]byte{1} }), walrus.ErrSignature},
	}
	for name, test := range tests {
		_, err := walrus.Aggregate(committee, test.confirmations)
		wantErr(t, name, err, test.want)
	}
}

func TestCertificateBinary(t *testing.T) {
	_, _, _, cert := signers(t)
	for _, want := range []*walrus.Certificate{cert, {}, {Message: []byte{1}}, {Bitmap: []byte{1, 2}}} {
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got walrus.Certificate
		if err := got.UnmarshalBinary(b); err != nil || !bytes.Equal(got.Bitmap, want.Bitmap) ||
			!bytes.Equal(got.Message, want.Message) || got.Signature != want.Signature {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		before := got
		for i := range b {
			wantErr(t, "cut", got.UnmarshalBinary(b[:i]), walrus.ErrCertificate)
		}
		wantErr(t, "long", got.UnmarshalBinary(append(b, 0)), walrus.ErrCertificate)
		b[0]++
		wantErr(t, "version", got.UnmarshalBinary(b), walrus.ErrCertificate)
		if !reflect.DeepEqual(got, before) {
			t.Error("a refused form changes the certificate")
		}
	}
	if _, err := (&walrus.Certificate{Message: make([]byte, 1<<16)}).MarshalBinary(); err == nil {
		t.Error("a message of 64 KiB passes")
	}
}

func FuzzUnmarshalCertificate(f *testing.F) {
	b, err := (&walrus.Certificate{Bitmap: []byte{0x3f}, Message: walrus.InvalidBlobMessage(1, walrus.BlobID{})}).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var c walrus.Certificate
		if c.UnmarshalBinary(b) != nil {
			return
		}
		if again, err := c.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x, %v", b, again, err)
		}
	})
}

func TestHolder(t *testing.T) {
	c := &walrus.Committee{Shards: 10, Members: []walrus.Member{{Shards: []uint16{9, 0, 4}}, {}, {Shards: []uint16{1, 2, 3, 5, 6, 8}}}}
	blob := walrus.BlobID{31: 1} // rotation 1
	for pair, want := range []int{2, 2, 2, 0, 2, 2, -1, 2, 0, 0} {
		same(t, "holder", c.Holder(blob, pair), want)
	}
	for _, pair := range []int{-1, 10, 65536} {
		same(t, "holder of no pair", c.Holder(blob, pair), -1)
	}
	for member, want := range map[int]int{0: 3, 1: 0, 2: 6, 3: 0, -1: 0} {
		same(t, "weight", c.Weight(member), want)
	}
}
