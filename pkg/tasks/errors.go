package tasks

import (
	"errors"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

type kind int

const (
	kindRetryable kind = iota
	kindPermanent
	kindRefused
)

// Error is an error of a handler with a code and a word on what shall happen next. [Permanent], [Refused], [Retryable] and [RetryAfter] make it.
type Error struct {
	code  string
	kind  kind
	after time.Duration
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// Code is the error's code, for example PAYMENT_DECLINED; "" when it was given none.
func (e *Error) Code() string { return e.code }

// Permanent says that trying again cannot help: the step fails at once, under the code.
func Permanent(code string, err error) error {
	return &Error{code: code, kind: kindPermanent, err: orCode(code, err)}
}

// Refused is [Permanent], and says that a provider's final answer to this effect key was no. When an operator retries the step, it
// gets a new effect key.
func Refused(code string, err error) error {
	return &Error{code: code, kind: kindRefused, err: orCode(code, err)}
}

// Retryable gives an error a code and leaves the rest to the step's policy, like any plain error.
func Retryable(code string, err error) error { return &Error{code: code, err: orCode(code, err)} }

// RetryAfter sets the delay to the next attempt, bounded by the policy's max_delay, instead of its back-off; the attempt counts as failed.
// It keeps the code of err.
func RetryAfter(err error, d time.Duration) error {
	e := &Error{after: max(d, time.Nanosecond), err: orCode("", err)}
	if inner, ok := errors.AsType[*Error](err); ok {
		e.code, e.kind = inner.code, inner.kind
	}
	return e
}

func orCode(code string, err error) error {
	if err != nil {
		return err
	}
	if code == "" {
		code = dag.CodeError
	}
	return errors.New(code)
}

// Classify turns a handler's error into what a run keeps of it, and the delay that the handler asked for; ok is false when it asked for none.
func Classify(err error) (e dag.StepError, after time.Duration, ok bool) {
	e = dag.StepError{Code: dag.CodeError, Message: clip(err.Error(), dag.MaxErrorBytes), Retryable: true}
	known, is := errors.AsType[*Error](err)
	if !is {
		return e, 0, false
	}
	if known.code != "" {
		e.Code = clip(known.code, dag.MaxLabelNameBytes)
	}
	e.Retryable = known.kind == kindRetryable
	e.Refused = known.kind == kindRefused
	return e, known.after, known.after > 0
}

// clip shortens s to at most n bytes without cutting a character in two.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
