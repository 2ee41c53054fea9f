package embedded

import (
	"bytes"
	"encoding/json"
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
