package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// The operations of the control socket. Names and fields are an interface: additions only.
const (
	opStatus      = "status"
	opSync        = "sync"
	opStat        = "stat"
	opList        = "ls"
	opNodes       = "node.list"
	opNodeStop    = "node.stop"
	opNodeStart   = "node.start"
	opNodeReplace = "node.replace"
	opNodeScrub   = "node.scrub"
	opCacheClear  = "cache.clear"
	opPin         = "cache.pin"
	opEvict       = "cache.evict"
	opIndexCheck  = "index.check"
	opPrices      = "prices"
	opTrashList   = "trash.list"
	opUntrash     = "trash.restore"
	opTrashEmpty  = "trash.empty"
	opCheck       = "check"
	opCollect     = "gc"
	opUsage       = "du"
	opAdvance     = "localnet.advance-epoch"
	opFaucet      = "localnet.faucet"
	opBlobRead    = "blob.read"
	opLedger      = "ledger"
	opEstate      = "estate"
	opBlobPut     = "blob.put"
	opBlobPart    = "blob.part"
	opUmount      = "umount"
)

// calls returns what an open drive answers, mounted or not.
func (d *drive) calls() map[string]control.Handler {
	return map[string]control.Handler{
		opStatus:      answer(d.answerStatus),
		opSync:        answer(d.answerSync),
		opStat:        answer(d.answerStat),
		opList:        answer(d.answerList),
		opNodes:       answer(d.answerNodes),
		opNodeStop:    answer(d.answerNodeStop),
		opNodeStart:   answer(d.answerNodeStart),
		opNodeReplace: answer(d.answerNodeReplace),
		opNodeScrub:   answer(d.answerNodeScrub),
		opCacheClear:  answer(d.answerCacheClear),
		opPin:         answer(d.answerPin),
		opEvict:       answer(d.answerEvict),
		opIndexCheck:  answer(d.answerIndexCheck),
		opPrices:      answer(d.answerPrices),
		opTrashList:   answer(d.answerTrashList),
		opUntrash:     answer(d.answerUntrash),
		opTrashEmpty:  answer(d.answerTrashEmpty),
		opCheck:       answer(d.answerCheck),
		opCollect:     answer(d.answerCollect),
		opUsage:       answer(d.answerUsage),
		opAdvance:     answer(d.answerAdvance),
		opFaucet:      answer(d.answerFaucet),
		opBlobRead:    answer(d.answerBlobRead),
		opLedger:      answer(d.answerLedger),
		opEstate:      answer(d.answerEstate),
		opBlobPut:     answer(d.answerBlobPut),
		opBlobPart:    answer(d.answerBlobPart),
	}
}

// nothing is the arguments of an operation that has none, and the result of one that returns none.
type nothing struct{}

// answer makes a handler of a function: it decodes the arguments, and gives errors their exit code and hint.
func answer[A, R any](f func(ctx context.Context, args A, emit func(any) error) (R, error)) control.Handler {
	return func(ctx context.Context, raw json.RawMessage, emit func(any) error) (any, error) {
		var args A
		if len(raw) > 0 {
			decoder := json.NewDecoder(bytes.NewReader(raw))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&args); err != nil {
				return nil, &control.Error{Message: "arguments: " + err.Error(), Code: int(ui.Usage)}
			}
		}
		result, err := f(ctx, args, emit)
		if err != nil && ctx.Err() != nil { // whoever asked is gone, or the mount is
			return nil, &control.Error{Message: "the mount ended before this was done", Code: int(ui.Failed)}
		}
		if err != nil {
			err = explain(err)
			return nil, &control.Error{Message: err.Error(), Hint: ui.HintOf(err), Code: int(ui.CodeOf(err))}
		}
		return result, nil
	}
}

// line is a way to the drive: through the socket of a mount, or to a drive that this
// process opened because nothing is mounted.
type line struct {
	call    func(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error
	close   func() error
	mounted bool
}

// reach opens the drive's line. With work set, a drive that is opened here also commits.
func (a *app) reach(ctx context.Context, work bool) (*line, error) {
	h, err := a.home()
	if err == nil {
		err = a.checkHome(h)
	}
	if err != nil {
		return nil, err
	}
	client, err := control.Dial(ctx, h.dir)
	if err == nil {
		return &line{call: client.Call, close: client.Close, mounted: true}, nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return nil, err
	}
	d, err := a.openDrive(ctx, h, a.logTo(h))
	if err != nil {
		return nil, err
	}
	stop := func() error { return nil }
	if work {
		if stop, err = d.work(ctx); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d.line(func() error { return errors.Join(stop(), d.Close()) }), nil
}

// line returns a line to a drive that this process has opened.
func (d *drive) line(close func() error) *line {
	calls := d.calls()
	return &line{
		call: func(ctx context.Context, op string, args any, onEvent func(json.RawMessage), result any) error {
			return callHere(ctx, calls[op], args, onEvent, result)
		},
		close: close,
	}
}

// work brings the drive to where it was left and lets it commit until stop is called.
func (d *drive) work(ctx context.Context) (stop func() error, err error) {
	if _, err := d.recover(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx, func(err error) { d.log.Error("nothing can be committed", "err", err) }) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}

// callHere goes the way of the socket without one, so that both ways give the same.
func callHere(ctx context.Context, h control.Handler, args any, onEvent func(json.RawMessage), result any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	if args == nil {
		raw = nil
	}
	answered, err := h(ctx, raw, func(event any) error {
		text, err := json.Marshal(event)
		if err == nil && onEvent != nil {
			onEvent(text)
		}
		return err
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // as over the socket
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(answered)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(text, result)
}

// ask reaches the drive for one call.
func (a *app) ask(ctx context.Context, op string, args, result any) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	err = a.askOnce(ctx, op, args, result)
	if errors.Is(err, control.ErrLost) && waitUnlocked(ctx, h) == nil { // it was being killed
		return a.askOnce(ctx, op, args, result)
	}
	return err
}

func (a *app) askOnce(ctx context.Context, op string, args, result any) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	return l.call(ctx, op, args, nil, result)
}
