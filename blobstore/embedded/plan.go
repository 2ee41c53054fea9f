package embedded

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
)

// plan is what network.json says.
type plan struct {
	Version int        `json:"version"`
	Seed    string     `json:"seed"` // hex, of the ledger's genesis
	Shards  int        `json:"shards"`
	Made    bool       `json:"made"` // whether the ledger has been made
	Nodes   []planNode `json:"nodes"`
	EpochMS int64      `json:"epoch_ms,omitempty"` // of the ledger's genesis; 0: its default
	// TakeOver is set by Adopt until the network is opened for the first time.
	TakeOver bool `json:"take_over,omitempty"`
	// Sum is the CRC32C of the rest, in hex; empty in files of earlier programs.
	Sum string `json:"sum,omitempty"`
}

// ErrPlan reports a network.json that is not what was written.
var ErrPlan = errors.New("network.json is damaged")

// sum returns the checksum of all fields but Sum.
func (p *plan) sum() (string, error) {
	rest := *p
	rest.Sum = ""
	raw, err := json.Marshal(rest)
	return fmt.Sprintf("%08x", crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli))), err
}

// planNode is one node. Dir may be relative to the network's folder.
type planNode struct {
	Name    string `json:"name"`
	Dir     string `json:"dir"`
	Address string `json:"address"`
	Stopped bool   `json:"stopped"`
}

const planVersion = 1

// firstPort is where the nodes' HTTP would start; without it the address is only a name.
// Source: the default port of Walrus storage nodes.
const firstPort = 9185

// loadPlan reads the plan, or writes one for a new network.
func loadPlan(cfg Config) (p plan, err error) {
	p, err = readPlan(cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p = newPlan(cfg)
		return p, p.save(cfg.Dir)
	case err != nil:
		return p, err
	case cfg.Nodes != 0 && cfg.Nodes != len(p.Nodes), cfg.Shards != 0 && cfg.Shards != p.Shards:
		return p, fmt.Errorf("%d nodes with %d shards: %w", len(p.Nodes), p.Shards, ErrSettings)
	}
	return p, nil
}

// readPlan reads the plan of the network in dir.
func readPlan(dir string) (p plan, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "network.json"))
	if err != nil {
		return p, err
	}
	if p, err = parsePlan(raw); err != nil {
		return p, fmt.Errorf("network.json: %w", err)
	}
	return p, nil
}

// parsePlan reads network.json and refuses what newPlan would not make: from
// the names and the seed follow folders.
func parsePlan(raw []byte) (p plan, err error) {
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if sum, err := p.sum(); err != nil || p.Sum != "" && p.Sum != sum {
		return p, errors.Join(fmt.Errorf("%w: checksum %.20q, want %s", ErrPlan, p.Sum, sum), err)
	}
	p.Sum = ""
	if p.Version != planVersion {
		return p, fmt.Errorf("version %d, want %d", p.Version, planVersion)
	}
	if seed, err := hex.DecodeString(p.Seed); err != nil || len(seed) != seedSize {
		return p, fmt.Errorf("seed is not %d bytes in hex", seedSize)
	}
	if _, err := walrus.NewGeometry(p.Shards); err != nil {
		return p, err
	}
	if len(p.Nodes) == 0 || len(p.Nodes) > p.Shards {
		return p, fmt.Errorf("%d nodes for %d shards", len(p.Nodes), p.Shards)
	}
	names := map[string]bool{}
	for _, n := range p.Nodes {
		if !filepath.IsLocal(n.Name) || filepath.Base(n.Name) != n.Name || n.Name == "." || n.Dir == "" || names[n.Name] {
			return p, fmt.Errorf("node %q in %q", n.Name, n.Dir)
		}
		names[n.Name] = true
	}
	return p, nil
}

// seedSize is the length of a genesis seed in bytes.
const seedSize = 32

func newPlan(cfg Config) plan {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails, by its documentation
	p := plan{Version: planVersion, Seed: hex.EncodeToString(seed[:]), Shards: cfg.Shards, EpochMS: cfg.Epoch.Milliseconds()}
	if p.Shards == 0 {
		p.Shards = DefaultShards
	}
	count := cfg.Nodes
	if count == 0 {
		count = DefaultNodes
	}
	for i := range count {
		name := fmt.Sprintf("node-%02d", i)
		dir := filepath.Join("nodes", name)
		if len(cfg.NodeDirs) > 0 {
			dir = nodeFolder(cfg.NodeDirs[i%len(cfg.NodeDirs)], name, p.Seed)
		}
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+i)
		if i < len(cfg.Addresses) {
			address = cfg.Addresses[i]
		}
		p.Nodes = append(p.Nodes, planNode{Name: name, Dir: dir, Address: address})
	}
	return p
}

// nodeFolder returns where a node lies on a disk. The seed tells apart the nodes
// of several networks on one disk.
func nodeFolder(disk, name, seed string) string { return filepath.Join(disk, name+"-"+seed[:8]) }

// save writes the plan so that it appears whole.
func (p *plan) save(dir string) error {
	summed := *p
	var err error
	if summed.Sum, err = p.sum(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(summed, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "network.json")
	if err := writeSynced(name+".tmp", append(raw, '\n'), os.O_TRUNC); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDir(dir)
}

// folder returns where a node lies.
func (p *planNode) folder(dir string) string {
	if filepath.IsAbs(p.Dir) {
		return p.Dir
	}
	return filepath.Join(dir, p.Dir)
}

// genesis makes the keys of all nodes, unless a crash left some, and the genesis that names them.
func (p *plan) genesis(dir string, house chain.Address) (*localnet.Genesis, error) {
	g := &localnet.Genesis{Shards: p.Shards, EpochDuration: time.Duration(p.EpochMS) * time.Millisecond}
	for i := range p.Nodes {
		node := &p.Nodes[i]
		folder := node.folder(dir)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
		key, err := makeSigningKey(folder)
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", node.Name, err)
		}
		network, err := makeNetworkKey(folder)
		if err != nil {
			return nil, fmt.Errorf("network key of %s: %w", node.Name, err)
		}
		member := localnet.GenesisNode{
			Name: node.Name, Address: node.Address, PublicKey: key.PublicKey(), NetworkKey: network,
		}
		member.ProofOfPossession = key.Sign(member.ProofMessage(house))
		g.Nodes = append(g.Nodes, member)
	}
	return g, nil
}

// seed returns what the ledger was made of.
func (p *plan) seed() (seed [seedSize]byte, err error) {
	raw, err := hex.DecodeString(p.Seed)
	if err != nil || copy(seed[:], raw) != len(seed) {
		return seed, errors.Join(fmt.Errorf("network.json: seed of %d bytes", len(raw)), err)
	}
	return seed, nil
}

// The first byte of a key file says what the key is for. Source: Walrus, key files of storage nodes.
const (
	blsKeyFlag     = 4
	networkKeyFlag = 2
)

// makeSigningKey reads the node's BLS key, or makes one.
func makeSigningKey(folder string) (*bls.SecretKey, error) {
	key, err := readSigningKey(folder)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = bls.NewSecretKey(rand.Reader); err != nil {
		return nil, err
	}
	secret := key.Bytes()
	return key, writeKey(filepath.Join(folder, "key"), blsKeyFlag, secret[:])
}

func readSigningKey(folder string) (*bls.SecretKey, error) {
	secret, err := readKey(filepath.Join(folder, "key"), blsKeyFlag)
	if err != nil {
		return nil, err
	}
	return bls.SecretKeyFromBytes(secret)
}

// makeNetworkKey reads the node's P-256 key, or makes one, and returns its compressed public key.
func makeNetworkKey(folder string) (public [33]byte, err error) {
	path := filepath.Join(folder, "network.key")
	secret, err := readKey(path, networkKeyFlag)
	var key *ecdh.PrivateKey
	switch {
	case err == nil:
		key, err = ecdh.P256().NewPrivateKey(secret[:])
	case errors.Is(err, fs.ErrNotExist):
		if key, err = ecdh.P256().GenerateKey(rand.Reader); err == nil {
			err = writeKey(path, networkKeyFlag, key.Bytes())
		}
	}
	if err != nil {
		return public, err
	}
	point := key.PublicKey().Bytes() // 04, x, y
	public[0] = 2 | point[64]&1
	copy(public[1:], point[1:33])
	return public, nil
}

func writeKey(path string, flag byte, secret []byte) error {
	if err := writeSynced(path+".tmp", encodeKey(flag, secret), os.O_TRUNC); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func readKey(path string, flag byte) (secret [32]byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return secret, err
	}
	secret, ok := decodeKey(text, flag)
	if !ok {
		return secret, fmt.Errorf("%s is not a key of kind %d", path, flag)
	}
	return secret, nil
}

// encodeKey returns the text of a key file.
func encodeKey(flag byte, secret []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(append([]byte{flag}, secret...)) + "\n")
}

// decodeKey is the inverse of encodeKey; white space around does not matter.
func decodeKey(text []byte, flag byte) (secret [32]byte, ok bool) {
	text = bytes.TrimSpace(text)
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || bytes.ContainsAny(text, "\r\n") || // which base64 passes over
		len(raw) != 1+len(secret) || raw[0] != flag {
		return secret, false
	}
	copy(secret[:], raw[1:])
	return secret, true
}

func writeSynced(path string, content []byte, flag int) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}
