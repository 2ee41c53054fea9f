package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// keyPair is a key file and a wallet locked alike: one way into the drive. age does not mix
// a passphrase with other recipients, and does not tell to whom a file is locked, so that
// each method gets files of its own and those that are there are never written again.
type keyPair struct {
	name   string // firstPair, or NAME of key-NAME.age
	key    string
	wallet string
}

// firstPair is the name of key.age and wallet.age, which init makes.
const firstPair = "first"

// pair returns the files of a name.
func (h home) pair(name string) keyPair {
	p := keyPair{name: name, key: h.key(), wallet: h.wallet()}
	if name != firstPair {
		p.key = filepath.Join(h.dir, "key-"+name+".age")
		p.wallet = walletBeside(p.key)
	}
	return p
}

// walletBeside returns the wallet that goes with a key file.
func walletBeside(key string) string {
	dir, base := filepath.Split(key)
	if rest, ok := strings.CutPrefix(base, "key"); ok {
		return dir + "wallet" + rest
	}
	return dir + "wallet.age"
}

// pairs returns all ways into the drive, the first one first. A wallet is written before its
// key file and goes after it, so a key file that is there makes a pair.
func (h home) pairs() ([]keyPair, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	var all []keyPair
	if _, err := os.Lstat(h.key()); err == nil {
		all = append(all, h.pair(firstPair))
	}
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), "key-")
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, ".age"); ok && name != firstPair {
			all = append(all, h.pair(name))
		}
	}
	return all, nil
}

// openAny opens the first pair that the identities fit.
func openAny(pairs []keyPair, ids []seal.Identity) (k keys, p keyPair, err error) {
	for _, p := range pairs {
		k, bad := openKeys(p, ids)
		if bad == nil || errors.Is(bad, seal.ErrPermissions) {
			return k, p, bad
		}
		if err == nil {
			err = bad
		}
	}
	return k, p, err
}

// openOurs opens the keys that lie in h.
func (h home) openOurs(ids []seal.Identity) (keys, keyPair, error) {
	pairs, err := h.pairs()
	if err != nil {
		return keys{}, keyPair{}, err
	}
	if len(pairs) == 0 {
		pairs = []keyPair{h.pair(firstPair)} // which is missing, and said to be
	}
	return openAny(pairs, ids)
}

// maxPairName bounds the name of a pair, in bytes.
const maxPairName = 64

// checkPairName refuses what cannot be a part of a file's name without surprises.
func checkPairName(name string) error {
	ok := name != "" && len(name) <= maxPairName && name != firstPair
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return ui.Errorf(ui.Usage, "name %q: want up to %d of a-z 0-9 -, and not %q", name, maxPairName, firstPair)
	}
	return nil
}
