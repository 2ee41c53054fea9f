package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// markFile is the name of a mark, in the folder of the network and in node folders.
const markFile = "writer"

// marked returns the folders that hold marks: that of the network, and those of
// nodes elsewhere that are within reach. What lies in the network's folder goes
// where that goes.
func (n *Network) marked() []string {
	folders := []string{n.cfg.Dir}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.plan.Nodes {
		if !filepath.IsAbs(n.plan.Nodes[i].Dir) {
			continue
		}
		folder := n.plan.Nodes[i].folder(n.cfg.Dir)
		if f, err := readFacts(folder); err == nil && f.Seed == n.plan.Seed {
			folders = append(folders, folder)
		}
	}
	return folders
}

// markFor returns the mark that was left last for a node's folder, nil if there is none.
func markFor(dir, folder string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(folder, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(dir, markFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read mark: %w", err)
	}
	return text, nil
}

// Marks returns the marks that were left in the network's folder and in node
// folders elsewhere, by folder. A folder without one is left out.
func (n *Network) Marks() (map[string][]byte, error) {
	marks := map[string][]byte{}
	for _, folder := range n.marked() {
		text, err := os.ReadFile(filepath.Join(folder, markFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read mark: %w", err)
		}
		marks[folder] = text
	}
	return marks, nil
}

// Mark leaves a mark, synced, in place of those before. A node folder that cannot be
// written keeps the one that it has, which is only logged.
func (n *Network) Mark(text []byte) error {
	for _, folder := range n.marked() {
		err := keepFile(filepath.Join(folder, markFile), text)
		if err != nil && folder == n.cfg.Dir {
			return fmt.Errorf("leave mark: %w", err)
		}
		if err != nil {
			n.cfg.Log.Warn("node folder keeps an older mark", "dir", folder, "err", err)
		}
	}
	return nil
}
