// Package chaintest is the conformance suite of chain.Ledger: whatever
// implements the interface must pass it. The suite speaks to the ledger only
// through the interface; what else it needs, an Env brings.
package chaintest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// Env is a ledger under test.
type Env struct {
	Ledger chain.Ledger // acts for an owner with at least MinFunds
	Other  chain.Ledger // acts for another owner with exactly MinFunds
	Poor   chain.Ledger // acts for an owner without coins

	// Sign aggregates the signatures of members of the current committee over
	// a message into a certificate, right or wrong.
	Sign func(t *testing.T, members []int, msg []byte) walrus.Certificate
	// AdvanceEpoch changes to the next epoch; nil skips the tests that need it.
	AdvanceEpoch func(t *testing.T)
	// Restart closes the ledger and opens it again; nil skips the tests that need it.
	Restart func(t *testing.T) *Env
}

// MinFunds is what the owners of an Env must have, in FROST.
const MinFunds = 20 * chain.FrostPerWAL

// Run runs the suite. Each test starts a ledger of its own.
func Run(t *testing.T, start func(t *testing.T) *Env) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"State", testState},
		{"RegisterAndCertify", testRegisterAndCertify},
		{"Permanent", testPermanent},
		{"Price", testPrice},
		{"RepeatedCalls", testRepeatedCalls},
		{"ReusedID", testReusedID},
		{"AllOrNothing", testAllOrNothing},
		{"Batches", testBatches},
		{"NoFunds", testNoFunds},
		{"BadCertificates", testBadCertificates},
		{"OtherOwners", testOtherOwners},
		{"Attributes", testAttributes},
		{"Anchor", testAnchor},
		{"StaleAnchor", testStaleAnchor},
		{"AnchorRace", testAnchorRace},
		{"Extend", testExtend},
		{"DeleteAndReuse", testDeleteAndReuse},
		{"BadReservations", testBadReservations},
		{"Owned", testOwned},
		{"Events", testEvents},
		{"EventsOfBatch", testEventsOfBatch},
		{"Concurrent", testConcurrent},
		{"Cancelled", testCancelled},
		{"Epochs", testEpochs},
		{"Restart", testRestart},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.run(t, &suite{start(t), t}) })
	}
}

// suite is an Env with the helpers of the tests.
type suite struct {
	*Env
	t *testing.T
}

func (s *suite) ctx() context.Context { return s.t.Context() }

// tx returns a fresh transaction ID.
func tx() (id chain.TxID) {
	if _, err := rand.Read(id[:]); err != nil {
		panic(err) // the system has no randomness: no test can run
	}
	return id
}

// blob returns a registration of a blob that nobody registered yet.
func blob(size int64, deletable bool) chain.Registration {
	root := [32]byte(tx())
	return chain.Registration{Blob: walrus.ComputeBlobID(root, size), Root: root, Size: size, EpochsAhead: 3, Deletable: deletable}
}

func (s *suite) state() *chain.State {
	s.t.Helper()
	state, err := s.Ledger.State(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

func (s *suite) frost(l chain.Ledger) uint64 {
	s.t.Helper()
	b, err := l.Balance(s.ctx())
	if err != nil {
		s.t.Fatal(err)
	}
	return b.WALFrost
}

func (s *suite) register(batch ...chain.Registration) *chain.Outcome {
	s.t.Helper()
	out, err := s.Ledger.Register(s.ctx(), tx(), batch)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(out.Registered) != len(batch) {
		s.t.Fatalf("%d blobs registered, want %d", len(out.Registered), len(batch))
	}
	return out
}

// everyone returns the indices of all members of the committee.
func (s *suite) everyone() []int {
	var all []int
	for i := range s.state().Committee.Members {
		all = append(all, i)
	}
	return all
}

// message returns what nodes sign for a registered blob.
func (s *suite) message(r chain.Registration, object walrus.ObjectID) []byte {
	p := walrus.Persistence{Deletable: r.Deletable}
	if r.Deletable {
		p.Object = object
	}
	return walrus.ConfirmationMessage(s.state().Epoch, r.Blob, p)
}

// certification returns a good certificate for a registered blob.
func (s *suite) certification(r chain.Registration, object walrus.ObjectID) chain.Certification {
	return chain.Certification{Object: object, Cert: s.Sign(s.t, s.everyone(), s.message(r, object))}
}

func (s *suite) certify(r chain.Registration, object walrus.ObjectID) {
	s.t.Helper()
	if _, err := s.Ledger.Certify(s.ctx(), tx(), []chain.Certification{s.certification(r, object)}, nil); err != nil {
		s.t.Fatal(err)
	}
}

// object returns what Owned says of one blob object of the owner.
func (s *suite) object(id walrus.ObjectID) chain.OwnedObject {
	s.t.Helper()
	objects, err := s.Ledger.Owned(s.ctx(), chain.OwnedQuery{Objects: []walrus.ObjectID{id}})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(objects) != 1 || objects[0].Object != id {
		s.t.Fatalf("owned: got %v, want object %s", objects, id)
	}
	return objects[0]
}

// wantErr fails the test unless err is what is wanted.
func (s *suite) wantErr(what string, err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// wantAbort fails the test unless err is an abort with a code of a module.
func (s *suite) wantAbort(what string, err error, module string, code uint64) {
	s.t.Helper()
	var abort *chain.AbortError
	if !errors.As(err, &abort) || abort.Module != module || abort.Code != code {
		s.t.Errorf("%s: got %v, want an abort with %s %d", what, err, module, code)
	}
}
