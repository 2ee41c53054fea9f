package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/localnet"
)

// keyFiles are the names of a node's keys, in its folder and in the copy.
var keyFiles = []string{"key", "network.key"}

// ownFiles are the names of what a network puts into a node's folder before it opens the node.
var ownFiles = append([]string{folderLock, localnet.LogFile, localnet.LogFile + ".tmp"}, keyFiles...)

func (n *Network) keysOf(name string) string { return filepath.Join(n.cfg.Dir, "keys", name) }

// keepKeys copies the keys of all nodes that are there into the network's
// folder, so that a node whose folder is lost can be replaced: the ledger knows
// it by its key.
func (n *Network) keepKeys() error {
	var errs []error
	for i := range n.plan.Nodes {
		planned := &n.plan.Nodes[i]
		errs = append(errs, copyKeys(planned.folder(n.cfg.Dir), n.keysOf(planned.Name)))
	}
	return errors.Join(errs...)
}

// copyKeys copies the keys that are in one folder and not in the other.
func copyKeys(from, to string) error {
	for _, name := range keyFiles {
		if _, err := os.Lstat(filepath.Join(to, name)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		path := filepath.Join(to, name)
		if err := writeSynced(path+".tmp", text, os.O_TRUNC); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
		for _, dir := range []string{to, filepath.Dir(to), filepath.Dir(filepath.Dir(to))} {
			if err := syncDir(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// The errors of Replace.
var (
	ErrUp       = errors.New("node is up")
	ErrKeyLost  = errors.New("key of the node is lost")
	ErrNotEmpty = errors.New("folder is not empty")
)

// Replace gives a node that is down a folder again, with its key, and takes it
// up. The folder is a new one in dir, which must be there, or, with dir empty,
// the one it had, in which nothing is removed. What the node lacks then is for
// a healer to fill.
func (n *Network) Replace(ctx context.Context, name, dir string) error {
	m, i, err := n.find(name)
	if err != nil {
		return fmt.Errorf("replace node: %w", err)
	}
	if err := n.replace(ctx, m, i, dir); err != nil {
		return fmt.Errorf("replace node %s: %w", name, err)
	}
	return nil
}

func (n *Network) replace(ctx context.Context, m *member, i int, dir string) error {
	n.lose(m)
	m.mu.Lock()
	up, folder := m.node != nil, m.folder
	m.mu.Unlock()
	if up {
		return ErrUp
	}
	if err := n.checkKey(m.name); err != nil {
		return err
	}
	if dir != "" {
		if _, err := os.Stat(dir); err != nil { // perhaps a disk that is not mounted
			return err
		}
		folder = nodeFolder(dir, m.name, n.plan.Seed)
		if err := vacant(folder); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := copyKeys(n.keysOf(m.name), folder); err != nil {
		return err
	}
	if err := n.move(i, folder, dir != ""); err != nil {
		return err
	}
	m.mu.Lock()
	m.folder = folder
	m.mu.Unlock()
	return n.open(ctx, m)
}

// move writes down where a node lies, and that it is not stopped.
func (n *Network) move(i int, folder string, moved bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.plan.Nodes[i]
	if moved {
		n.plan.Nodes[i].Dir = folder
	}
	n.plan.Nodes[i].Stopped = false
	err := n.plan.save(n.cfg.Dir)
	if err != nil {
		n.plan.Nodes[i] = before
	}
	return err
}

// vacant returns nil for a folder that is not there, or in which no node was opened yet.
func vacant(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !slices.Contains(ownFiles, e.Name()) {
			return fmt.Errorf("%s: %w", folder, ErrNotEmpty)
		}
	}
	return err
}

// checkKey makes sure that the copied key is the one that the ledger knows.
func (n *Network) checkKey(name string) error {
	key, err := readSigningKey(n.keysOf(name))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrKeyLost
	}
	if err != nil {
		return err
	}
	return n.knows(name, key)
}

func (n *Network) knows(name string, key *bls.SecretKey) error {
	committee := n.ledger.Committee()
	for i := range committee.Members {
		if committee.Members[i].Name == name && committee.Members[i].PublicKey == key.PublicKey() {
			return nil
		}
	}
	return fmt.Errorf("the ledger knows another key: %w", ErrKeyLost)
}
