package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/httpapi"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// rig is a Server over an engine in memory.
type rig struct {
	t      *testing.T
	server *httpapi.Server
	engine *engine.Engine
	store  *enginetest.Memory
	queue  *enginetest.FakeQueue
	faults *enginetest.Faulty
	log    *logBuffer
	nonces int
}

// logBuffer is written by handlers and read by the test.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const orderYAML = `namespace: shop
name: order
version: 1.0.0
description: An order
timeout: 1h
input_schema:
  type: object
  required: [email]
  properties:
    email: {type: string, format: email}
    items: {type: array, items: {type: object, properties: {quantity: {type: integer, minimum: 1}}}}
steps:
  - {name: pay, handler: shop.pay, retry: {max_attempts: 2}}
  - {name: ship, handler: shop.ship, depends_on: [pay]}
profiles:
  fast: {defaults: {queue: shop-fast}}
`

func newRig(t *testing.T, change ...func(*httpapi.Deps)) *rig {
	t.Helper()
	r := &rig{t: t, store: enginetest.NewMemory(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)), queue: &enginetest.FakeQueue{}, log: &logBuffer{}}
	r.faults = &enginetest.Faulty{Store: r.store}
	var err error
	r.engine, err = engine.New(r.faults, r.queue, definition.NewSchemas(), engine.Config{Now: r.store.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "1.10.0", "2.0.0-rc.1"} {
		src := strings.Replace(orderYAML, "1.0.0", version, 1)
		w, err := definition.Parse("order.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.engine.Register(t.Context(), w, src); err != nil {
			t.Fatal(err)
		}
	}
	deps := httpapi.Deps{
		Engine: r.engine, Log: slog.New(slog.NewTextHandler(r.log, nil)), Version: "1.2.3", Now: r.store.Now,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metric 1\n")) }),
	}
	for _, f := range change {
		f(&deps)
	}
	if r.server, err = httpapi.New(deps); err != nil {
		t.Fatal(err)
	}
	return r
}

// answer is what came back.
type answer struct {
	*httptest.ResponseRecorder
	t *testing.T
}

func (r *rig) do(method, path, body string, headers ...string) answer {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	r.server.ServeHTTP(rec, req)
	return answer{rec, r.t}
}

func (r *rig) get(path string) answer { return r.do(http.MethodGet, path, "") }

func (r *rig) post(path, body string, headers ...string) answer {
	return r.do(http.MethodPost, path, body, headers...)
}

// object is the body, which has to be a JSON object, after checking the status.
func (a answer) object(status int) map[string]any {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("status %d, want %d: %s", a.Code, status, a.Body)
	}
	var out map[string]any
	if err := json.Unmarshal(a.Body.Bytes(), &out); err != nil {
		a.t.Fatalf("body %q: %v", a.Body, err)
	}
	return out
}

// problem checks that the answer is a whole problem, and returns it.
func (a answer) problem(status int, code string) httpapi.Problem {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("status %d, want %d: %s", a.Code, status, a.Body)
	}
	if got := a.Header().Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("content type %q", got)
	}
	var p httpapi.Problem
	dec := json.NewDecoder(bytes.NewReader(a.Body.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		a.t.Fatalf("body %q: %v", a.Body, err)
	}
	if p.Status != status || p.Code != code || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		a.t.Errorf("problem %+v, want status %d and code %q", p, status, code)
	}
	if p.RequestID == "" || p.RequestID != a.Header().Get("X-Request-Id") {
		a.t.Errorf("request_id %q, header %q", p.RequestID, a.Header().Get("X-Request-Id"))
	}
	return p
}

const goodStart = `{"workflow":"shop/order","input":{"email":"a@example.com"}}`

// start starts a run and returns its ID.
func (r *rig) start() string {
	r.t.Helper()
	id, ok := r.post("/v1/runs", goodStart).object(http.StatusAccepted)["id"].(string)
	if !ok {
		r.t.Fatal("no id")
	}
	return id
}

// take begins the next step in the queue.
func (r *rig) take() *dag.Claim {
	r.t.Helper()
	r.engine.Quiesce()
	send, ok := r.queue.Take()
	if !ok {
		r.t.Fatal("no task in the queue")
	}
	r.nonces++
	begun, err := r.engine.Begin(r.t.Context(), dag.BeginRequest{Delivery: send.Delivery, Def: send.Def, Nonce: strings.Repeat("n", r.nonces), Worker: "w1"})
	if err != nil || begun.Verdict != dag.VerdictRun {
		r.t.Fatalf("begin: %v %v", begun.Verdict, err)
	}
	return &begun.Claim
}

// fail makes the next step fail for good.
func (r *rig) fail() {
	r.t.Helper()
	cause := dag.StepError{Code: "DECLINED", Message: "the card was declined"}
	if _, err := r.engine.Fail(r.t.Context(), r.take(), cause, 0, time.Millisecond); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) complete(output string) {
	r.t.Helper()
	if _, err := r.engine.Complete(r.t.Context(), r.take(), json.RawMessage(output), time.Millisecond); err != nil {
		r.t.Fatal(err)
	}
}

type kept struct{ status int }

func (k kept) Error() string             { return "sold out; choose another product" }
func (k kept) HTTPStatus() (int, string) { return k.status, "sold_out" }
func withRoute(path string, err func() error) func(*httpapi.Deps) {
	return func(d *httpapi.Deps) {
		d.Extra = func(api huma.API) {
			huma.Register(api, huma.Operation{OperationID: "extra", Method: http.MethodGet, Path: path}, func(context.Context, *struct{}) (*struct{}, error) { return nil, err() })
		}
	}
}
