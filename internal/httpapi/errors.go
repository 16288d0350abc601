package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// StatusCoder may be implemented by errors of other packages that know what they mean over HTTP. The error's text is shown below status 500.
type StatusCoder interface {
	error
	HTTPStatus() (status int, code string)
}

const internalDetail = "something went wrong on our side; the log has it under the request's ID"

// row says what an error means over HTTP.
type row struct {
	is     error
	status int
	code   string
	detail string // "" shows the error's text
	after  string // Retry-After, s
}

// table leads from errors to answers; the first that fits counts. Whatever is not in it is a 500 without a text.
func table() []row {
	return []row{
		{engine.ErrMismatch, http.StatusConflict, "idempotency_mismatch", "the Idempotency-Key was used for another request body; use a new key, or send the body as it was", ""},
		{engine.ErrConflict, http.StatusConflict, "conflict", "", ""},
		{engine.ErrNotFound, http.StatusNotFound, "not_found", "", ""},
		{dag.ErrInvalid, http.StatusUnprocessableEntity, "invalid_request", "", ""},
		{engine.ErrMemory, http.StatusServiceUnavailable, "out_of_memory", "there is no memory left for new runs; repeat later, with the same Idempotency-Key", "30"},
		{engine.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Redis cannot be asked at the moment; repeat, with the same Idempotency-Key if there was one", "2"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "there was no answer in time; repeat, with the same Idempotency-Key if there was one", "2"},
		{context.Canceled, http.StatusServiceUnavailable, "cancelled", "the request was cancelled", "2"},
	}
}

// problemOf is an error as the client sees it, with the value of Retry-After or "".
func problemOf(err error) (p *Problem, after string) {
	if e, ok := errors.AsType[*Problem](err); ok {
		return e, ""
	}
	if e, ok := errors.AsType[*dag.InputError](err); ok {
		p := newProblem(http.StatusUnprocessableEntity, "invalid_input", "the input does not satisfy the workflow's schema; see errors")
		for _, v := range e.Violations {
			p.Errors = append(p.Errors, ProblemDetail{Pointer: v.Pointer, Message: v.Message})
		}
		return p, ""
	}
	if e, ok := errors.AsType[StatusCoder](err); ok {
		status, code := e.HTTPStatus()
		if status < http.StatusBadRequest || status >= http.StatusInternalServerError {
			return newProblem(max(status, http.StatusInternalServerError), code, internalDetail), ""
		}
		return newProblem(status, code, err.Error()), ""
	}
	if e, ok := errors.AsType[*engine.StateError](err); ok {
		return newProblem(http.StatusConflict, "conflict", e.Error()), ""
	}
	for _, r := range table() {
		if errors.Is(err, r.is) {
			return r.problem(err), r.after
		}
	}
	return newProblem(http.StatusInternalServerError, "internal", internalDetail), ""
}

func (r row) problem(err error) *Problem {
	p := newProblem(r.status, r.code, r.detail)
	if p.Detail == "" {
		p.Detail = err.Error()
	}
	if r.is == dag.ErrInvalid { //nolint:errorlint // the row itself
		p.Errors = fieldsOf(err, nil)
		p.Detail = "the request is not as it must be; see errors"
		if len(p.Errors) == 1 {
			p.Detail = err.Error()
			if p.Errors[0].Pointer == "" {
				p.Errors = nil // it would only repeat the detail
			}
		}
	}
	return p
}

// fieldsOf appends what each error of a tree of joined and wrapped ones says; a field's has a pointer.
func fieldsOf(err error, out []ProblemDetail) []ProblemDetail {
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case *dag.FieldError:
		return append(out, ProblemDetail{Pointer: pointerOf(e.Path), Message: e.Message})
	case interface{ Unwrap() []error }:
		branches := e.Unwrap()
		if len(branches) > 0 && branches[0] == dag.ErrInvalid { //nolint:errorlint // "%w: %w" with the sentinel first
			return append(out, ProblemDetail{Message: err.Error()})
		}
		for _, b := range branches {
			out = fieldsOf(b, out)
		}
		return out
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && inner != dag.ErrInvalid { //nolint:errorlint // the sentinel itself
			return fieldsOf(inner, out)
		}
	}
	return append(out, ProblemDetail{Message: err.Error()})
}
