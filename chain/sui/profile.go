package sui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/walfs/walfs/chain/move"
)

// ErrProfile reports a profile that names no ledger.
var ErrProfile = errors.New("not a ledger profile")

// Profile says where a ledger is and which objects of it to use. All else is
// read from there: packages are upgraded, and test networks start anew.
type Profile struct {
	Name     string    // for messages
	Target   string    // host:port of a full node, or a target as gRPC names them
	TLS      bool      // false speaks in the clear, which only loopback addresses deserve
	Chain    string    // the 4 bytes of the chain id that people quote, in hex; empty does not look
	System   move.ID   // system::System
	Staking  move.ID   // staking::Staking
	Treasury move.ID   // wal::ProtectedTreasury; zero when not known
	Slashing move.ID   // slashing::SlashingManager; zero when not known
	Upgrades move.ID   // upgrade::UpgradeManager; zero when not known
	Exchange []move.ID // wal_exchange::Exchange; test networks only
	Trade    move.ID   // package of wal_exchange; zero when there is none
	Known    Prices    // what it asked for once; zero when that is not known
}

// The public networks. Source: the Walrus deployment files, August 2026.
var publicProfiles = []Profile{
	{
		Name: "mainnet", Target: "fullnode.mainnet.sui.io:443", TLS: true, Chain: "35834a8a",
		System:   mustID("0x2134d52768ea07e8c43570ef975eb3e4c27a39fa6396bef985b5abc58d03ddd2"),
		Staking:  mustID("0x10b9d30c28448939ce6c4d6c6e0ffce4a7f8a4ada8248bdad09ef8b70e4a3904"),
		Treasury: mustID("0x3a19b564728b56df21e0e2bd3582b2be00be992e27b44faf30611e15ae6eac91"),
		Slashing: mustID("0xfe343f7b72f67a1eca9bfc9dff0dac0520e11dca3bda5a0ea32816af6f722109"),
		Known:    Prices{Storage: 100_000, Write: 20_000, Gas: 1000, Shards: 1000, MaxEpochs: 53, Date: "March 2025"},
	},
	{
		Name: "testnet", Target: "fullnode.testnet.sui.io:443", TLS: true, Chain: "4c78adac",
		System:   mustID("0x6c2547cbbc38025cf3adac45f63cb0a8d12ecf777cdc75a4971612bf97fdf6af"),
		Staking:  mustID("0xbe46180321c30aab2f8b3501e24048377287fa708018a5b7c2792b35fe339ee3"),
		Treasury: mustID("0x1dcbbb4fc81c39901be78fcaa6ee0be688512e5ceef11713ef7fe1e6f6a3131b"),
		Slashing: mustID("0xba59eb74de5c7707f830415ff9f64261d107d790bb65ab5835918eeac62daaee"),
		Known:    Prices{Storage: 100, Write: 2000, Gas: 1000, Shards: 1000, MaxEpochs: 53, Date: "October 2024"},
		Trade:    mustID("0x82593828ed3fcb8c6a235eac9abd0adbe9c5f9bbffa9b1e7a45cdd884481ef9f"),
		Exchange: []move.ID{
			mustID("0xf4d164ea2def5fe07dc573992a029e010dba09b1a8dcbc44c5c2e79567f39073"),
			mustID("0x19825121c52080bb1073662231cfea5c0e4d905fd13e95f21e9a018f2ef41862"),
			mustID("0x83b454e524c71f30803f4d6c302a86fb6a39e96cdfb873c2d1e93bc1c26a3bc5"),
			mustID("0x8d63209cf8589ce7aef8f262437163c67577ed09f3e636a9d8e0813843fb8bf1"),
		},
	},
}

// mustID reads an ID of the table above.
func mustID(s string) move.ID {
	id, err := move.ParseAddress(s)
	if err != nil {
		panic(err) // the table is wrong: no test would pass
	}
	return id
}

// At returns the profile with another full node: a URL as LoadProfile reads it,
// or host:port, which is spoken to as the full node of the profile is. A public
// network is spoken to in the clear on this machine only: ErrProfile.
func (p Profile) At(address string) (Profile, error) {
	target, tls, err := splitURL(address)
	if err != nil {
		return p, err
	}
	if target == address { // no URL
		tls = p.TLS
	}
	if _, public := PublicProfile(p.Name); public && !tls && !isLoopback(target) {
		return p, fmt.Errorf("%w: %s is a public network, and %q would be spoken to without TLS", ErrProfile, p.Name, address)
	}
	p.Target, p.TLS = target, tls
	return p, nil
}

// isLoopback tells whether host:port is on this machine.
func isLoopback(target string) bool {
	host, _, err := net.SplitHostPort(target)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// PublicProfile returns the profile of "mainnet" or "testnet", and whether there is one of that name.
func PublicProfile(name string) (Profile, bool) {
	i := slices.IndexFunc(publicProfiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	p := publicProfiles[i]
	p.Exchange = slices.Clone(p.Exchange)
	return p, true
}

// profileFile is a profile as a file has it, and as a localnet prints it when it serves.
type profileFile struct {
	Name     string   `json:"name"`
	Target   string   `json:"rpc_url"`
	Chain    string   `json:"chain_id"`
	System   string   `json:"system_object"`
	Staking  string   `json:"staking_object"`
	Treasury string   `json:"treasury_object"`
	Slashing string   `json:"slashing_object"`
	Upgrades string   `json:"upgrade_object"`
	Exchange string   `json:"exchange_object"`
	Others   []string `json:"exchange_objects"`
	Trade    string   `json:"exchange_package"`
}

// LoadProfile reads a profile from a JSON file: rpc_url, system_object and
// staking_object at least, the names that "localnet serve" prints them under.
// A rpc_url that begins with https:// speaks TLS.
func LoadProfile(path string) (Profile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("load profile: %w", err)
	}
	p, err := ParseProfile(b)
	if err != nil {
		return p, fmt.Errorf("load profile %s: %w", path, err)
	}
	return p, nil
}

// ParseProfile reads what LoadProfile reads from a file.
func ParseProfile(b []byte) (Profile, error) {
	var f profileFile
	if err := json.Unmarshal(b, &f); err != nil {
		return Profile{}, errors.Join(ErrProfile, err)
	}
	p := Profile{Name: f.Name, Chain: shortChain(f.Chain)}
	if p.Name == "" {
		p.Name = "localnet"
	}
	var err error
	if p.Target, p.TLS, err = splitURL(f.Target); err != nil {
		return p, err
	}
	for _, field := range []struct {
		text string
		id   *move.ID
	}{{f.System, &p.System}, {f.Staking, &p.Staking}, {f.Treasury, &p.Treasury}, {f.Slashing, &p.Slashing}, {f.Upgrades, &p.Upgrades}, {f.Trade, &p.Trade}} {
		if field.text == "" {
			continue
		}
		if *field.id, err = move.ParseAddress(field.text); err != nil {
			return p, errors.Join(ErrProfile, err)
		}
	}
	if f.Exchange != "" {
		f.Others = append([]string{f.Exchange}, f.Others...)
	}
	for _, text := range f.Others {
		id, err := move.ParseAddress(text)
		if err != nil {
			return p, errors.Join(ErrProfile, err)
		}
		p.Exchange = append(p.Exchange, id)
	}
	return p, p.check()
}

// check tells whether a profile has what a client needs.
func (p *Profile) check() error {
	if p.Target == "" || p.System.IsZero() || p.Staking.IsZero() {
		return fmt.Errorf("%w: it needs rpc_url, system_object and staking_object", ErrProfile)
	}
	return nil
}
