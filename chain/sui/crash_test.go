package sui_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/localnet/rpc"
	"github.com/walfs/walfs/chain/sui"
)

// victim tells the process that TestKilledBetweenSteps starts what to do.
type victim struct {
	Profile sui.Profile
	Journal string
	Seed    byte
	KillAt  int // the step before which it ends itself with SIGKILL; 0 never
	Keys    int // nodes of the committee
}

const victimEnv = "WALFS_SUI_VICTIM"

func TestMain(m *testing.M) {
	if text := os.Getenv(victimEnv); text != "" {
		if err := beVictim(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beVictim stores two blobs, as a drive does that asks after a restart what
// became of the transactions that it had written down.
func beVictim(text string) (err error) {
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	journal, err := sui.OpenJournal(v.Journal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	owner, err := sui.WalletFromSeed([32]byte{v.Seed})
	if err != nil {
		return err
	}
	step := 0
	c, err := sui.New(context.Background(), sui.Config{Profile: v.Profile, Wallet: owner, Journal: journal, Stage: func(string) {
		if step++; step == v.KillAt {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // until it comes
		}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return v.store(context.Background(), c)
}

func (v *victim) batch() []chain.Registration {
	return []chain.Registration{registration(v.Seed), registration(v.Seed + 100)}
}

// store registers, certifies and extends. It repeats what it is not sure of.
func (v *victim) store(ctx context.Context, c *sui.Client) error {
	once := func(n byte, call func(tx chain.TxID) (*chain.Outcome, error)) (*chain.Outcome, error) {
		tx := chain.TxID{v.Seed, n}
		out, err := c.Outcome(ctx, tx)
		if errors.Is(err, chain.ErrNotExist) {
			return call(tx)
		}
		return out, err
	}
	registered, err := once(1, func(tx chain.TxID) (*chain.Outcome, error) { return c.Register(ctx, tx, v.batch()) })
	if err != nil {
		return err
	}
	state, err := c.State(ctx)
	if err != nil {
		return err
	}
	var certs []chain.Certification
	for i, r := range v.batch() {
		object := registered.Registered[i].Object
		msg := walrus.ConfirmationMessage(state.Epoch, r.Blob, walrus.Persistence{Deletable: true, Object: object})
		cert, err := signAll(state.Committee, v.Keys, msg)
		if err != nil {
			return err
		}
		certs = append(certs, chain.Certification{Object: object, Cert: cert})
	}
	if _, err := once(2, func(tx chain.TxID) (*chain.Outcome, error) { return c.Certify(ctx, tx, certs, nil) }); err != nil {
		return err
	}
	_, err = once(3, func(tx chain.TxID) (*chain.Outcome, error) {
		return c.Extend(ctx, tx, []chain.Extension{{Object: certs[0].Object, Epochs: 2}})
	})
	return err
}

// signAll signs with the keys of all nodes, which newTown makes.
func signAll(c walrus.Committee, nodes int, msg []byte) (walrus.Certificate, error) {
	cert := walrus.Certificate{Bitmap: make([]byte, (len(c.Members)+7)/8), Message: msg}
	keys := map[[48]byte]*bls.SecretKey{}
	for i := range nodes {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1), 30: 7})
		if err != nil {
			return cert, err
		}
		keys[key.PublicKey()] = key
	}
	var sigs [][96]byte
	for i := range c.Members {
		cert.Bitmap[i/8] |= 1 << (i % 8)
		sigs = append(sigs, keys[c.Members[i].PublicKey].Sign(msg))
	}
	var err error
	cert.Signature, err = bls.AggregateSignatures(sigs)
	return cert, err
}

// TestKilledBetweenSteps kills a process with SIGKILL before each step of
// each transaction. The next one goes on, and everything is there and paid once.
func TestKilledBetweenSteps(t *testing.T) {
	const nodes = 4
	w := newTown(t, nodes, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := rpc.Listen(ctx, "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- rpc.Serve(ctx, l, w.server.Handler()) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for kill := 1; ; kill++ {
		v := victim{Profile: w.profile(), Journal: t.TempDir(), Seed: byte(kill), KillAt: kill, Keys: nodes}
		v.Profile.Target = l.Addr().String()
		w.fund(byte(kill), wallet(t, v.Seed), chaintest.MinFunds)
		killed := run(t, v)
		v.KillAt = 0
		if run(t, v) {
			t.Fatal("killed although nobody did it")
		}
		w.checkStored(&v)
		if !killed {
			if kill < 12 {
				t.Errorf("only %d steps", kill-1)
			}
			return
		}
	}
}

// run starts a victim and reports whether it was killed.
func run(t *testing.T, v victim) bool {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), victimEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return true
	}
	if err != nil {
		t.Fatalf("kill at %s: %v: %s", strconv.Itoa(v.KillAt), err, out)
	}
	return false
}

// checkStored looks whether a victim's blobs are there, once, and paid once.
func (w *town) checkStored(v *victim) {
	w.t.Helper()
	ctx := context.Background()
	c := w.client(wallet(w.t, v.Seed))
	owned, err := c.Owned(ctx, chain.OwnedQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := c.State(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var price uint64
	extended := 0
	for _, o := range owned {
		if !o.Certified {
			w.t.Errorf("kill at step %d: object %s is not certified", v.Seed, o.Object)
		}
		if o.EndEpoch == state.Epoch+5 {
			extended++
		}
		price += state.RegisterPrice(o.StorageSize, uint32(o.EndEpoch-state.Epoch))
	}
	b, err := c.Balance(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if paid := chaintest.MinFunds - b.WALFrost; len(owned) != 2 || extended != 1 || paid != price {
		w.t.Errorf("kill at step %d: %d objects, %d extended, paid %d, they cost %d", v.Seed, len(owned), extended, paid, price)
	}
}
