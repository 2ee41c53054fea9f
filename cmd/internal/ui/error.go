package ui

import (
	"context"
	"errors"
	"fmt"
)

// Code is an exit code of walfs.
type Code int

// The exit codes.
const (
	OK          Code = 0   // done
	Failed      Code = 1   // error
	Usage       Code = 2   // usage
	Partial     Code = 3   // done in part: pending or damaged data remains
	NoDrive     Code = 10  // no drive here
	InUse       Code = 11  // drive in use
	WrongKey    Code = 12  // wrong key
	TooFewNodes Code = 13  // too few nodes
	Chain       Code = 14  // chain refused, or no funds
	Interrupted Code = 130 // interrupted: 128 and SIGINT, as shells have it
)

// Error is an error for a person: what happened, what to do next, and the code
// with which the command exits. Its Error method returns the text of Err alone.
type Error struct {
	Err  error
	Hint string // the next step; may be empty
	Code Code   // OK counts as Failed
}

// Error returns the text of e.Err.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error of the given code with a formatted text, in which %w
// wraps as in fmt.Errorf.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Err: fmt.Errorf(format, args...), Code: code}
}

// WithHint sets the hint of e and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// CodeOf returns the exit code for err: OK for nil, that of the outermost Error
// in it, Interrupted for a cancelled context, else Failed.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if e := (*Error)(nil); errors.As(err, &e) && e.Code != OK {
		return e.Code
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}

// HintOf returns the hint of the outermost Error in err that has one.
func HintOf(err error) string {
	for err != nil {
		e := (*Error)(nil)
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
