package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// request and reply are the two kinds of lines; the package comment has them.
type request struct {
	V    int             `json:"v"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

type reply struct {
	V      int             `json:"v"`
	Event  json.RawMessage `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// errTooLong reports a line above its limit, of which all was read.
var errTooLong = errors.New("line is too long")

// maxOp is the length of the name of an operation.
const maxOp = 64

// hintVersions is for all that points to two versions of walfs.
const hintVersions = "use the same walfs as the mount, or unmount and mount again with this one"

// readLine returns the next line without its newline, which must be there, or
// errTooLong when it has more than limit bytes in all.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	total := 0
	for {
		part, err := r.ReadSlice('\n')
		total += len(part)
		if total <= limit {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && total <= limit+maxDiscard:
			continue
		case err != nil:
			if errors.Is(err, io.EOF) && total > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		case total > limit:
			return nil, errTooLong
		}
		return line[:len(line)-1], nil
	}
}

// decodeRequest reads a line of a command. Its errors are for the command.
func decodeRequest(line []byte) (request, *Error) {
	var version struct {
		V *json.Number `json:"v"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return request{}, badRequest("not a JSON object")
	}
	if version.V == nil {
		return request{}, badRequest("no version")
	}
	if string(*version.V) != fmt.Sprint(protocolVersion) {
		return request{}, &Error{
			Message: fmt.Sprintf("the mount speaks version %d of the control protocol, not %.20s", protocolVersion, *version.V),
			Hint:    hintVersions, Code: 1,
		}
	}
	var q request
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return request{}, badRequest("a field is unknown or of the wrong kind")
	}
	if !validOp(q.Op) {
		return request{}, badRequest("no name of an operation")
	}
	if string(q.Args) == "null" {
		q.Args = nil
	}
	if len(q.Args) > 0 && q.Args[0] != '{' {
		return request{}, badRequest("args is not an object")
	}
	return q, nil
}

func badRequest(what string) *Error {
	return &Error{Message: "control request: " + what, Hint: hintVersions, Code: 1}
}

// validOp reports whether op is 1 to maxOp of a-z 0-9 . _ and -.
func validOp(op string) bool {
	if op == "" || len(op) > maxOp {
		return false
	}
	for _, c := range []byte(op) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// encodeRequest returns the line for a request.
func encodeRequest(op string, args any) ([]byte, error) {
	if !validOp(op) {
		return nil, fmt.Errorf("%q is no name of an operation", op)
	}
	q := request{V: protocolVersion, Op: op}
	if args != nil {
		b, err := json.Marshal(args)
		if err != nil {
			return nil, fmt.Errorf("args: %w", err)
		}
		if string(b) != "null" {
			q.Args = b
		}
		if len(q.Args) > 0 && q.Args[0] != '{' {
			return nil, fmt.Errorf("args: %T is not an object in JSON", args)
		}
	}
	return encodeLine(q, maxRequest)
}

// decodeReply reads a line of the mount: exactly one of event, result and error
// is set.
func decodeReply(line []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return reply{}, fmt.Errorf("answer of the mount: %w", err)
	}
	if r.V != protocolVersion {
		return reply{}, &Error{
			Message: fmt.Sprintf("the mount answers in version %d of the control protocol, not %d", r.V, protocolVersion),
			Hint:    hintVersions, Code: 1,
		}
	}
	kinds := 0
	for _, set := range []bool{r.Event != nil, r.Result != nil, r.Error != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return reply{}, fmt.Errorf("answer of the mount: %d of event, result and error", kinds)
	}
	return r, nil
}

// encodeLine returns v as a line of at most limit bytes.
func encodeLine(v any, limit int) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b)+1 > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errTooLong, len(b)+1, limit)
	}
	return append(b, '\n'), nil
}

// wireError returns err in the form that goes over the socket.
func wireError(err error) *Error {
	e := &Error{Message: err.Error(), Code: 1}
	if inner := (*Error)(nil); errors.As(err, &inner) {
		e.Hint = inner.Hint
		if inner.Code != 0 {
			e.Code = inner.Code
		}
	}
	return e
}
