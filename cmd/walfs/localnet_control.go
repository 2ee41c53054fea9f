package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// The routes beside those of gRPC, for the commands below localnet.
const (
	routeFaucet  = "/walfs/v1/faucet"
	routeAdvance = "/walfs/v1/advance-epoch"
	routeProfile = "/walfs/v1/profile"
)

// maxControl is the longest request or answer, in bytes.
const maxControl = 1 << 20

// faucetOrder is what the faucet of a served localnet is asked for.
type faucetOrder struct {
	Address string `json:"address"`
	Frost   uint64 `json:"wal_frost"`
	Mist    uint64 `json:"sui_mist"`
}

// endedEpoch is the answer of routeAdvance.
type endedEpoch struct {
	Epoch walrus.Epoch `json:"epoch"`
}

// controlError is an answer that is no success.
type controlError struct {
	Error string `json:"error"`
}

// control adds the routes.
func (s *localnetServer) control(mux *http.ServeMux) {
	handle(mux, routeFaucet, func(ctx context.Context, order faucetOrder) (faucetOrder, error) {
		to, err := move.ParseAddress(order.Address)
		if err != nil {
			return order, usagef("%w", err)
		}
		var tx chain.TxID
		_, _ = rand.Read(tx[:]) // never fails, by its documentation
		return order, s.net.Net().Faucet(ctx, tx, chain.Address(to), order.Frost, order.Mist)
	})
	handle(mux, routeAdvance, func(ctx context.Context, _ nothing) (endedEpoch, error) {
		if err := s.net.AdvanceEpoch(ctx); err != nil {
			return endedEpoch{}, err
		}
		s.net.Sync(ctx)
		return endedEpoch{s.net.Net().Committee().Epoch}, nil
	})
}

// profile adds the route that tells what localnet serve prints.
func (s *localnetServer) profile(mux *http.ServeMux) {
	handle(mux, routeProfile, func(ctx context.Context, _ nothing) (servedNet, error) { return s.describe(ctx) })
}

// handle answers a route with what f returns, for callers on this machine alone.
// A page of another site cannot call it: browsers ask first before they send
// JSON, and nobody answers.
func handle[A, R any](mux *http.ServeMux, route string, f func(context.Context, A) (R, error)) {
	mux.HandleFunc("POST "+route, func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || !net.ParseIP(host).IsLoopback() {
			answerJSON(w, http.StatusForbidden, controlError{"only programs on the same machine may call this"})
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			answerJSON(w, http.StatusUnsupportedMediaType, controlError{"want application/json"})
			return
		}
		var args A
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl)).Decode(&args); err != nil {
			answerJSON(w, http.StatusBadRequest, controlError{err.Error()})
			return
		}
		result, err := f(r.Context(), args)
		switch {
		case err == nil:
			answerJSON(w, http.StatusOK, result)
		case ui.CodeOf(err) == ui.Usage:
			answerJSON(w, http.StatusBadRequest, controlError{err.Error()})
		default:
			answerJSON(w, http.StatusConflict, controlError{err.Error()})
		}
	})
}

func answerJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The caller has gone if this fails: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(v)
}

// callLocalnet asks a served localnet at url.
func callLocalnet(ctx context.Context, url, route string, args, result any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(url, "/")+route, bytes.NewReader(body))
	if err != nil {
		return usagef("--rpc %s: %w", url, err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return ui.Errorf(ui.Failed, "no localnet answers at %s: %w", url, err).WithHint("walfs localnet serve starts one; --rpc says where it is")
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxControl))
	if err != nil {
		return fmt.Errorf("ask the localnet at %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		var refused controlError
		if json.Unmarshal(raw, &refused) != nil || refused.Error == "" {
			return fmt.Errorf("%s is no localnet of walfs: %s", url, answer.Status)
		}
		code := ui.Chain
		if answer.StatusCode == http.StatusBadRequest {
			code = ui.Usage
		}
		return ui.Errorf(code, "%w", errors.New(refused.Error))
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("answer of the localnet at %s: %w", url, err)
	}
	return nil
}
