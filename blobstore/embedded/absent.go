package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// claimed is a node's folder that this network holds.
type claimed struct {
	folder  string
	mark    fs.FileInfo // of its lock, which is in no other folder
	release func()      // gives it back
}

// gone reports whether another folder, or none, is where this one was: it was removed, or its disk is
// not mounted any more.
func (c *claimed) gone() bool {
	now, err := os.Stat(filepath.Join(c.folder, folderLock))
	if err != nil {
		return absent(err)
	}
	return !os.SameFile(c.mark, now)
}

func (c *claimed) missing() string {
	return fmt.Sprintf("its folder %s is not there; the node comes up by itself when it is", c.folder)
}

// tend takes down the nodes whose folders have gone, and up those whose folders are there again.
func (n *Network) tend(ctx context.Context) {
	for _, m := range n.nodes {
		n.lose(m)
		n.regain(ctx, m)
	}
}

// lose takes a node down whose folder has gone. Nothing is written any more to where that was.
func (n *Network) lose(m *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node == nil || !m.held.gone() {
		return
	}
	m.absent = true
	err := m.end(m.held.missing())
	n.cfg.Log.Error("folder of the node is not there", "node", m.name, "dir", m.folder, "err", err)
}

// regain takes a node up whose folder was not there and is: the one that has its key.
func (n *Network) regain(ctx context.Context, m *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node != nil || !m.absent {
		return
	}
	key, err := readSigningKey(m.folder)
	if absent(err) {
		return
	}
	known, e := readSigningKey(n.keysOf(m.name))
	if err == nil && e == nil && known.PublicKey() != key.PublicKey() {
		err = errors.New("it has the key of another node")
	}
	if err == nil {
		err = n.openIn(ctx, m)
	}
	if err != nil {
		reason := fmt.Sprintf("its folder %s was not there, and now: %v", m.folder, err)
		if m.reason != reason { // the same each time it is looked at
			n.cfg.Log.Error("node is down", "node", m.name, "err", err)
		}
		m.node, m.reason = nil, reason
		return
	}
	m.reason, m.absent = "", false
	n.cfg.Log.Info("folder of the node is there again", "node", m.name, "dir", m.folder)
	n.lacks() // what it missed
}
