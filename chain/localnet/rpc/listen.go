package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// ErrNotLoopback reports an address that other machines can reach.
var ErrNotLoopback = errors.New("not a loopback address")

// Listen opens a port. Without anywhere it returns ErrNotLoopback for an address
// that other machines can reach: there is no TLS, and nobody is asked who he is.
func Listen(ctx context.Context, address string, anywhere bool) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// Judged by the address it has: a name may mean any.
	if at := l.Addr().(*net.TCPAddr); !at.IP.IsLoopback() && !anywhere {
		return nil, errors.Join(fmt.Errorf("listen at %s: %w", address, ErrNotLoopback), l.Close())
	}
	return l, nil
}

// Handler answers native gRPC and gRPC-web. What is neither gets 415.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.CORS {
			allowAll(w.Header())
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		contentType := r.Header.Get("Content-Type")
		switch {
		case r.Method == http.MethodPost && strings.HasPrefix(contentType, typeWeb):
			s.serveWeb(w, r)
		case r.ProtoMajor == 2 && strings.HasPrefix(contentType, typeNative):
			s.grpc.ServeHTTP(w, r)
		default:
			http.Error(w, "this is a gRPC and gRPC-web endpoint", http.StatusUnsupportedMediaType)
		}
	})
}

// Guard refuses requests that call this server by a name other than localhost or an
// address. A page of another site whose name leads here would pass for one of this server's own.
func Guard(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// allowAll lets the pages of any site call, and see trailers that came as headers.
func allowAll(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "*")
	h.Set("Access-Control-Expose-Headers", "grpc-status, grpc-message, grpc-status-details-bin")
}

// Waits of an HTTP server.
const (
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 2 * time.Second
)

// Serve answers HTTP/1.1, and HTTP/2 without TLS, at a listener until ctx ends. Then
// calls have some seconds to end by themselves. It closes the listener and returns nil.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve at %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) { // streams have no end of their own
		err = server.Close()
	}
	<-failed
	return err
}
