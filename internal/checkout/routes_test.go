package checkout_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/pkg/dag"
)

// runs is an engine of one run.
type runs struct {
	run      dag.RunView
	replayed bool
	err      error
	started  checkout.StartOrder
	retried  []string
}

func (r *runs) StartRun(_ context.Context, o checkout.StartOrder) (dag.RunView, bool, error) {
	r.started = o
	return r.run, r.replayed, r.err
}

func (r *runs) Run(_ context.Context, id string) (dag.RunView, error) {
	if id != r.run.ID {
		return dag.RunView{}, &teapotError{}
	}
	return r.run, r.err
}

func (r *runs) RetryRun(_ context.Context, id, actor, reason string) (dag.RunView, error) {
	r.retried = append(r.retried, id, actor, reason)
	r.run.State = dag.RunRunning
	return r.run, nil
}

// teapotError is an error with a status of its own, to see that it passes unchanged.
type teapotError struct{}

func (*teapotError) Error() string  { return "teapot" }
func (*teapotError) GetStatus() int { return http.StatusTeapot }

func (r *runs) api() (huma.API, http.Handler) {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("shop", "1")
	cfg.CreateHooks = nil
	api := humago.New(mux, cfg)
	checkout.Routes(api, r)
	return api, mux
}

func (r *runs) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	_, h := r.api()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

const runID = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"

func failedRun() dag.RunView {
	return dag.RunView{
		ID: runID, Workflow: checkout.Workflow, State: dag.RunFailed, Progress: dag.Progress{Completed: 1, Total: 5, Percentage: 20},
		Steps: []dag.StepView{
			{Name: "validate_cart", State: dag.StepSucceeded, Output: json.RawMessage(cartOutput)},
			{Name: "process_payment", State: dag.StepFailed, Error: &dag.StepError{Code: "PAYMENT_DECLINED", Message: "Payment declined: No.", Refused: true, Stack: "s"}},
			{Name: "update_inventory", State: dag.StepPending},
		},
	}
}

func startedRun() dag.RunView {
	return dag.RunView{
		ID: runID, Workflow: checkout.Workflow, State: dag.RunScheduled, Progress: dag.Progress{Total: 5},
		Steps: []dag.StepView{{Name: "validate_cart", State: dag.StepQueued}},
	}
}

func TestPlaceOrder(t *testing.T) {
	t.Parallel()
	const view = `{"run_id":"` + runID + `","status":"processing","current_step":"validate_cart","progress":{"completed":0,"total":5,"percentage":0},"links":{"run":"/v1/runs/` + runID + `"}}`
	// Spaces and the text of numbers reach the engine as they were sent: it tells by them whether a repeated request is the same.
	body := strings.Replace(goodRequest, "{", `{ "priority" : "express", `, 1)
	body = strings.Replace(body, `"name":`, `"tier":"premium","name":`, 1)
	r := &runs{run: startedRun()}
	w := r.do("POST", "/v1/orders", body, "Idempotency-Key", "k 1")
	if w.Code != 202 || w.Header().Get("Location") != "/v1/orders/"+runID || w.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if diff := cmp.Diff(view, strings.TrimSpace(w.Body.String())); diff != "" {
		t.Error(diff)
	}
	want := checkout.StartOrder{Workflow: "ecommerce/process_order", Input: json.RawMessage(body), Key: "k 1", Profiles: []string{"express", "premium"}}
	if diff := cmp.Diff(want, r.started); diff != "" {
		t.Error(diff)
	}
	r.replayed = true
	w = r.do("POST", "/v1/orders", body, "Idempotency-Key", "k 1")
	if w.Code != 200 || w.Header().Get("Location") != "/v1/orders/"+runID || w.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("replay: %d %v", w.Code, w.Header())
	}
}

func TestProfilesAreReadToTheLetter(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                     "",
		`{"priority":"express"}`: "express",
		`{"priority":"overnight","customer_info":{"tier":"premium"}}`:        "premium",
		`{"customer_info":{"tier":"premium"},"priority":"express"}`:          "express,premium",
		`{"Priority":"express","customer_info":{"Tier":"premium"}}`:          "",
		`{"priority":["express"],"customer_info":"premium"}`:                 "",
		`{"priority":"standard","customer_info":{"tier":"enterprise"}}`:      "",
		`{"priority":"express","customer_info":null,"tier":"premium"}`:       "express",
		`{"priority":"express","priority":"standard","customer_info":[1,2]}`: "",
		`"express"`: "",
		`null`:      "",
	} {
		r := &runs{run: startedRun()}
		w := r.do("POST", "/v1/orders", body)
		if got := strings.Join(r.started.Profiles, ","); w.Code != 202 || got != want || string(r.started.Input) != body {
			t.Errorf("%s: %d, profiles %q, want %q", body, w.Code, got, want)
		}
	}
}

func TestPlaceOrderRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, kind string
		err        error
		want       int
	}{
		"engine's own": {goodRequest, "application/json", &teapotError{}, 418},
		"unknown":      {goodRequest, "application/json", errors.New("boom"), 500},
		"malformed":    {`{"cart_items":`, "application/json", nil, 400},
		"empty":        {``, "application/json", nil, 400},
		"not JSON":     {`a=b`, "text/plain", nil, 415},
		"too large":    {`"` + strings.Repeat("x", dag.MaxInputBytes) + `"`, "application/json", nil, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &runs{run: startedRun(), err: tc.err}
			w := r.do("POST", "/v1/orders", tc.body, "Content-Type", tc.kind)
			if w.Code != tc.want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tc.want)
			}
			if tc.err == nil && r.started.Workflow != "" {
				t.Error("the engine was asked")
			}
		})
	}
}

func TestGetOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*dag.RunView)
		want   string
	}{
		"failed": {func(*dag.RunView) {}, `{"run_id":"RUN","status":"failed","progress":{"completed":1,"total":5,"percentage":20},"total_amount":124.76,` +
			`"failed_step":"process_payment","error":{"message":"Payment declined: No.","code":"PAYMENT_DECLINED","retryable":false},"links":{"run":"/v1/runs/RUN","retry":"/v1/orders/RUN/retry"}}`},
		"retrying": {func(r *dag.RunView) { r.State, r.Steps[1].State = dag.RunRunning, dag.StepRetrying }, `{"run_id":"RUN","status":"processing","current_step":"process_payment",` +
			`"progress":{"completed":1,"total":5,"percentage":20},"total_amount":124.76,"links":{"run":"/v1/runs/RUN"}}`},
		"completed": {func(r *dag.RunView) {
			r.State, r.Progress = dag.RunSucceeded, dag.Progress{Completed: 5, Total: 5, Percentage: 100}
			r.Steps[1] = dag.StepView{Name: "create_order", State: dag.StepSucceeded, Output: json.RawMessage(orderOutput)}
		}, `{"run_id":"RUN","status":"completed","progress":{"completed":5,"total":5,"percentage":100},"order_id":"ord_1","order_number":"ORD-20260314-ABCDEF01",` +
			`"total_amount":124.76,"links":{"run":"/v1/runs/RUN"}}`},
		"cancelled": {func(r *dag.RunView) {
			r.State = dag.RunCancelled
			r.Steps = []dag.StepView{{Name: "validate_cart", State: dag.StepCancelled}, {Name: "create_order", State: dag.StepSucceeded, Output: json.RawMessage(`"by hand"`)}}
		}, `{"run_id":"RUN","status":"cancelled","progress":{"completed":1,"total":5,"percentage":20},"links":{"run":"/v1/runs/RUN"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &runs{run: failedRun()}
			tc.change(&r.run)
			w := r.do("GET", "/v1/orders/"+runID, "")
			if diff := cmp.Diff(strings.ReplaceAll(tc.want, "RUN", runID), strings.TrimSpace(w.Body.String())); w.Code != 200 || diff != "" {
				t.Errorf("%d %s", w.Code, diff)
			}
		})
	}
}

func TestEveryRunStateHasAStatus(t *testing.T) {
	t.Parallel()
	for state, want := range map[dag.RunState]string{
		dag.RunScheduled: "processing", dag.RunRunning: "processing", dag.RunPaused: "processing", dag.RunCompensating: "processing", dag.RunCancelling: "processing",
		dag.RunSucceeded: "completed", dag.RunFailed: "failed", dag.RunCompensated: "failed", dag.RunCancelled: "cancelled",
	} {
		r := &runs{run: failedRun()}
		r.run.State = state
		if got := decode[checkout.OrderView](t, r.do("GET", "/v1/orders/"+runID, "").Body.Bytes()).Status; got != want {
			t.Errorf("%s is told as %s, want %s", state, got, want)
		}
	}
}

func TestOnlyOrdersAreOrders(t *testing.T) {
	t.Parallel()
	for _, request := range [][2]string{{"GET", "/v1/orders/" + runID}, {"POST", "/v1/orders/" + runID + "/retry"}} {
		r := &runs{run: failedRun()}
		r.run.Workflow = "billing/invoice"
		w := r.do(request[0], request[1], "")
		const text = "run " + runID + " is no order: it runs billing/invoice; see /v1/runs/" + runID
		if w.Code != 404 || !strings.Contains(w.Body.String(), text) || len(r.retried) > 0 {
			t.Errorf("%v: %d %s", request, w.Code, w.Body)
		}
		if w := r.do(request[0], strings.Replace(request[1], runID, "nope", 1), ""); w.Code != http.StatusTeapot {
			t.Errorf("the engine's error did not pass: %d %s", w.Code, w.Body)
		}
	}
}

func TestRetryOrder(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{"": "", "{}": "", `{"reason":"restocked"}`: "restocked"} {
		r := &runs{run: failedRun()}
		w := r.do("POST", "/v1/orders/"+runID+"/retry", body)
		if w.Code != 202 || decode[checkout.OrderView](t, w.Body.Bytes()).Status != "processing" {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		if diff := cmp.Diff([]string{runID, "api", reason}, r.retried); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
	}
	r := &runs{run: failedRun()}
	if w := r.do("POST", "/v1/orders/"+runID+"/retry", `{"raeson":"restocked"}`); w.Code != 422 || len(r.retried) > 0 {
		t.Errorf("misspelt: %d %s", w.Code, w.Body)
	}
}
