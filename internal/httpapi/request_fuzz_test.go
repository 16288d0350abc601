package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
)

// fuzzRig is a rig that is made anew after some requests, so that its memory stays small.
type fuzzRig struct {
	rig *rig
	n   int
}

func (f *fuzzRig) next(t *testing.T) *rig {
	t.Helper()
	const requests = 500
	if f.n%requests == 0 {
		f.rig = newRig(t)
	}
	f.n++
	f.rig.t = t
	return f.rig
}

// send sends a request with headers as net/http lets them through.
func (r *rig) send(method, target, body string, headers http.Header) answer {
	r.t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		r.t.Skip("no target of a request")
	}
	req := (&http.Request{
		Method: method, URL: u, RequestURI: target, Host: "shop.example.com", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: headers, Body: http.NoBody, RemoteAddr: "192.0.2.1:1234",
	}).WithContext(r.t.Context())
	if body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	r.server.ServeHTTP(rec, req)
	return answer{rec, r.t}
}

func header(t *testing.T, pairs ...string) http.Header {
	t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.ContainsFunc(pairs[i+1], func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) || strings.TrimSpace(pairs[i+1]) != pairs[i+1] {
			t.Skip("no value of a header")
		}
		if pairs[i+1] != "" {
			h[pairs[i]] = []string{pairs[i+1]}
		}
	}
	return h
}

// FuzzStart starts runs with headers and bodies of all kinds. Whatever comes is accepted or the caller's fault.
func FuzzStart(f *testing.F) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.Add("order-42", trace, "c-1", goodStart)
	f.Add("", "00-0AF7-x", strings.Repeat("c", dag.MaxLabelBytes+1), goodStart)
	f.Add(strings.Repeat("k", dag.MaxKeyBytes+1), "", "", goodStart)
	f.Add("k\u00e9", "", "", `{"workflow":"shop/order@1.0.0","input":{"email":"a@example.com"},"profiles":["fast"],"labels":{"tier":"gold"},"delay":"1s"}`)
	f.Add("k", trace, "", `{"workflow":"shop/order","input":{"email":"nobody","items":[{"quantity":0}]},"start_at":"2026-01-02T15:04:05Z","timeout":"1h"}`)
	f.Add("k", "", "", `{"workflow":"shop/none@9.9.9","profiles":["slow"],"labels":{"":""},"delay":"-1s","idempotency_key":"other"}`)
	f.Add("k", "", "", `{"workflow":"shop/order","input":{"email":"a@example.com"},"timeout":"9999999h","start_at":"9999-12-31T23:59:59.999999999Z"}`)
	var rigs fuzzRig
	f.Fuzz(func(t *testing.T, key, traceParent, correlation, body string) {
		r := rigs.next(t)
		headers := func() http.Header {
			return header(t, "Idempotency-Key", key, "Traceparent", traceParent, "X-Correlation-Id", correlation)
		}
		a := r.send(http.MethodPost, "/v1/runs", body, headers())
		wanted := []int{
			http.StatusOK, http.StatusAccepted, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge,
			http.StatusUnprocessableEntity,
		}
		if !slices.Contains(wanted, a.Code) {
			t.Fatalf("status %d: %s", a.Code, a.Body)
		}
		if a.Code >= http.StatusBadRequest {
			return
		}
		run := a.object(a.Code)
		if key != "" && dag.CheckKey(key) != nil {
			t.Errorf("key %q is accepted", key)
		}
		if key == "" {
			return
		}
		if again := r.send(http.MethodPost, "/v1/runs", body, headers()); again.Code != http.StatusOK || again.object(http.StatusOK)["id"] != run["id"] {
			t.Errorf("the repetition is answered %d %s", again.Code, again.Body)
		}
		if id, _ := run["id"].(string); r.send(http.MethodGet, "/v1/runs/"+id, "", http.Header{}).Code != http.StatusOK {
			t.Errorf("run %s is not there", id)
		}
	})
}

// FuzzRequest sends anything to the rest of the API: paths with run IDs, cursors and filters in queries, bodies of verbs.
func FuzzRequest(f *testing.F) {
	const id = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	for _, target := range []string{
		"/v1/runs/" + id, "/v1/runs/" + id + "/steps/pay", "/v1/runs/" + id + "/graph?format=svg", "/v1/runs/run_ff_x", "/v1/runs/%00/log", "/v1/workflows",
		"/v1/workflows/shop/order?version=1.0.0", "/v1/dead-letters?limit=1&cursor=MTc&code=POISON&failed_after=2026-01-02T15:00:00Z", "/v1/status", "/healthz", "/%2e%2e/",
	} {
		f.Add(false, target, "", "", "")
	}
	f.Add(true, "/v1/runs/"+id+"/cancel", "ada@example.com", "mend-42", `{"reason":"r"}`)
	f.Add(true, "/v1/runs/"+id+"/steps/pay/resolve", "", "", `{"output":{"a":1.0},"reason":"r"}`)
	f.Add(true, "/v1/dead-letters/redrive", "é", "", `{"filter":{"code":"X","failed_before":"2026-01-02T15:00:00Z"},"limit":1,"rate":500,"cursor":"AAAA"}`)
	f.Add(true, "/v1/dead-letters/redrive", "", "k", `{"items":[{"run_id":"`+id+`","step":"pay"}]}`)
	f.Add(true, "/v1/dead-letters/redrive", "", "", `{"all":true,"limit":-1}`)
	var rigs fuzzRig
	f.Fuzz(func(t *testing.T, post bool, target, actor, key, body string) {
		if strings.HasPrefix(target, "/v1/runs") && post && strings.TrimRight(target, "/?#") == "/v1/runs" {
			t.Skip("FuzzStart has it")
		}
		r := rigs.next(t)
		method := http.MethodGet
		if post {
			method = http.MethodPost
		} else {
			body = ""
		}
		a := r.send(method, target, body, header(t, "X-Actor", actor, "Idempotency-Key", key))
		if a.Code >= http.StatusInternalServerError || a.Code < http.StatusOK {
			t.Fatalf("status %d: %s", a.Code, a.Body)
		}
	})
}
