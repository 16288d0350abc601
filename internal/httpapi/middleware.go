package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/stepwell/stepwell/pkg/dag"
)

// MaxBodyBytes bounds the body of every request.
const MaxBodyBytes = 512 << 10

const (
	headerRequestID = "X-Request-Id"
	headerKey       = "Idempotency-Key"
	headerActor     = "X-Actor"
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._:/=+-]{1,128}$`)

// request is what is known of the request that a context belongs to.
type request struct {
	id  string
	log *slog.Logger
}

type requestKey struct{}

func requestOf(ctx context.Context) request {
	if r, ok := ctx.Value(requestKey{}).(request); ok {
		return r
	}
	return request{log: slog.New(slog.DiscardHandler)}
}

// report logs what the client is not told.
func (q request) report(ctx context.Context, p *Problem, err error) {
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		q.log.DebugContext(ctx, "request cancelled", "err", err)
	case p.Status == http.StatusServiceUnavailable:
		q.log.WarnContext(ctx, "request refused", "code", p.Code, "err", err)
	case p.Status >= http.StatusInternalServerError:
		q.log.ErrorContext(ctx, "request failed", "err", err)
	}
}

// wrap puts around the router what every request passes, the outermost first.
func (s *Server) wrap(router chi.Router) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newProblem(http.StatusForbidden, "cross_origin", "a page of another origin may not change anything here; call the API from a server, or from a page of this origin").write(w, r)
	}))
	return s.identify(s.recover(origin.Handler(s.limit(s.checkBody(router)))))
}

// identify gives each request its ID, which every answer and log line carries, and logs it on level debug.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerRequestID)
		if !requestIDPattern.MatchString(id) {
			id = rand.Text()
		}
		q := request{id: id, log: s.log.With("request_id", id, "method", r.Method, "path", r.URL.Path)}
		h := w.Header()
		h.Set(headerRequestID, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		began := s.deps.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		ctx := context.WithValue(r.Context(), requestKey{}, q)
		next.ServeHTTP(ww, r.WithContext(ctx))
		q.log.DebugContext(ctx, "request served", "status", ww.Status(), "bytes", ww.BytesWritten(), "took", s.deps.Now().Sub(began))
	})
}

// recover answers a panic with a problem and logs its stack.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer answerPanic(w, r)
		next.ServeHTTP(w, r)
	})
}

// answerPanic is deferred.
func answerPanic(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	requestOf(r.Context()).log.ErrorContext(r.Context(), "request panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: cut the connection, so that the client does not take it for a whole one
	}
	newProblem(http.StatusInternalServerError, "internal", internalDetail).write(w, r)
}

// limit ends calls of the API that last too long.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAPI(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/") }

// checkBody refuses changing requests whose key or body is not as it must be, wherever they go.
func (s *Server) checkBody(router chi.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changing := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		if !changing || !isAPI(r) || !router.Match(chi.NewRouteContext(), r.Method, r.URL.Path) {
			router.ServeHTTP(w, r)
			return
		}
		if p := keyProblem(r.Header.Values(headerKey)); p != nil {
			p.write(w, r)
			return
		}
		body, p := readBody(w, r)
		if p != nil {
			if p.Status == http.StatusRequestEntityTooLarge {
				w.Header().Set("Connection", "close") // the rest is not read
			}
			p.write(w, r)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		router.ServeHTTP(w, r)
	})
}

// keyProblem does not repeat the key, which may be guessable.
func keyProblem(keys []string) *Problem {
	if len(keys) == 0 || len(keys) == 1 && dag.CheckKey(keys[0]) == nil {
		return nil
	}
	detail := fmt.Sprintf("the header %s must have 1 to %d printable ASCII characters; ", headerKey, dag.MaxKeyBytes)
	switch {
	case len(keys) > 1:
		detail = fmt.Sprintf("the header %s is there %d times; send it once", headerKey, len(keys))
	case keys[0] == "":
		detail += "it is empty: give it a value, or leave it out"
	case len(keys[0]) > dag.MaxKeyBytes:
		detail += fmt.Sprintf("it has %d: use a shorter one, for example a UUID", len(keys[0]))
	default:
		detail += "it has other characters: use for example a UUID"
	}
	return newProblem(http.StatusBadRequest, "invalid_idempotency_key", detail)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	if r.ContentLength > MaxBodyBytes {
		return nil, tooLarge(MaxBodyBytes)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(MaxBodyBytes)
	}
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "bad_request", "the body ended before its end or came too slowly; send it again")
	}
	if len(body) == 0 {
		return nil, nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		w.Header().Set("Accept", "application/json")
		return nil, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be JSON; send it with the header Content-Type: application/json")
	}
	return body, jsonProblem(body)
}

func tooLarge(limit int) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, "too_large",
		fmt.Sprintf("the body is larger than the limit of %d bytes (%d KiB); send less, for example references to large data instead of the data", limit, limit>>10))
}

// jsonProblem says where a body stops to be JSON.
func jsonProblem(body []byte) *Problem {
	err := dag.CheckJSON(body, MaxBodyBytes)
	if err == nil {
		return nil
	}
	detail := "the body is no acceptable JSON: " + strings.TrimPrefix(err.Error(), dag.ErrInvalid.Error()+" JSON: ")
	var v json.RawMessage
	if e, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		before := body[:min(max(int(e.Offset)-1, 0), len(body))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n')
		detail = fmt.Sprintf("the body is not JSON: %s at line %d, column %d; mend the text there", e.Error(), line, column)
	}
	return newProblem(http.StatusBadRequest, "malformed_json", detail)
}
