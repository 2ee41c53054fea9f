package rpc

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Content types. Sources: gRPC over HTTP/2, gRPC-web.
const (
	typeNative  = "application/grpc"
	typeWeb     = "application/grpc-web"
	typeWebText = "application/grpc-web-text"
)

// trailerFrame marks the frame that holds trailers. Source: gRPC-web.
const trailerFrame = 0x80

// maxWebBody is how much of a request is read, in bytes: Base64 is a third longer, and a frame has a head.
const maxWebBody = maxRequest/3*4 + 1024

// serveWeb answers a call of gRPC-web: it gives the call to the server as one of
// native gRPC, and puts the trailers of the answer, which browsers do not
// see, into a last frame.
func (s *Server) serveWeb(w http.ResponseWriter, r *http.Request) {
	contentType := r.Header.Get("Content-Type")
	isText := strings.HasPrefix(contentType, typeWebText)
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxWebBody)
	if isText {
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	call := r.Clone(r.Context())
	call.Proto, call.ProtoMajor, call.ProtoMinor = "HTTP/2.0", 2, 0
	call.Header.Set("Content-Type", typeNative+"+proto")
	call.Header.Del("Content-Length")
	call.ContentLength = -1
	call.Body = bodyOfCall{body, r.Body}
	web := &webWriter{to: w, header: http.Header{}, contentType: contentType, isText: isText}
	s.grpc.ServeHTTP(web, call)
	web.finish()
}

// bodyOfCall reads what was decoded and closes what was sent.
type bodyOfCall struct {
	io.Reader
	io.Closer
}

// webWriter is the answer to a call of gRPC-web.
type webWriter struct {
	to          http.ResponseWriter
	header      http.Header // as the server of gRPC sets it, trailers included
	contentType string      // of the request, and so of the answer
	isText      bool
	begun       bool
	pending     []byte // of isText: not written yet
}

// Header implements http.ResponseWriter.
func (w *webWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Whatever the code, what matters is in the trailers.
func (w *webWriter) WriteHeader(int) {
	if w.begun {
		return
	}
	w.begun = true
	to := w.to.Header()
	for name, values := range w.header {
		if !isTrailer(name) && name != "Trailer" && name != "Content-Type" && name != "Content-Length" {
			to[name] = slices.Clone(values)
		}
	}
	to.Set("Content-Type", w.contentType)
	w.to.WriteHeader(http.StatusOK)
}

// Write implements http.ResponseWriter.
func (w *webWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.isText {
		w.pending = append(w.pending, b...)
		return len(b), nil
	}
	return w.to.Write(b)
}

// Flush implements http.Flusher: what was written so far is a whole number of
// frames. Base64 is padded there; readers take up again behind the padding.
func (w *webWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	if len(w.pending) > 0 {
		// Who waits for this has gone if it fails; the server learns that from the request's context.
		_, _ = io.WriteString(w.to, base64.StdEncoding.EncodeToString(w.pending))
		w.pending = w.pending[:0]
	}
	if f, ok := w.to.(http.Flusher); ok {
		f.Flush()
	}
}

// isTrailer reports whether a header of the answer belongs behind it.
func isTrailer(name string) bool {
	return strings.HasPrefix(name, "Grpc-Status") || name == "Grpc-Message" || strings.HasPrefix(name, http.TrailerPrefix)
}

// finish writes the trailers.
func (w *webWriter) finish() {
	w.WriteHeader(http.StatusOK)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		if !isTrailer(name) {
			continue
		}
		for _, value := range w.header[name] {
			fmt.Fprintf(&text, "%s: %s\r\n", strings.ToLower(strings.TrimPrefix(name, http.TrailerPrefix)), oneLine(value))
		}
	}
	frame := binary.BigEndian.AppendUint32([]byte{trailerFrame}, uint32(text.Len()))
	_, _ = w.Write(append(frame, text.String()...))
	w.Flush()
}

// oneLine keeps a value from ending its line.
func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }
