package rpc

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/move"
)

// frame is one of an answer of gRPC-web.
type frame struct {
	flags byte
	body  []byte
}

// framed returns a message as the frame of a request.
func framed(t testing.TB, m proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// paddedReader decodes Base64 that may be padded in the middle, as streams are.
type paddedReader struct {
	from io.Reader
	rest []byte
}

func (r *paddedReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		var group [4]byte
		if _, err := io.ReadFull(r.from, group[:]); err != nil {
			return 0, err
		}
		var err error
		if r.rest, err = base64.StdEncoding.DecodeString(string(group[:])); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func readFrame(t testing.TB, r io.Reader) frame {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("head of a frame: %v", err)
	}
	f := frame{head[0], make([]byte, binary.BigEndian.Uint32(head[1:]))}
	if _, err := io.ReadFull(r, f.body); err != nil {
		t.Fatalf("frame: %v", err)
	}
	return f
}

// formats are the content types of gRPC-web, as clients send them.
var formats = []string{"application/grpc-web+proto", "application/grpc-web", "application/grpc-web-text", "application/grpc-web-text+proto"}

// web calls a method with the bytes of a body and returns the answer, open, and its frames.
func web(t testing.TB, address, method, contentType string, body []byte) (*http.Response, io.Reader) {
	t.Helper()
	isText := strings.Contains(contentType, "text")
	if isText {
		body = []byte(base64.StdEncoding.EncodeToString(body))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/sui.rpc.v2."+method, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != contentType {
		t.Errorf("%s: %s as %q, want 200 as %q", method, answer.Status, answer.Header.Get("Content-Type"), contentType)
	}
	if isText {
		return answer, &paddedReader{from: answer.Body}
	}
	return answer, answer.Body
}

// wantTrailers checks that a frame holds trailers with some lines, and is the last one.
func wantTrailers(t testing.TB, r io.Reader, lines ...string) {
	t.Helper()
	f := readFrame(t, r)
	if f.flags != trailerFrame {
		t.Fatalf("frame %x, want trailers", f.flags)
	}
	for _, line := range lines {
		if !strings.Contains(string(f.body), line) {
			t.Errorf("trailers %q lack %q", f.body, line)
		}
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		t.Errorf("behind the trailers: %v", err)
	}
}

func TestWebUnary(t *testing.T) {
	w := newWorld(t)
	address := w.listen()
	for _, format := range formats {
		_, r := web(t, address, "LedgerService/GetObject", format, framed(t, &pb.GetObjectRequest{ObjectId: text(w.facts.System)}))
		f := readFrame(t, r)
		var reply pb.GetObjectResponse
		if err := proto.Unmarshal(f.body, &reply); err != nil || f.flags != 0 || reply.Object.GetObjectId() != w.facts.System.String() {
			t.Errorf("%s: %x %v, %v", format, f.flags, &reply, err)
		}
		wantTrailers(t, r, "grpc-status: 0\r\n")

		_, r = web(t, address, "LedgerService/GetObject", format, framed(t, &pb.GetObjectRequest{ObjectId: proto.String("0x9999")}))
		wantTrailers(t, r, "grpc-status: 5\r\n", "grpc-message: Object 0x")
		_, r = web(t, address, "LedgerService/Nothing", format, framed(t, new(pb.GetObjectRequest)))
		wantTrailers(t, r, "grpc-status: 12\r\n")
		_, r = web(t, address, "LedgerService/GetObject", format, []byte("\x00\x00\x00\x00\x02\xff\xff"))
		wantTrailers(t, r, "grpc-status: 13\r\n")
		_, r = web(t, address, "LedgerService/GetObject", format, []byte("\x00\xff\xff\xff\xff"))
		wantTrailers(t, r, "grpc-status: 8\r\n")
	}
	// What is no Base64 is an error of the call, not a hang.
	r, err := http.Post("http://"+address+"/sui.rpc.v2.LedgerService/GetObject", "application/grpc-web-text", strings.NewReader("!!!!"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	f := readFrame(t, &paddedReader{from: r.Body})
	if f.flags != trailerFrame || strings.Contains(string(f.body), "grpc-status: 0") {
		t.Errorf("bad Base64: %x %s", f.flags, f.body)
	}
}

// Each checkpoint comes as soon as it is there: frames are not held back.
func TestWebStream(t *testing.T) {
	w := newWorld(t)
	address := w.listen()
	for _, format := range formats {
		_, r := web(t, address, "SubscriptionService/SubscribeCheckpoints", format,
			framed(t, &pb.SubscribeCheckpointsRequest{ReadMask: maskOf("sequence_number", "transactions.digest")}))
		var last uint64
		for i := range 3 {
			var reply pb.SubscribeCheckpointsResponse
			if err := proto.Unmarshal(readFrame(t, r).body, &reply); err != nil {
				t.Fatal(err)
			}
			if i > 0 && reply.GetCursor() != last+1 || reply.Checkpoint.GetSequenceNumber() != reply.GetCursor() {
				t.Errorf("%s: %v behind %d", format, &reply, last)
			}
			last = reply.GetCursor()
			w.fund(move.SmallAddress(7), 1, 1)
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	w := newWorld(t)
	address := "http://" + w.listen()
	for _, contentType := range []string{"application/json", "application/grpc", "text/plain"} { // HTTP/1.1
		r, err := http.Post(address+"/sui.rpc.v2.LedgerService/GetObject", contentType, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %s", contentType, r.Status)
		}
	}
	// A page of another site whose name leads here.
	q := httptest.NewRequest(http.MethodPost, "http://evil.example/sui.rpc.v2.LedgerService/GetServiceInfo", nil)
	q.Header.Set("Content-Type", "application/grpc-web")
	answer := httptest.NewRecorder()
	Guard(w.server.Handler()).ServeHTTP(answer, q)
	if answer.Code != http.StatusMisdirectedRequest {
		t.Errorf("another name: %d", answer.Code)
	}
	for _, host := range []string{"localhost", "localhost:9000", "127.0.0.1:9000", "[::1]:9000"} {
		q.Host = host
		answer := httptest.NewRecorder()
		Guard(w.server.Handler()).ServeHTTP(answer, q)
		if answer.Code != http.StatusOK {
			t.Errorf("%s: %d", host, answer.Code)
		}
	}
}

func TestCORSByOption(t *testing.T) {
	w := newWorld(t)
	q := httptest.NewRequest(http.MethodOptions, "http://localhost/sui.rpc.v2.LedgerService/GetObject", nil)
	q.Header.Set("Origin", "https://example.com")
	for _, cors := range []bool{false, true} {
		s := New(w.net, Config{CORS: cors})
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, q)
		if allowed := answer.Header().Get("Access-Control-Allow-Origin") == "*" && answer.Code == http.StatusNoContent; allowed != cors {
			t.Errorf("CORS %v: %d %v", cors, answer.Code, answer.Header())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
