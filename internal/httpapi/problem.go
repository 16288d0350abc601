package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is an error as clients see it: RFC 9457 with a code, the places of what is wrong, and the request's ID.
//
//nolint:errname // the name that RFC 9457 and the OpenAPI document give it
type Problem struct {
	Type      string          `json:"type" doc:"Always about:blank; the code tells problems apart." example:"about:blank"`
	Title     string          `json:"title" doc:"What the status means." example:"Unprocessable Entity"`
	Status    int             `json:"status" doc:"HTTP status." example:"422"`
	Detail    string          `json:"detail,omitempty" doc:"What is wrong and how to mend it." example:"the input does not satisfy the workflow's schema"`
	Code      string          `json:"code" doc:"Stable name of the problem." example:"invalid_input"`
	Errors    []ProblemDetail `json:"errors,omitempty" doc:"Each thing that is wrong."`
	RequestID string          `json:"request_id,omitempty" doc:"Find it in the log by this." example:"Q2VB7KD4ZP5M3XWJ6TREH4YNLA"`
}

// ProblemDetail is one thing that is wrong with a request.
type ProblemDetail struct {
	Pointer string `json:"pointer" doc:"JSON pointer (RFC 6901) into the body or, with code invalid_input, into the input; empty for the whole and for what is not in the body." example:"/customer_info/email"`
	Message string `json:"message" doc:"What would be right." example:"must be a valid email"`
}

// Error implements [huma.StatusError].
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return contentProblem }

const contentProblem = "application/problem+json"

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

//nolint:gochecknoglobals // huma's own settings are globals, so what guards them must be one
var humaIsSet sync.Once

// setHuma makes huma answer with Problems, and lists that are never null. huma has no such settings of an API, only globals. They are set
// once, before the first API of this package exists, and to what depends on nothing else.
func setHuma() {
	humaIsSet.Do(func() {
		huma.DefaultArrayNullable = false
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			return humaProblem(status, msg, errs)
		}
		huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
			if status == http.StatusInternalServerError && len(errs) == 1 { // what a handler returned
				p, after := problemOf(errs[0])
				if after != "" {
					ctx.SetHeader("Retry-After", after)
				}
				requestOf(ctx.Context()).report(ctx.Context(), p, errs[0])
				return p
			}
			return humaProblem(status, msg, errs)
		}
	})
}

// humaProblem is a problem that huma found: with a parameter or the form of a body. huma's details carry the offending value, which is left out.
func humaProblem(status int, msg string, errs []error) *Problem {
	p := newProblem(status, codeOf(status), msg)
	if status >= http.StatusInternalServerError {
		p.Detail = internalDetail
	}
	if status == http.StatusRequestEntityTooLarge {
		p.Detail = msg + "; send less"
	}
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		p.Errors = append(p.Errors, detailOf(d.ErrorDetail()))
	}
	if len(p.Errors) > 0 {
		p.Detail = "the request is not as it must be: " + p.Errors[0].Message
		if len(p.Errors) > 1 {
			p.Detail = "the request is not as it must be; see errors"
		}
	}
	return p
}

func detailOf(d *huma.ErrorDetail) ProblemDetail {
	message := d.Message
	if message == "unexpected property" {
		message = "there is no such field; remove it"
	}
	where, rest, _ := strings.Cut(d.Location, ".")
	if where == "body" || strings.HasPrefix(d.Location, "body[") {
		return ProblemDetail{Pointer: pointerOf(strings.TrimPrefix(d.Location, "body")), Message: message}
	}
	return ProblemDetail{Message: strings.TrimSpace(where + " parameter " + rest + ": " + message)}
}

// pointerOf turns a path such as .items[0].run_id into the JSON pointer /items/0/run_id.
func pointerOf(path string) string {
	path = strings.TrimPrefix(path, ".")
	if path == "" {
		return ""
	}
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		part = strings.Trim(part, `"`)
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "bad_request"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	case http.StatusRequestTimeout:
		return "timeout"
	case http.StatusConflict:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusUnprocessableEntity:
		return "invalid_request"
	case http.StatusServiceUnavailable:
		return "unavailable"
	}
	if status < http.StatusInternalServerError {
		return "bad_request"
	}
	return "internal"
}

// write answers with the problem outside of huma.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p.RequestID = requestOf(r.Context()).id
	w.Header().Set("Content-Type", contentProblem)
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil { // nobody is left to tell
		requestOf(r.Context()).log.DebugContext(r.Context(), "problem not written", "err", err)
	}
}
