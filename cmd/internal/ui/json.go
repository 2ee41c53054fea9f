package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Emit writes v, which marshals to an object, as one line of JSON to stdout,
// with the "type" kind in front. A nil v has no other fields.
func (u *UI) Emit(kind string, v any) error {
	line, err := typed(kind, v)
	if err != nil {
		return err
	}
	_, err = u.write(u.out, line)
	return err
}

// emit is Emit for lines whose errors have nowhere to go.
func (u *UI) emit(s stream, kind string, v any) {
	if line, err := typed(kind, v); err == nil {
		_, _ = u.write(s, line)
	}
}

// Line returns what Emit writes.
func Line(kind string, v any) ([]byte, error) { return typed(kind, v) }

// typed returns the line for v with its type.
func typed(kind string, v any) ([]byte, error) {
	if v == nil {
		v = struct{}{}
	}
	head, err := marshal(struct {
		Type string `json:"type"`
	}{kind})
	if err != nil {
		return nil, fmt.Errorf("emit %s: %w", kind, err)
	}
	body, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("emit %s: %w", kind, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("emit %s: %T is not an object in JSON", kind, v)
	}
	if _, ok := fields["type"]; ok {
		return nil, fmt.Errorf("emit %s: %T has a type of its own", kind, v)
	}
	if len(fields) == 0 {
		return append(head, '\n'), nil
	}
	head[len(head)-1] = ','
	return append(append(head, body[1:]...), '\n'), nil
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
