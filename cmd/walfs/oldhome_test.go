package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/chain"
)

// unpackOldHome gives a state folder of the time before transactions of the embedded ledger were
// signed, and nodes' operators had no keys. It was made so, each with the walfs of then:
//
//	init --nodes 4 --shards 10; put first /first; sync
//	localnet advance-epoch; put second /second; sync
//
// with first being what seq 1 300 prints, and second a line of its name.
func unpackOldHome(t *testing.T) (home string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "oldhome.tar.zst"))
	must(t, err)
	defer f.Close()
	plain, err := zstd.NewReader(f)
	must(t, err)
	defer plain.Close()
	dir := t.TempDir()
	for archive := tar.NewReader(plain); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, "home")
		}
		must(t, err)
		path := filepath.Join(dir, entry.Name)
		if entry.Typeflag == tar.TypeDir {
			must(t, os.Mkdir(path, 0o700))
			continue
		}
		content, err := io.ReadAll(archive)
		must(t, err)
		must(t, os.WriteFile(path, content, 0o600))
	}
}

// TestOldHome goes on with a drive of an older walfs: its files are there, stake and votes of its
// nodes are the house's now, each node has the key that the ledger knows it by, and it stores and reads.
func TestOldHome(t *testing.T) {
	t.Parallel()
	dir := unpackOldHome(t)
	output(t, walfs(t, dir, "takeover", "--moved")) // the folder is a copy
	var numbers bytes.Buffer
	for i := range 300 {
		fmt.Fprintln(&numbers, i+1)
	}
	same := func(path, want string) {
		t.Helper()
		to := filepath.Join(t.TempDir(), "file")
		output(t, walfs(t, dir, "get", path, to))
		if got, err := os.ReadFile(to); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v, want %d", path, len(got), err, len(want))
		}
	}
	same("/first", numbers.String())
	same("/second", "second\n")

	var nodes struct {
		Nodes []struct {
			Name   string `json:"name"`
			Shards int    `json:"shards"`
			Stake  uint64 `json:"stake_frost,string"`
		} `json:"nodes"`
	}
	must(t, json.Unmarshal([]byte(output(t, walfs(t, dir, "stake", "nodes", "--json"))), &nodes))
	if len(nodes.Nodes) != 4 {
		t.Fatalf("%d nodes", len(nodes.Nodes))
	}
	for _, n := range nodes.Nodes {
		// What genesis staked, and what each shard earned in the first epoch.
		if want := 1000*chain.FrostPerWAL + uint64(n.Shards)*23280; n.Stake != want {
			t.Errorf("%s with %d shards: stake %d, want %d", n.Name, n.Shards, n.Stake, want)
		}
	}
	for _, n := range nodes.Nodes {
		output(t, walfs(t, dir, "gov", "vote", "--node", n.Name, "--storage-price", "90000FROST", "--yes"))
	}
	if said := output(t, walfs(t, dir, "gov", "prices")); !strings.Contains(said, "storage  90000 FROST") || strings.Count(said, " 90000 ") != 5 {
		t.Errorf("after the votes:\n%s", said)
	}

	output(t, walfs(t, dir, "gov", "vote", "--node", "node-00", "--slash", "node-01", "--yes"))

	file := filepath.Join(t.TempDir(), "third")
	must(t, os.WriteFile(file, []byte(strings.Repeat("new", 1000)), 0o600))
	output(t, walfs(t, dir, "put", file, "/third"))
	output(t, walfs(t, dir, "sync"))
	output(t, walfs(t, dir, "localnet", "advance-epoch"))
	output(t, walfs(t, dir, "cache", "clear"))
	same("/third", strings.Repeat("new", 1000))
	if said := output(t, walfs(t, dir, "check", "--read-data")); !strings.Contains(said, "all is well") {
		t.Errorf("check: %s", said)
	}
	checkNodeKeys(t, dir)
}

// checkNodeKeys compares the keys in the folders of a drive's nodes with those of the committee.
func checkNodeKeys(t *testing.T, dir string) {
	t.Helper()
	n, err := embedded.Open(t.Context(), embedded.Config{Dir: filepath.Join(dir, "network")})
	must(t, err)
	defer func() { must(t, n.Close()) }()
	state, err := n.Net().State(t.Context())
	must(t, err)
	known := map[[48]byte]bool{}
	for _, m := range state.Committee.Members {
		known[m.PublicKey] = true
	}
	for _, m := range n.Nodes() {
		text, err := os.ReadFile(filepath.Join(m.Dir, "key"))
		must(t, err)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(raw) != 33 {
			t.Fatalf("%s: key of %d bytes, %v", m.Name, len(raw), err)
		}
		key, err := bls.SecretKeyFromBytes([32]byte(raw[1:]))
		must(t, err)
		if m.State != "up" || !known[key.PublicKey()] {
			t.Errorf("%s is %s, the committee has its key: %v", m.Name, m.State, known[key.PublicKey()])
		}
	}
}
