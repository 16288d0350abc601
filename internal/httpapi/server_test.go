package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/httpapi"
	"github.com/stepwell/stepwell/pkg/dag"
)

var update = flag.Bool("update", false, "write testdata/openapi.json")

func TestRoutingErrorsAreProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/nothing", "/v1/runs/run_x/events", "/v1/runs/run_x/begin", "/v1/", "/docs/other.js"} {
		if p := r.get(path).problem(http.StatusNotFound, "not_found"); !strings.Contains(p.Detail, "/docs") {
			t.Errorf("%s: %q", path, p.Detail)
		}
	}
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodGet, "/v1/runs", "POST"},
		{http.MethodDelete, "/v1/runs/run_x", "GET, HEAD"},
		{http.MethodPost, "/v1/workflows", "GET, HEAD"},
		{http.MethodPut, "/healthz", "GET, HEAD"},
	} {
		a := r.do(c.method, c.path, "{}")
		if p := a.problem(http.StatusMethodNotAllowed, "method_not_allowed"); a.Header().Get("Allow") != c.allow || !strings.Contains(p.Detail, c.allow) {
			t.Errorf("%s %s: Allow %q, %q", c.method, c.path, a.Header().Get("Allow"), p.Detail)
		}
	}
	if a := r.do(http.MethodHead, "/v1/workflows", ""); a.Code != http.StatusOK {
		t.Errorf("HEAD gives %d", a.Code)
	}
}

func TestErrorTable(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.1: s3cret")
	for _, c := range []struct {
		err    error
		status int
		code   string
		after  string
	}{
		{fmt.Errorf("get x: %w", engine.ErrNotFound), 404, "not_found", ""},
		{fmt.Errorf("x: %w", engine.ErrConflict), 409, "conflict", ""},
		{fmt.Errorf("x: %w", engine.ErrMismatch), 409, "idempotency_mismatch", ""},
		{&engine.StateError{Run: "r", State: dag.RunFailed, Allowed: "wait"}, 409, "conflict", ""},
		{fmt.Errorf("x: %w", &dag.InputError{}), 422, "invalid_input", ""},
		{fmt.Errorf("%w: name it", dag.ErrInvalid), 422, "invalid_request", ""},
		{fmt.Errorf("%w: %w", engine.ErrMemory, secret), 503, "out_of_memory", "30"},
		{fmt.Errorf("%w: %w", engine.ErrUnavailable, secret), 503, "unavailable", "2"},
		{fmt.Errorf("%w: %w", secret, context.DeadlineExceeded), 503, "timeout", "2"},
		{kept{http.StatusGone}, 410, "sold_out", ""},
		{kept{http.StatusBadGateway}, 502, "sold_out", ""},
		{secret, 500, "internal", ""},
	} {
		r := newRig(t, withRoute("/v1/extra", func() error { return c.err }))
		a := r.get("/v1/extra")
		a.problem(c.status, c.code)
		if a.Header().Get("Retry-After") != c.after || strings.Contains(a.Body.String(), "s3cret") {
			t.Errorf("%v: Retry-After %q, body %s", c.err, a.Header().Get("Retry-After"), a.Body)
		}
		if c.status >= 500 && !strings.Contains(r.log.String(), "err=") {
			t.Errorf("%v was not logged", c.err)
		}
	}
}

func TestPanicIsAnAnswerWithoutALeak(t *testing.T) {
	t.Parallel()
	r := newRig(t, withRoute("/v1/extra", func() error { panic("s3cret") }))
	a := r.do(http.MethodGet, "/v1/extra", "", "X-Request-Id", "find-me")
	a.problem(http.StatusInternalServerError, "internal")
	if strings.Contains(a.Body.String(), "s3cret") || strings.Contains(a.Body.String(), "goroutine") {
		t.Errorf("body %s", a.Body)
	}
	for _, part := range []string{"request panicked", "s3cret", "goroutine", "request_id=find-me"} {
		if !strings.Contains(r.log.String(), part) {
			t.Errorf("log lacks %q: %s", part, r.log)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for in, keeps := range map[string]bool{"abc-1.2:3": true, "": false, "a b": false, "<script>": false, strings.Repeat("x", 129): false} {
		got := r.do(http.MethodGet, "/healthz", "", "X-Request-Id", in).Header().Get("X-Request-Id")
		if (got == in) != keeps || got == "" {
			t.Errorf("in %q, out %q", in, got)
		}
	}
}

func TestCrossOriginRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	reached := false
	r := newRig(t, func(d *httpapi.Deps) {
		d.Asynqmon = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })
	})
	id := r.start()
	for _, path := range []string{"/v1/runs", "/v1/runs/" + id + "/retry", "/v1/dead-letters/redrive", "/asynqmon/api/queues/x:pause"} {
		for _, headers := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
			r.post(path, goodStart, headers...).problem(http.StatusForbidden, "cross_origin")
		}
	}
	if reached {
		t.Error("a cross-origin request reached asynqmon")
	}
	r.post("/v1/runs", goodStart, "Origin", "http://example.com", "Sec-Fetch-Site", "same-origin").object(http.StatusAccepted)
	r.post("/asynqmon/api/x", "")
	if !reached {
		t.Error("a request without an origin did not reach asynqmon")
	}
}

func TestAsynqmonIsReadOnly(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer func() { _ = client.Close() }()
	r := newRig(t, func(d *httpapi.Deps) { d.Asynqmon = httpapi.NewAsynqmon(client, nil) })
	if a := r.get("/asynqmon"); a.Code != http.StatusTemporaryRedirect || a.Header().Get("Location") != "/asynqmon/" {
		t.Errorf("/asynqmon: %d to %q", a.Code, a.Header().Get("Location"))
	}
	if a := r.get("/asynqmon/"); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), "<html") {
		t.Errorf("/asynqmon/: %d %.100s", a.Code, a.Body)
	}
	if a := r.get("/asynqmon/api/queues"); a.Code != http.StatusOK {
		t.Errorf("queues: %d %s", a.Code, a.Body)
	}
	if a := r.post("/asynqmon/api/queues/shop:pause", ""); a.Code != http.StatusMethodNotAllowed {
		t.Errorf("pause: %d, want 405", a.Code)
	}
}

func TestDocsNeedNothingFromOutside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]`)
	for path, contentType := range map[string]string{"/docs": "text/html; charset=utf-8", "/docs/docs.js": "text/javascript; charset=utf-8", "/docs/docs.css": "text/css; charset=utf-8"} {
		a := r.get(path)
		if a.Code != http.StatusOK || a.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: %d %q", path, a.Code, a.Header().Get("Content-Type"))
		}
		if found := outside.FindString(a.Body.String()); found != "" {
			t.Errorf("%s refers to %s", path, found)
		}
		csp := a.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if a := r.get("/"); a.Header().Get("Location") != "/docs" {
		t.Errorf("/ leads to %q", a.Header().Get("Location"))
	}
	if a := r.get("/metrics"); a.Body.String() != "metric 1\n" {
		t.Errorf("metrics: %s", a.Body)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.get("/openapi.json")
	var indented bytes.Buffer
	if err := json.Indent(&indented, a.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, indented.Bytes()) {
		t.Errorf("the document changed; look at it, then run: go test ./internal/httpapi -run TestOpenAPI -update")
	}

	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Tags        []string
			Parameters  []struct{ Name, In string }
			Responses   map[string]struct {
				Description string
				Content     map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(a.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title == "" || doc.Info.Version != "1.2.3" {
		t.Errorf("head %q %+v", doc.OpenAPI, doc.Info)
	}
	ids := map[string]bool{}
	for path, verbs := range doc.Paths {
		for verb, op := range verbs {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || len(op.Responses) == 0 {
				t.Errorf("%s %s: %+v", verb, path, op)
			}
			ids[op.OperationID] = true
			for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name[1] && p.In == "path" }) {
					t.Errorf("%s %s does not declare the parameter %s", verb, path, name[1])
				}
			}
			for status, answer := range op.Responses {
				if answer.Description == "" {
					t.Errorf("%s %s: %s has no description", verb, path, status)
				}
				if _, ok := answer.Content["application/problem+json"]; !ok && status >= "400" {
					t.Errorf("%s %s: %s is no problem", verb, path, status)
				}
			}
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.Body.String(), -1) {
		if doc.Components.Schemas[ref[1]] == nil {
			t.Errorf("schema %s is referred to, but is not there", ref[1])
		}
	}
	for _, path := range []string{"/v1/runs", "/v1/runs/{id}", "/v1/runs/{id}/steps/{step}/retry", "/v1/runs/{id}/cancel", "/v1/runs/{id}/steps/{step}/resolve", "/v1/dead-letters/redrive", "/v1/workflows/{ns}/{name}", "/v1/status", "/healthz", "/readyz"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not in the document", path)
		}
	}
}

func TestRunServesAndDrains(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(d *httpapi.Deps) {
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			close(entered)
			<-leave
			if req.Context().Err() == nil {
				_, _ = w.Write([]byte("whole"))
			}
		})
	})
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	got := make(chan string, 1)
	go func() {
		res, err := client.Get("http://" + ln.Addr().String() + "/metrics")
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		got <- string(body)
	}()
	<-entered
	stop()
	deadline := time.Now().Add(10 * time.Second)
	for r.get("/readyz").Code == http.StatusOK { // until the server has seen that it is to end
		if time.Now().After(deadline) {
			t.Fatal("still ready 10 s after its context ended")
		}
	}
	r.get("/readyz").problem(http.StatusServiceUnavailable, "draining")
	select {
	case err := <-ended:
		t.Fatalf("ended before its last request: %v", err)
	default:
	}
	close(leave)
	if body := <-got; body != "whole" {
		t.Errorf("the running request got %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunCutsOffAfterTheGraceTime(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	r := newRig(t, func(d *httpapi.Deps) {
		d.Grace = 10 * time.Millisecond
		d.Metrics = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			close(entered)
			<-req.Context().Done() // the connection is cut
		})
	})
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(ctx, ln) }()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "still running after 10ms") {
		t.Errorf("got %v", err)
	}
}

func TestNewChecksItsDeps(t *testing.T) {
	t.Parallel()
	if _, err := httpapi.New(httpapi.Deps{}); err == nil {
		t.Error("no engine went unnoticed")
	}
	r := newRig(t)
	if _, err := httpapi.New(httpapi.Deps{Engine: r.engine, Grace: -1}); !errors.Is(err, dag.ErrInvalid) {
		t.Errorf("negative grace: %v", err)
	}
}
