package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeReply(t *testing.T) {
	for line, ok := range map[string]bool{
		`{"v":1,"result":null}`:                    true,
		`{"v":1,"result":0}`:                       true,
		`{"v":1,"event":{}}`:                       true,
		`{"v":1,"error":{"message":"x","code":3}}`: true,
		`{"v":1,"result":1,"took":5}`:              true,
		`{"v":1}`:                                  false,
		`{"v":1,"error":null}`:                     false,
		`{"v":1,"event":1,"result":1}`:             false,
		`{"v":2,"result":1}`:                       false,
		`{"result":1}`:                             false,
		`[1]`:                                      false,
		``:                                         false,
		`{"v":1,"result":1}{}`:                     false,
		`{"v":1,"error":"x"}`:                      false,
		`{"v":1,"result":` + strings.Repeat("[", 20000):                     false,
		`{"v":1,"error":{"message":"x","code":99999999999999999999999999}}`: false,
	} {
		if r, err := decodeReply([]byte(line)); (err == nil) != ok {
			t.Errorf("%.60s: %+v, %v, want ok %v", line, r, err, ok)
		}
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 9999)
	r := bufio.NewReaderSize(strings.NewReader("a\n\n"+long+"\n"+long+"x\nb\nend"), 16)
	for i, want := range []string{"a", "", long, "too long", "b", "cut"} {
		line, err := readLine(r, 10000)
		switch {
		case want == "too long" && errors.Is(err, errTooLong), want == "cut" && err != nil && !errors.Is(err, errTooLong):
		case err != nil || string(line) != want:
			t.Errorf("line %d: %d bytes, %v", i, len(line), err)
		}
	}
}

// FuzzDecodeRequest decodes arbitrary lines. What decodes must encode to a line
// that decodes to the same, and what does not must have an error for a person.
func FuzzDecodeRequest(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"op":"status"}`, `{"v":1,"op":"sync","args":{"path":"/a"}}`, `{"v":1,"op":"x","args":null}`,
		`{"v":2}`, `{"v":"1","op":"x"}`, `{"V":1,"OP":"x"}`, `{"v":1e0,"op":"x"}`, `[]`, `null`, ``, "{\"v\":1,\"op\":\"\xff\"}",
		`{"v":1,"op":"x","args":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 101),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		q, bad := decodeRequest(line)
		if bad != nil {
			if bad.Message == "" || bad.Code == 0 {
				t.Fatalf("%q: error %+v", line, bad)
			}
			return
		}
		var args any
		if q.Args != nil {
			args = q.Args
		}
		again, err := encodeRequest(q.Op, args)
		if errors.Is(err, errTooLong) {
			return
		}
		if err != nil {
			t.Fatalf("%q decodes but does not encode: %v", line, err)
		}
		second, bad := decodeRequest(bytes.TrimSuffix(again, []byte("\n")))
		if bad != nil || second.Op != q.Op || !sameJSON(second.Args, q.Args) {
			t.Fatalf("%q became %q: %+v", line, again, bad)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"v":1,"event":{"done":1}}`))
	f.Add([]byte(`{"v":1,"result":null}`))
	f.Add([]byte(`{"v":1,"error":{"message":"m","hint":"h","code":3}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeReply(line)
		if err != nil {
			return
		}
		again, err := encodeLine(r, maxReply)
		if err != nil {
			t.Fatalf("%q decodes but does not encode: %v", line, err)
		}
		if _, err := decodeReply(bytes.TrimSuffix(again, []byte("\n"))); err != nil {
			t.Fatalf("%q became %q: %v", line, again, err)
		}
	})
}

// sameJSON reports whether a and b say the same, however they escape it.
func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	decode := func(raw json.RawMessage) (v any) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return err
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}
