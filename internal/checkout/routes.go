package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Workflow is what an order runs.
const Workflow = "ecommerce/process_order"

// The profiles of [Workflow], in the order in which they are applied.
const (
	profileExpress = "express"
	profilePremium = "premium"
)

// actor is who is said to have retried an order; orders know no users.
const actor = "api"

// ErrNotOrder says that a run is there but is none of [Workflow].
var ErrNotOrder = errors.New("not an order")

// notOrderError tells an API its status by HTTPStatus, so that the API needs no rule for it.
type notOrderError struct{ run, workflow string }

func (e *notOrderError) Error() string {
	return fmt.Sprintf("run %s is no order: it runs %s; see /v1/runs/%s", e.run, e.workflow, e.run)
}

func (*notOrderError) Unwrap() error { return ErrNotOrder }

// HTTPStatus is the status and the code of the problem.
func (*notOrderError) HTTPStatus() (status int, code string) { return http.StatusNotFound, "not_found" }

// Runs is what the routes need of the engine. Its errors reach the client by the API's own table, unchanged.
type Runs interface {
	// StartRun starts a run, or finds the one that was started under the same key: then replayed is true.
	StartRun(ctx context.Context, o StartOrder) (run dag.RunView, replayed bool, err error)
	// Run returns a run as it stands.
	Run(ctx context.Context, id string) (dag.RunView, error)
	// RetryRun retries the failed steps of a run and returns the run as it then stands.
	RetryRun(ctx context.Context, id, actor, reason string) (dag.RunView, error)
}

// StartOrder asks for a run of [Workflow].
type StartOrder struct {
	Workflow string
	Input    json.RawMessage // as it was sent: checking it against the workflow's schema is up to the engine
	Key      string          // idempotency key, or ""
	Profiles []string

	CorrelationID string
	TraceParent   string // W3C trace context
}

type placeInput struct {
	Key           string `header:"Idempotency-Key" doc:"1 to 255 printable ASCII characters. The same key with the same body is the same order, however often it is sent."`
	CorrelationID string `header:"X-Correlation-Id" doc:"Kept with the order's run."`
	TraceParent   string `header:"Traceparent" doc:"W3C trace context; handed on to the steps."`

	Body json.RawMessage
}

type runInput struct {
	ID string `path:"run_id" doc:"ID of the order's run." example:"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"`
}

type retryInput struct {
	ID   string `path:"run_id" doc:"ID of the order's run."`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the run's log."`
	}
}

type placeOutput struct {
	Status   int
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed"`
	Body     OrderView
}

type viewOutput struct{ Body OrderView }

// Routes adds POST /v1/orders, GET /v1/orders/{run_id} and POST /v1/orders/{run_id}/retry to an API.
func Routes(api huma.API, runs Runs) {
	r := routes{runs}
	huma.Register(api, huma.Operation{
		OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", Tags: []string{"orders"}, Summary: "Place an order",
		Description: "Starts a run of " + Workflow + ". Answers at once; the order is processed by workers. A request that carries the idempotency key of " +
			"an earlier one is answered 200 with the order as it is now.",
		DefaultStatus: http.StatusAccepted, MaxBodyBytes: dag.MaxInputBytes + 1,
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}}},
		Errors: []int{
			http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
		},
	}, r.place)
	documentBody(api)
	huma.Register(api, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{run_id}", Tags: []string{"orders"}, Summary: "See an order",
		Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, r.get)
	huma.Register(api, huma.Operation{
		OperationID: "retry-order", Method: http.MethodPost, Path: "/v1/orders/{run_id}/retry", Tags: []string{"orders"}, Summary: "Retry a failed order",
		Description:   "Goes on at the step that failed. What succeeded before is not done again.",
		DefaultStatus: http.StatusAccepted,
		Errors:        []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, r.retry)
}

// documentBody puts the schema of [Request] into the API's document. The route itself accepts any JSON, because the workflow's own schema is what
// decides, with pointers to all that is wrong.
func documentBody(api huma.API) {
	doc := api.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[Request](), true, "OrderRequest")
	doc.Paths["/v1/orders"].Post.RequestBody.Content["application/json"] = &huma.MediaType{Schema: schema}
}

type routes struct{ runs Runs }

func (r routes) place(ctx context.Context, in *placeInput) (*placeOutput, error) {
	run, replayed, err := r.runs.StartRun(ctx, StartOrder{
		Workflow: Workflow, Input: in.Body, Key: in.Key, Profiles: profilesOf(in.Body), CorrelationID: in.CorrelationID, TraceParent: in.TraceParent,
	})
	if err != nil {
		return nil, err
	}
	out := &placeOutput{Status: http.StatusAccepted, Location: orderPath(run.ID), Body: viewOf(&run)}
	if replayed {
		out.Status, out.Replayed = http.StatusOK, "true"
	}
	return out, nil
}

func (r routes) get(ctx context.Context, in *runInput) (*viewOutput, error) {
	run, err := r.order(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &viewOutput{viewOf(&run)}, nil
}

func (r routes) retry(ctx context.Context, in *retryInput) (*viewOutput, error) {
	if _, err := r.order(ctx, in.ID); err != nil {
		return nil, err
	}
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	run, err := r.runs.RetryRun(ctx, in.ID, actor, reason)
	if err != nil {
		return nil, err
	}
	return &viewOutput{viewOf(&run)}, nil
}

// order reads a run that must be an order's.
func (r routes) order(ctx context.Context, id string) (dag.RunView, error) {
	run, err := r.runs.Run(ctx, id)
	if err != nil {
		return dag.RunView{}, err
	}
	if run.Workflow != Workflow {
		return dag.RunView{}, &notOrderError{run: id, workflow: run.Workflow}
	}
	return run, nil
}

// profilesOf derives the profiles from an order: express delivery, then a premium customer. It reads exactly the fields that the schema names. An
// order that is malformed has none; the engine refuses it.
func profilesOf(input json.RawMessage) []string {
	var profiles []string
	if text(input, "priority") == "express" {
		profiles = append(profiles, profileExpress)
	}
	if text(input, "customer_info", "tier") == "premium" {
		profiles = append(profiles, profilePremium)
	}
	return profiles
}

// text is the string at a path of fields, "" when there is none. Unlike a struct's, a map's keys are matched to the letter.
func text(raw json.RawMessage, path ...string) string {
	for _, field := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return ""
		}
		raw = object[field]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
