package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/localnet"
)

// What a node's folder holds besides the node, so that the folders that survive
// are enough to go on elsewhere: a copy of the ledger's log, and in keptFolder
// what the drive's home has.
const (
	folderLock = "lock" // held by the process that has the node up
	keptFolder = "drive"
	factsFile  = "network.json"
	nodeKeys   = "nodekeys.sealed" // the keys of all nodes, sealed with the drive key
)

// facts is what network.json in keptFolder says.
type facts struct {
	Version int        `json:"version"`
	Seed    string     `json:"seed"`
	Shards  int        `json:"shards"`
	Node    string     `json:"node"` // whose folder this is
	Nodes   []planNode `json:"nodes"`
}

// readFacts reads the facts in the folder of a node.
func readFacts(folder string) (f facts, err error) {
	path := filepath.Join(folder, keptFolder, factsFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.Version != planVersion {
		return f, fmt.Errorf("%s has version %d, want %d", path, f.Version, planVersion)
	}
	return f, nil
}

// lockFolder takes the lock of a node's folder. Two networks that know the same
// folder cannot both have its node up.
func lockFolder(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, folderLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: %w", folder, ErrLocked)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// claim makes a node's folder this network's: it is locked, and its copy of the
// log brought up to date.
func (n *Network) claim(folder string) (*claimed, error) {
	lock, err := lockFolder(folder)
	if err != nil {
		return nil, err
	}
	mark, err := lock.Stat()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	c := &claimed{folder: folder, mark: mark, release: func() {
		n.ledger.Detach(folder)
		if err := lock.Close(); err != nil {
			n.cfg.Log.Warn("close lock", "dir", folder, "err", err)
		}
	}}
	err = n.ledger.Attach(folder)
	if errors.Is(err, localnet.ErrTakenOver) || errors.Is(err, localnet.ErrFork) {
		c.release()
		return nil, err
	}
	if err != nil {
		n.cfg.Log.Warn("node has no whole copy of the ledger's log", "dir", folder, "err", err)
	}
	return c, nil
}

// keep brings what a node's folder holds of network and drive up to date.
func (n *Network) keep(name, folder string) error {
	n.mu.Lock()
	f := facts{Version: planVersion, Seed: n.plan.Seed, Shards: n.plan.Shards, Node: name, Nodes: slices.Clone(n.plan.Nodes)}
	n.mu.Unlock()
	for i := range f.Nodes {
		f.Nodes[i].Dir, f.Nodes[i].Stopped = f.Nodes[i].folder(n.cfg.Dir), false
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Join(folder, keptFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := keepFile(filepath.Join(dir, factsFile), append(text, '\n')); err != nil {
		return err
	}
	if err := n.keepNodeKeys(filepath.Join(dir, nodeKeys)); err != nil {
		return err
	}
	if n.cfg.Files == nil {
		return nil
	}
	if may, err := mayKeep(n.cfg.Dir, folder, n.cfg.Mine); err != nil || !may {
		return err
	}
	files, err := n.cfg.Files()
	if err != nil {
		return err
	}
	return keepFiles(folder, files)
}

// mayKeep reports whether what a node's folder keeps of a drive is to be as it is here.
func mayKeep(dir, folder string, mine func([]byte) bool) (bool, error) {
	if mine == nil || !holdsFiles(filepath.Join(folder, keptFolder)) {
		return true, nil
	}
	mark, err := markFor(dir, folder)
	return err == nil && mine(mark), err
}

// Size returns how many nodes and shards the network in dir was made with.
func Size(dir string) (nodes, shards int, err error) {
	p, err := readPlan(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("size of the network: %w", err)
	}
	return len(p.Nodes), p.Shards, nil
}

// Keep brings the copies of a drive's files in all node folders up to date that
// the network in dir has and that are within reach, whether it is open or not. Mine is as in Config.
func Keep(dir string, files map[string][]byte, mine func(mark []byte) bool) error {
	p, err := readPlan(dir)
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	var errs []error
	for i := range p.Nodes {
		folder := p.Nodes[i].folder(dir)
		if f, err := readFacts(folder); err != nil || f.Seed != p.Seed {
			continue // not here, or not yet written
		}
		may, err := mayKeep(dir, folder, mine)
		if err == nil && may {
			err = keepFiles(folder, files)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// holdsFiles reports whether dir has files of a drive beside those of the network, or cannot be read.
func holdsFiles(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || slices.ContainsFunc(entries, ofDrive)
}

// ofDrive reports whether a file that a node's folder keeps is the drive's, not the network's.
func ofDrive(e os.DirEntry) bool {
	return e.Name() != factsFile && e.Name() != nodeKeys && !strings.HasSuffix(e.Name(), ".tmp")
}

// keepFiles makes the files of a drive that a node's folder holds these and no others.
func keepFiles(folder string, files map[string][]byte) error {
	dir := filepath.Join(folder, keptFolder)
	for name, content := range files {
		if err := keepFile(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	gone := false
	for _, e := range entries {
		if _, ours := files[e.Name()]; ours || !ofDrive(e) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
		gone = true
	}
	if !gone {
		return nil
	}
	return syncDir(dir)
}

// keepFile writes a small file whole, unless it is there as it should be.
func keepFile(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Dir(path)))
}

// nodeSecrets are key files of nodes, by node and file.
type nodeSecrets map[string]map[string][]byte

// secrets reads the copies of the nodes' keys.
func (n *Network) secrets() (nodeSecrets, error) {
	all := make(nodeSecrets)
	for i := range n.plan.Nodes {
		name := n.plan.Nodes[i].Name
		all[name] = make(map[string][]byte)
		for _, file := range keyFiles {
			text, err := os.ReadFile(filepath.Join(n.keysOf(name), file))
			if err != nil {
				return nil, err
			}
			all[name][file] = text
		}
	}
	return all, nil
}

// keepNodeKeys seals the keys of all nodes into a file, unless it holds them already.
func (n *Network) keepNodeKeys(path string) error {
	if n.cfg.Keys == nil {
		return nil
	}
	all, err := n.secrets()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(all)
	if err != nil {
		return err
	}
	defer clear(plain)
	if old, err := os.ReadFile(path); err == nil {
		if was, err := unseal(n.cfg.Keys, old); err == nil && bytes.Equal(was, plain) {
			return nil
		}
	}
	sealed, err := n.cfg.Keys.Seal(plain, seal.Options{})
	if err != nil {
		return err
	}
	return keepFile(path, sealed)
}

// unseal opens what Keyring.Seal made of a small text.
func unseal(keys *seal.Keyring, sealed []byte) ([]byte, error) {
	h, err := seal.ParseHeader(sealed[:min(len(sealed), seal.HeaderSize)])
	if err != nil {
		return nil, err
	}
	o, err := keys.Open(h, int64(len(sealed)))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, o.PlainSize())
	source := func(_ context.Context, p []byte, off int64) (int, error) {
		return bytes.NewReader(sealed).ReadAt(p, off)
	}
	if _, err := o.ReadAt(context.Background(), source, plain, 0); err != nil {
		return nil, err
	}
	return plain, nil
}

// readSecrets opens the sealed keys in a node's folder.
func readSecrets(folder string, keys *seal.Keyring) (all nodeSecrets, err error) {
	path := filepath.Join(folder, keptFolder, nodeKeys)
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	plain, err := unseal(keys, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// absent reports whether an error says that a file is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }
