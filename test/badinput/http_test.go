//go:build integration

package badinput_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// request is something that an API has to refuse.
type request struct {
	name   string
	method string // POST when empty
	path   string // /v1/runs when empty
	body   string
	header http.Header // on top of Content-Type: application/json

	status   int
	code     string
	says     []string // in the detail or in any of the errors
	pointers []string // exactly these, in any order
}

type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string `json:"request_id"`
	Errors                    []struct{ Pointer, Message string }
}

// refuses sends a request and checks the problem that comes back.
func refuses(t *testing.T, client *http.Client, api string, r request) {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	if r.path == "" {
		r.path = "/v1/runs"
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, api+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.header)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p problem
	if media := resp.Header.Get("Content-Type"); media != "application/problem+json" {
		t.Errorf("media type %q, want application/problem+json", media)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Errorf("body: %v", err)
	}
	if resp.StatusCode != r.status || p.Status != r.status || p.Code != r.code {
		t.Errorf("status %d (in the body %d), code %q; want %d, %q", resp.StatusCode, p.Status, p.Code, r.status, r.code)
	}
	said, pointers := []string{p.Detail}, []string{}
	for _, e := range p.Errors {
		said, pointers = append(said, e.Pointer+" "+e.Message), append(pointers, e.Pointer)
	}
	text := strings.Join(said, "\n")
	for _, want := range r.says {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q", want)
		}
	}
	slices.Sort(pointers)
	slices.Sort(r.pointers)
	if r.pointers != nil && !slices.Equal(slices.Compact(pointers), r.pointers) {
		t.Errorf("pointers %q, want %q", pointers, r.pointers)
	}
	for _, no := range []string{"goroutine ", ".go:", "panic", "%!", "json: "} {
		if strings.Contains(string(raw), no) {
			t.Errorf("says %q to a caller", no)
		}
	}
	if p.RequestID == "" {
		t.Error("no request_id")
	}
	if t.Failed() {
		t.Logf("%d %s", resp.StatusCode, raw)
	}
}

const (
	noRun = "run_00_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
	// wrongOrder breaks the input schema in seven places.
	wrongOrder = `{"cart_items":[{"product_id":"x","quantity":0},{"quantity":1}],"payment_info":{"method":"cash","amount":-1},"customer_info":{"email":"nope","name":""}}`
	goodOrder  = `{"cart_items":[{"product_id":8,"quantity":1}],"payment_info":{"method":"credit_card","amount":23.26,"currency":"USD","token":"test_success_visa"},"customer_info":{"email":"ada@example.com","name":"Ada"}}`
)

func wrongPlaces() []string {
	return []string{"/cart_items/0/product_id", "/cart_items/0/quantity", "/cart_items/1/product_id", "/payment_info/method", "/payment_info/amount", "/payment_info/currency", "/customer_info/email", "/customer_info/name"}
}

func requests() []request {
	order := func(input string) string { return `{"workflow":"ecommerce/process_order","input":` + input + `}` }
	key := func(k ...string) http.Header { return http.Header{"Idempotency-Key": k} }
	return []request{
		{name: "malformed JSON", body: "{\n  \"workflow\": \"ecommerce/process_order\",\n  \"input\": {,}\n}", status: 400, code: "malformed_json", says: []string{"line 3", "column 13"}},
		{name: "JSON that ends too soon", body: `{"workflow":`, status: 400, code: "malformed_json", says: []string{"unexpected end"}},
		{name: "two documents", body: order("{}") + order("{}"), status: 400, code: "malformed_json"},
		{name: "no object", body: `[1]`, status: 422, code: "invalid_request", says: []string{"object"}},
		{name: "no body", status: 400, code: "bad_request", says: []string{"body is required"}},
		{
			name: "wrong types, all at once", body: `{"workflow":5,"input":{},"labels":["a"],"delay":3,"timeout":"soon","inptu":1}`, status: 422, code: "invalid_request",
			says: []string{"must be a string", "duration", "no such field"}, pointers: []string{"/workflow", "/labels", "/delay", "/timeout", "/inptu"},
		},
		{name: "no workflow", body: `{"input":{}}`, status: 422, code: "invalid_request", says: []string{"namespace/name"}},
		{name: "every violation of the schema", body: order(wrongOrder), status: 422, code: "invalid_input", says: []string{"schema"}, pointers: wrongPlaces()},
		{name: "every violation, of an order", path: "/v1/orders", body: wrongOrder, status: 422, code: "invalid_input", pointers: wrongPlaces()},
		{name: "an order that is none", path: "/v1/orders", body: `{}`, status: 422, code: "invalid_input", says: []string{"is required"}, pointers: []string{"/cart_items", "/payment_info", "/customer_info"}},
		{name: "unknown workflow", body: `{"workflow":"ecommerce/procure_order"}`, status: 404, code: "not_found", says: []string{"ecommerce/procure_order", "/v1/workflows"}},
		{name: "unknown version", body: `{"workflow":"ecommerce/process_order@9.9.9"}`, status: 404, code: "not_found", says: []string{"9.9.9", "registered are 1.0.0"}},
		{name: "no name of a workflow", body: `{"workflow":"process order"}`, status: 422, code: "invalid_request", says: []string{"namespace/name"}},
		{name: "unknown profile", body: `{"workflow":"ecommerce/process_order","profiles":["turbo"],"input":` + goodOrder + `}`, status: 422, code: "invalid_request", says: []string{"turbo"}},
		{name: "unknown run", method: "GET", path: "/v1/runs/" + noRun, status: 404, code: "not_found", says: []string{noRun}},
		{name: "no run's ID", method: "GET", path: "/v1/runs/42", status: 404, code: "not_found", says: []string{"looks like run_"}},
		{name: "steps of an unknown run", method: "GET", path: "/v1/runs/" + noRun + "/steps", status: 404, code: "not_found"},
		{name: "log of an unknown run", method: "GET", path: "/v1/runs/" + noRun + "/log", status: 404, code: "not_found"},
		{name: "graph of an unknown run", method: "GET", path: "/v1/runs/" + noRun + "/graph", status: 404, code: "not_found"},
		{name: "retry of an unknown run", path: "/v1/runs/" + noRun + "/retry", body: `{}`, status: 404, code: "not_found"},
		{name: "cancel of an unknown run", path: "/v1/runs/" + noRun + "/cancel", body: `{}`, status: 404, code: "not_found", says: []string{noRun}},
		{name: "pause of what is no run", path: "/v1/runs/42/pause", status: 404, code: "not_found", says: []string{"looks like run_"}},
		{name: "resume of an unknown run", path: "/v1/runs/" + noRun + "/resume", status: 404, code: "not_found"},
		{name: "skip in an unknown run", path: "/v1/runs/" + noRun + "/steps/process_payment/skip", status: 404, code: "not_found"},
		{name: "resolve in an unknown run", path: "/v1/runs/" + noRun + "/steps/process_payment/resolve", body: `{"output":1}`, status: 404, code: "not_found"},
		{name: "resolve without an output", path: "/v1/runs/" + noRun + "/steps/process_payment/resolve", body: `{"reason":"x"}`, status: 422, code: "invalid_request", says: []string{"output"}},
		{name: "resolve with half an output", path: "/v1/runs/" + noRun + "/steps/process_payment/resolve", body: `{"output":{"a":}}`, status: 400, code: "malformed_json", says: []string{"line 1"}},
		{name: "resolve with too large an output", path: "/v1/runs/" + noRun + "/steps/process_payment/resolve", body: `{"output":"` + strings.Repeat("y", 300<<10) + `"}`, status: 422, code: "invalid_request", says: []string{"limit of 262144"}},
		{name: "actor that is too long", path: "/v1/runs/" + noRun + "/cancel", header: http.Header{"X-Actor": {strings.Repeat("a", 257)}}, status: 422, code: "invalid_request", says: []string{"X-Actor", "256"}},
		{name: "actor in other letters", path: "/v1/runs/" + noRun + "/cancel", header: http.Header{"X-Actor": {"Jürgen"}}, status: 422, code: "invalid_request", says: []string{"X-Actor", "printable ASCII"}},
		{name: "redrive of nothing", path: "/v1/dead-letters/redrive", body: `{}`, status: 422, code: "invalid_request", says: []string{"items, or a filter, or all: true"}},
		{name: "redrive with an empty filter", path: "/v1/dead-letters/redrive", body: `{"filter":{}}`, status: 422, code: "invalid_request", says: []string{"all: true"}},
		{name: "redrive in two ways", path: "/v1/dead-letters/redrive", body: `{"all":true,"items":[{"run_id":"` + noRun + `","step":"a"}]}`, status: 422, code: "invalid_request", says: []string{"items go alone"}},
		{name: "redrive too fast", path: "/v1/dead-letters/redrive", body: `{"all":true,"rate":5000}`, status: 422, code: "invalid_request", says: []string{"500"}, pointers: []string{"/rate"}},
		{name: "redrive with a misspelt filter", path: "/v1/dead-letters/redrive", body: `{"filter":{"worklow":"a/b"}}`, status: 422, code: "invalid_request", says: []string{"remove it"}, pointers: []string{"/filter/worklow"}},
		{name: "dead letters since a time that is none", method: "GET", path: "/v1/dead-letters?failed_after=yesterday", status: 422, code: "invalid_request", says: []string{"failed_after"}},
		{name: "retry of an unknown order", path: "/v1/orders/" + noRun + "/retry", body: `{}`, status: 404, code: "not_found"},
		{name: "unknown order", method: "GET", path: "/v1/orders/" + noRun, status: 404, code: "not_found"},
		{name: "unknown workflow, asked for", method: "GET", path: "/v1/workflows/ecommerce/nope", status: 404, code: "not_found"},
		{name: "oversized body", body: strings.Repeat(" ", 600<<10), status: 413, code: "too_large", says: []string{"limit of"}},
		{name: "oversized input", body: order(`{"x":"` + strings.Repeat("y", 300<<10) + `"}`), status: 422, code: "invalid_request", says: []string{"262144"}},
		{name: "key too long", header: key(strings.Repeat("k", 256)), body: order(goodOrder), status: 400, code: "invalid_idempotency_key", says: []string{"255"}},
		{name: "key with other characters", header: key("schlüssel"), body: order(goodOrder), status: 400, code: "invalid_idempotency_key", says: []string{"printable ASCII"}},
		{name: "empty key", header: key(""), body: order(goodOrder), status: 400, code: "invalid_idempotency_key", says: []string{"empty"}},
		{name: "two keys", header: key("a", "b"), body: order(goodOrder), status: 400, code: "invalid_idempotency_key", says: []string{"once"}},
		{name: "key of an order", path: "/v1/orders", header: key(strings.Repeat("k", 256)), body: goodOrder, status: 400, code: "invalid_idempotency_key", says: []string{"255"}},
		{name: "unsupported media type", header: http.Header{"Content-Type": {"text/plain"}}, body: order(goodOrder), status: 415, code: "unsupported_media_type", says: []string{"application/json"}},
		{name: "no media type", header: http.Header{"Content-Type": {""}}, body: order(goodOrder), status: 415, code: "unsupported_media_type", says: []string{"application/json"}},
		{name: "no such path", method: "GET", path: "/v1/rums", status: 404, code: "not_found", says: []string{"/docs"}},
		{name: "no such method", method: "DELETE", path: "/v1/runs/" + noRun, status: 405, code: "method_not_allowed"},
		{name: "page of another origin", header: http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, body: order(goodOrder), status: 403, code: "cross_origin"},
		{name: "limit that is no number", method: "GET", path: "/v1/dead-letters?limit=many", status: 422, code: "invalid_request", says: []string{"limit"}},
		{name: "format that is none", method: "GET", path: "/v1/runs/" + noRun + "/graph?format=gif", status: 422, code: "invalid_request", says: []string{"mermaid"}},
		{name: "reason that is no text", path: "/v1/runs/" + noRun + "/retry", body: `{"reason":5}`, status: 422, code: "invalid_request", says: []string{"string"}},
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	redis := redistest.Own(t, localredis.Options{})
	stack, err := demo.StartStack(t.Context(), demo.Options{Binary: binary, Dir: t.TempDir(), RedisURL: redis.URL})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := stack.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if tail := stack.API.Tail(); strings.Contains(tail, "panic") {
			t.Errorf("the API panicked:\n%s", tail)
		}
	})
	for _, r := range requests() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			refuses(t, client, stack.APIURL, r)
		})
	}
}
