package move_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// effectsVectors is testdata/effects.json, written by @mysten/sui.
type effectsVectors struct {
	Effects []struct {
		Name   string
		BCSHex string `json:"bcs_hex"`
		Digest string
	}
}

func loadEffects(t testing.TB) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/effects.json")
	if err != nil {
		t.Fatal(err)
	}
	var v effectsVectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for _, c := range v.Effects {
		all[c.Name] = unhex(t, c.BCSHex)
		var e move.Effects
		if err := move.Unmarshal(all[c.Name], &e); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if d, err := e.Digest(); err != nil || d.String() != c.Digest {
			t.Errorf("%s: digest %s, %v, want %s", c.Name, d, err, c.Digest)
		}
	}
	return all
}

// TestEffects reads what the reference implementation wrote, and writes it again.
func TestEffects(t *testing.T) {
	all := loadEffects(t)
	for name, want := range map[string]string{
		"abort":       "MoveAbort(" + small(0x77).String() + "::system::inner_mut, 3) in command 1",
		"bounds":      "CommandArgumentError { arg_idx: 3, kind: IndexOutOfBounds(9) } in command 1",
		"unused":      "UnusedValueWithoutDrop { result_idx: 4, secondary_idx: 1 }",
		"no_value":    "CommandArgumentError { arg_idx: 2, kind: ArgumentWithoutValue } in command 1",
		"no_function": "FunctionNotFound in command 1",
		"coin":        "InsufficientCoinBalance in command 1",
		"too_big":     "MoveObjectTooBig { object_size: 300000, max_object_size: 256000 } in command 1",
	} {
		var e move.Effects
		if err := move.Unmarshal(all[name], &e); err != nil || e.Status.Failure == nil || e.Status.Failure.String() != want {
			t.Errorf("%s: %v, %v", name, e.Status.Failure, err)
		}
	}
	var e move.Effects
	if err := move.Unmarshal(all["success"], &e); err != nil {
		t.Fatal(err)
	}
	var operations []string
	for _, c := range e.Changed {
		word := []string{"-", "-"}
		if c.Input != nil {
			word[0] = "in"
		}
		if c.Output != nil {
			word[1] = "out"
		}
		operations = append(operations, strings.Join(word, " ")+[]string{"", " created", " deleted"}[c.Operation])
	}
	want := []string{"- out created", "in out", "in out", "in - deleted", "in -", "- out", "- - deleted"}
	if !reflect.DeepEqual(operations, want) || e.Version != 42 || *e.GasObject != 1 || len(e.Unchanged) != 1 || e.Gas.Net() != 1_000_000 {
		t.Errorf("%v: %+v", operations, e)
	}
	for name, raw := range all {
		var e move.Effects
		if err := move.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if again, err := move.Marshal(&e); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: %v\n got %x\nwant %x", name, err, again, raw)
		}
	}
}

// FuzzEffects reads arbitrary bytes: whatever is accepted must be written as the very same bytes.
func FuzzEffects(f *testing.F) {
	for _, raw := range loadEffects(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var e move.Effects
		if move.Unmarshal(in, &e) != nil {
			return
		}
		if e.Status.Failure != nil {
			_ = e.Status.Failure.String()
		}
		out, err := move.Marshal(&e)
		if err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%v\nread  %x\nwrote %x", err, in, out)
		}
	})
}
