package ui

import (
	"context"
	"errors"
	"fmt"
)

// Code is an exit code of walfs. Scripts rely on the numbers.
type Code int

// The exit codes.
const (
	OK          Code = 0
	Failed      Code = 1   // an error without a number of its own
	Usage       Code = 2   // wrong flags or arguments
	Partial     Code = 3   // done in part: pending or damaged data remains
	NoDrive     Code = 10  // no drive here
	InUse       Code = 11  // drive in use
	WrongKey    Code = 12  // wrong key or passphrase, or none
	TooFewNodes Code = 13  // too few nodes answer
	Chain       Code = 14  // the chain refused, or no funds
	Interrupted Code = 130 // 128 and the number of SIGINT, as shells have it
)

// Error is an error for a person: what happened, what to do next, and the code
// with which the command exits. Its text is that of Err alone.
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
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}

// message is a line of JSON on stderr: a note, a warning or an error.
type message struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    Code   `json:"code,omitempty"`
}

// Error tells err and its hint on stderr and returns the code to exit with. It
// says nothing about nil.
func (u *UI) Error(err error) Code {
	if err == nil {
		return OK
	}
	code, hint := CodeOf(err), HintOf(err)
	if u.cfg.JSON {
		u.emit(u.err, "error", message{Message: err.Error(), Hint: hint, Code: code})
		return code
	}
	u.sayLines(u.err.paint(Red, "walfs: error: "), err.Error())
	u.sayLines("walfs: hint: ", hint)
	return code
}
