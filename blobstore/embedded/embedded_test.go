package embedded_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
)

func start(t *testing.T, cfg embedded.Config) *embedded.Network {
	t.Helper()
	n, err := embedded.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// rich returns the ledger as somebody with money sees it.
func rich(t *testing.T, n *embedded.Network) chain.Ledger {
	t.Helper()
	wallet := someWallet(t)
	if err := n.Faucet(t.Context(), chain.TxID{9}, wallet.Address()); err != nil {
		t.Fatal(err)
	}
	l, err := n.Owner(t.Context(), wallet, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func client(t *testing.T, n *embedded.Network) *blobstore.Client {
	t.Helper()
	c, err := blobstore.New(blobstore.Config{Ledger: rich(t, n), Dial: n.Dial, Codec: n.Codec(), ReadTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c *blobstore.Client, text string) walrus.BlobID {
	t.Helper()
	r, err := c.Put(t.Context(), []byte(text), blobstore.PutOptions{Epochs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r.Blob
}

// everywhere gives the nodes what a Put has not: on a busy machine some are late, and it ends without them.
func everywhere(t *testing.T, n *embedded.Network, c *blobstore.Client, blob walrus.BlobID) {
	t.Helper()
	n.Sync(t.Context())
	for _, up := range n.Up() {
		if _, err := c.Mend(t.Context(), up, blob); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, c *blobstore.Client, blob walrus.BlobID, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if _, err := c.ReadAt(t.Context(), blob, p, 0); err != nil || string(p) != want {
		t.Errorf("read %q, %v, want %q", p, err, want)
	}
}

func TestDefaults(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir()})
	nodes := n.Nodes()
	if len(nodes) != embedded.DefaultNodes {
		t.Fatalf("%d nodes", len(nodes))
	}
	total := 0
	for _, s := range nodes {
		if s.State != "up" || s.Shards != 10 || s.Reason != "" {
			t.Errorf("%+v", s)
		}
		total += s.Shards
	}
	if total != embedded.DefaultShards {
		t.Errorf("%d shards", total)
	}
}

// What was put is there after the network was closed and opened, and so is
// which node was stopped.
func TestReopen(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10}
	n := start(t, cfg)
	c := client(t, n)
	blob := put(t, c, "hello")
	everywhere(t, n, c, blob)
	if err := n.Stop("node-02"); err != nil {
		t.Fatal(err)
	}
	read(t, c, blob, "hello")
	c.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, embedded.Config{Dir: cfg.Dir}) // remembers its size
	for i, s := range n.Nodes() {
		if down := s.State == "down"; down != (i == 2) || down && s.Reason != "stopped" {
			t.Errorf("%+v", s)
		}
	}
	read(t, client(t, n), blob, "hello")
	if err := n.Start(t.Context(), "node-02"); err != nil {
		t.Fatal(err)
	}
	if s := n.Nodes()[2]; s.State != "up" || s.Blobs != 1 {
		t.Errorf("%+v", s)
	}
	n.Close()
	n = start(t, cfg)
	if s := n.Nodes()[2]; s.State != "up" {
		t.Errorf("%+v", s)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10}
	n := start(t, cfg)
	if _, err := embedded.Open(t.Context(), cfg); !errors.Is(err, embedded.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	read(t, client(t, n), put(t, client(t, n), "still works"), "still works")
	n.Close()
	start(t, cfg)
}

func TestSettingsDoNotChange(t *testing.T) {
	dir := t.TempDir()
	start(t, embedded.Config{Dir: dir, Nodes: 4, Shards: 10}).Close()
	for _, cfg := range []embedded.Config{{Dir: dir, Nodes: 5}, {Dir: dir, Shards: 20}} {
		if _, err := embedded.Open(t.Context(), cfg); !errors.Is(err, embedded.ErrSettings) {
			t.Errorf("open with %+v: %v, want ErrSettings", cfg, err)
		}
	}
}

// Two networks share two disks. One disk is lost: its nodes are down and say
// why, and no empty node takes the place of one.
func TestNodesOnSeveralDisks(t *testing.T) {
	disks := []string{t.TempDir(), t.TempDir()}
	other := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10, NodeDirs: disks})
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 10, Shards: 10, NodeDirs: disks}
	n := start(t, cfg)
	c := client(t, n)
	blob := put(t, c, "on two disks")
	everywhere(t, n, c, blob)
	for i, s := range n.Nodes() {
		if filepath.Dir(s.Dir) != disks[i%2] || s.Blobs != 1 {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range other.Nodes() {
		if s.Blobs != 0 {
			t.Errorf("node of another network: %+v", s)
		}
	}
	n.Close()
	if err := os.RemoveAll(disks[1]); err != nil {
		t.Fatal(err)
	}
	n = start(t, cfg)
	for i, s := range n.Nodes() {
		lost := i%2 == 1
		if lost != (s.State == "down") || lost && !strings.Contains(s.Reason, "key") {
			t.Errorf("%+v", s)
		}
	}
	read(t, client(t, n), blob, "on two disks")
	if _, err := os.Stat(disks[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made where a disk was: %v", err)
	}
	if _, err := client(t, n).Put(t.Context(), []byte("x"), blobstore.PutOptions{}); err == nil {
		t.Error("half of the nodes took a blob for all")
	}
}

func TestKeysAreSecret(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
	seen := map[string]bool{}
	for _, s := range n.Nodes() {
		for name, flag := range map[string]byte{"key": 4, "network.key": 2} {
			path := filepath.Join(s.Dir, name)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%s: %v, %v", path, info.Mode(), err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
			if err != nil || len(raw) != 33 || raw[0] != flag || seen[string(raw)] {
				t.Errorf("%s: %d bytes, %v", path, len(raw), err)
			}
			seen[string(raw)] = true
		}
	}
}

// A network that was made does not make itself a new ledger or new keys.
func TestLostParts(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10}
	n := start(t, cfg)
	key := filepath.Join(n.Nodes()[1].Dir, "key")
	n.Close()
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	n = start(t, cfg)
	if s := n.Nodes()[1]; s.State != "down" {
		t.Errorf("node without a key: %+v", s)
	}
	n.Close()
	lost := []string{filepath.Join(cfg.Dir, "ledger")}
	for _, s := range n.Nodes() {
		lost = append(lost, filepath.Join(s.Dir, localnet.LogFile))
	}
	for _, path := range lost {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := embedded.Open(t.Context(), cfg); err == nil {
		n.Close()
		t.Error("a network without its ledger opened")
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "network.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := embedded.Open(t.Context(), cfg); err == nil {
		n.Close()
		t.Error("a network without its plan opened")
	}
}

// The making of a network is cut after its plan was written, after some keys,
// and after the ledger: it goes on where it was.
func TestInterruptedMaking(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10}
	n := start(t, cfg)
	nodes := n.Nodes()
	n.Close()
	plan := filepath.Join(cfg.Dir, "network.json")
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	unmade := strings.Replace(string(text), `"made": true`, `"made": false`, 1)
	if unmade == string(text) {
		t.Fatalf("plan %s", text)
	}
	unmade = regexp.MustCompile(`,\s*"sum": "[0-9a-f]*"`).ReplaceAllString(unmade, "")
	for name, lost := range map[string][]string{
		"after the ledger": nil,
		"after two keys":   {"ledger", nodes[2].Dir, nodes[3].Dir},
		"after the plan":   {"ledger", "nodes"},
	} {
		if err := os.WriteFile(plan, []byte(unmade), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, s := range nodes { // which no node of a network in the making has
			lost = append(lost, filepath.Join(s.Dir, localnet.LogFile))
		}
		for _, path := range lost {
			if !filepath.IsAbs(path) {
				path = filepath.Join(cfg.Dir, path)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		n := start(t, cfg)
		c := client(t, n)
		read(t, c, put(t, c, name), name)
		c.Close()
		n.Close()
	}
}

func TestUnknownNode(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
	_, dial := n.Dial(walrus.Member{Name: "node-99"})
	for i, err := range []error{n.Stop("x"), n.Start(t.Context(), "x"), n.Inject("x", embedded.Down), dial} {
		if !errors.Is(err, embedded.ErrUnknown) {
			t.Errorf("call %d: %v, want ErrUnknown", i, err)
		}
	}
}

// Run lets the nodes drop what the owner deleted, without being asked to store.
func TestRunFollowsTheLedger(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
	c := client(t, n)
	r, err := c.Put(t.Context(), []byte("short-lived"), blobstore.PutOptions{Deletable: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rich(t, n).Delete(t.Context(), chain.TxID{4}, []walrus.ObjectID{r.Object}); err != nil {
		t.Fatal(err)
	}
	n.Sync(t.Context())
	for _, s := range n.Nodes() {
		if s.Blobs != 0 || s.Bytes != 0 {
			t.Errorf("%+v", s)
		}
	}
	if _, err := c.ReadAt(t.Context(), r.Blob, make([]byte, 3), 0); err == nil {
		t.Error("deleted blob was read")
	}
}

func TestFaultsHeedTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
		call, err := n.Dial(walrus.Member{Name: "node-00"})
		if err != nil {
			t.Fatal(err)
		}
		for fault, want := range map[embedded.Fault]error{
			embedded.Hang: context.DeadlineExceeded, embedded.Slow: context.DeadlineExceeded,
			embedded.Down: node.ErrUnavailable, 0: node.ErrNotFound,
		} {
			if err := n.Inject("node-00", fault); err != nil {
				t.Fatal(err)
			}
			limit := time.Minute
			if errors.Is(want, context.DeadlineExceeded) {
				limit = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			_, errMetadata := call.Metadata(ctx, walrus.BlobID{})
			_, errSliver := call.Sliver(ctx, walrus.SliverID{})
			cancel()
			if !errors.Is(errMetadata, want) || !errors.Is(errSliver, want) {
				t.Errorf("fault %b: %v, %v, want %v", fault, errMetadata, errSliver, want)
			}
		}
	})
}

func TestRunEnds(t *testing.T) {
	n := start(t, embedded.Config{Dir: t.TempDir(), Nodes: 4, Shards: 10})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	c := client(t, n)
	read(t, c, put(t, c, "meanwhile"), "meanwhile")
	cancel()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Run goes on without its context")
	}
}
