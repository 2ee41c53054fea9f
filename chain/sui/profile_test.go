package sui

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// TestPublicProfiles compares the public networks with testdata/networks.json, made from their deployment files.
func TestPublicProfiles(t *testing.T) {
	raw, err := os.ReadFile("testdata/networks.json")
	if err != nil {
		t.Fatal(err)
	}
	var networks map[string]struct {
		Chain           string `json:"chain_id_prefix"`
		System, Staking string
	}
	if err := json.Unmarshal(raw, &networks); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mainnet", "testnet"} {
		p, ok := PublicProfile(name)
		if !ok || !p.TLS || p.check() != nil || len(p.Chain) != 8 || p.Treasury.IsZero() || p.Slashing.IsZero() {
			t.Errorf("%s: %+v", name, p)
		}
		if want := networks[name]; p.Chain != want.Chain || p.System.String() != want.System || p.Staking.String() != want.Staking {
			t.Errorf("%s: %+v, want %+v", name, p, want)
		}
	}
	if _, ok := PublicProfile("localnet"); ok {
		t.Error("a localnet has no public profile")
	}
}

// TestAt goes to another full node: in the clear to one of a public network only on this machine.
func TestAt(t *testing.T) {
	mainnet, _ := PublicProfile("mainnet")
	local := Profile{Name: "localnet", Target: "127.0.0.1:9000"}
	for _, c := range []struct {
		p       Profile
		address string
		tls     bool
		err     error
	}{
		{mainnet, "https://node.example", true, nil}, {mainnet, "node.example:443", true, nil}, {mainnet, "http://127.0.0.1:9000", false, nil},
		{mainnet, "http://localhost:9000", false, nil}, {mainnet, "http://node.example", false, ErrProfile}, {local, "http://node.example", false, nil},
		{local, "127.0.0.1:1", false, nil}, {mainnet, "https://node.example/path", false, ErrProfile},
	} {
		got, err := c.p.At(c.address)
		if !errors.Is(err, c.err) || err == nil && (got.TLS != c.tls || got.System != c.p.System || got.Target == c.p.Target) {
			t.Errorf("%s at %s: got %s, TLS %t, %v", c.p.Name, c.address, got.Target, got.TLS, err)
		}
	}
}

func TestLoadProfile(t *testing.T) {
	id := mustID("0x7").String()
	chainID := move.Digest{0xab, 0xcd, 0xef, 0x01, 5}
	cases := []struct {
		name, text, target string
		tls                bool
		err                error
	}{
		{"as a localnet prints it", `{"rpc_url":"http://127.0.0.1:9000","chain_id":"` + chainID.String() + `","system_object":"` + id +
			`","staking_object":"0x8","exchange_object":"0x9","walrus_package":"0xa","wal_type":"0xb::wal::WAL","nodes":[]}`, "127.0.0.1:9000", false, nil},
		{"a full node of one's own", `{"name":"mine","rpc_url":"https://sui.example","chain_id":"abcdef01","system_object":"0x7","staking_object":"0x8"}`,
			"sui.example:443", true, nil},
		{"host and port", `{"rpc_url":"localhost:9000","system_object":"0x7","staking_object":"0x8"}`, "localhost:9000", false, nil},
		{"no staking object", `{"rpc_url":"localhost:9000","system_object":"0x7"}`, "", false, ErrProfile},
		{"a path", `{"rpc_url":"https://sui.example/v2","system_object":"0x7","staking_object":"0x8"}`, "", false, ErrProfile},
		{"an object that is none", `{"rpc_url":"localhost:1","system_object":"seven","staking_object":"0x8"}`, "", false, ErrProfile},
		{"no JSON", `rpc_url = 1`, "", false, ErrProfile},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "world.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := LoadProfile(path)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if c.err != nil {
			continue
		}
		if p.Target != c.target || p.TLS != c.tls || p.System != mustID("0x7") || p.Staking != mustID("0x8") {
			t.Errorf("%s: %+v", c.name, p)
		}
		if c.name == "as a localnet prints it" && (p.Chain != hex.EncodeToString(chainID[:4]) || len(p.Exchange) != 1) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
	if _, err := LoadProfile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
