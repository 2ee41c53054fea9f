package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// made is the network.json of a small network.
func made(tb testing.TB) []byte {
	tb.Helper()
	raw, err := json.Marshal(newPlan(Config{Nodes: 2, Shards: 7, NodeDirs: []string{"/disk"}}))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// TestParsePlan wants plans refused that lead to folders of others, or to none.
func TestParsePlan(t *testing.T) {
	good := string(made(t))
	if _, err := parsePlan([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"version":      {`"version":1`, `"version":2`},
		"no shards":    {`"shards":7`, `"shards":0`},
		"few shards":   {`"shards":7`, `"shards":1`},
		"many shards":  {`"shards":7`, `"shards":100000000`},
		"short seed":   {`"seed":"`, `"seed":"","x":"`},
		"name above":   {`"name":"node-00"`, `"name":"../node-00"`},
		"name of all":  {`"name":"node-00"`, `"name":"."`},
		"no name":      {`"name":"node-00"`, `"name":""`},
		"name twice":   {`"name":"node-00"`, `"name":"node-01"`},
		"no folder":    {`"dir":"`, `"dir":"","x":"`},
		"not an array": {`"nodes":[`, `"nodes":3,"x":[`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if _, err := parsePlan([]byte(bad)); err == nil || bad == good {
			t.Errorf("%s: %s is taken", name, bad)
		}
	}
}

// TestPlanSum changes each bit of a network.json: it is refused, or says the same. One of before there were checksums is taken.
func TestPlanSum(t *testing.T) {
	dir := t.TempDir()
	want := newPlan(Config{Nodes: 2, Shards: 7, NodeDirs: []string{"/disk"}})
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "network.json"))
	if err != nil || !bytes.Contains(raw, []byte(`"sum"`)) {
		t.Fatalf("%s, %v", raw, err)
	}
	if old, err := parsePlan(made(t)); err != nil || old.Shards != 7 {
		t.Errorf("without a checksum: %v", err)
	}
	refused := 0
	for bit := range 8 * len(raw) {
		bad := bytes.Clone(raw)
		bad[bit/8] ^= 1 << (bit % 8)
		got, err := parsePlan(bad)
		switch {
		case errors.Is(err, ErrPlan):
			refused++
		case err != nil || !reflect.DeepEqual(got, want):
			t.Errorf("bit %d of byte %d: %v, %+v", bit%8, bit/8, err, got)
		}
	}
	if refused < 4*len(raw) {
		t.Errorf("%d of %d refused", refused, 8*len(raw))
	}
	p, err := readPlan(dir)
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(made(f))
	f.Add([]byte(`{"version":1,"shards":4,"nodes":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parsePlan(raw)
		if err != nil {
			return
		}
		for i := range p.Nodes {
			n := &p.Nodes[i]
			if copies := filepath.Join("/net", "keys", n.Name); filepath.Dir(copies) != "/net/keys" {
				t.Errorf("keys of node %q lie in %s", n.Name, copies)
			}
			_, _ = n.folder("/net"), nodeFolder("/disk", n.Name, p.Seed)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if other, err := parsePlan(again); err != nil || !reflect.DeepEqual(other, p) {
			t.Errorf("%+v comes back as %+v, %v", p, other, err)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add(encodeKey(blsKeyFlag, bytes.Repeat([]byte{7}, 32)), byte(blsKeyFlag))
	f.Add(encodeKey(networkKeyFlag, make([]byte, 32)), byte(networkKeyFlag))
	f.Fuzz(func(t *testing.T, text []byte, flag byte) {
		secret, ok := decodeKey(text, flag)
		if ok && !bytes.Equal(bytes.TrimSpace(encodeKey(flag, secret[:])), bytes.TrimSpace(text)) {
			t.Errorf("%q comes back as %q", text, encodeKey(flag, secret[:]))
		}
	})
}
