package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// startExample is a start that the shipped workflow accepts.
const startExample = `{"workflow":"ecommerce/process_order","input":{"cart_items":[{"product_id":1,"quantity":2}],` +
	`"payment_info":{"method":"credit_card","amount":286.77,"currency":"USD","token":"test_success_visa"},"customer_info":{"email":"ada@example.com","name":"Ada"}}}`

// startBody documents the body of a start, which [engine.DecodeStart] reads.
type startBody struct {
	Workflow      string            `json:"workflow" doc:"namespace/name, or namespace/name@version; without a version the highest that is no pre-release." example:"ecommerce/process_order"`
	Input         json.RawMessage   `json:"input,omitempty" doc:"Any JSON that satisfies the workflow's input schema; {} when absent. At most 256 KiB."`
	Profiles      []string          `json:"profiles,omitempty" doc:"Named changes of the workflow, applied in order."`
	Labels        map[string]string `json:"labels,omitempty" doc:"At most 16."`
	StartAt       string            `json:"start_at,omitempty" format:"date-time" doc:"Not before; at most one of start_at and delay."`
	Delay         string            `json:"delay,omitempty" doc:"Not before so long from now." example:"30s"`
	Timeout       string            `json:"timeout,omitempty" doc:"Of the whole run, from its start; the workflow's when absent." example:"1h"`
	Key           string            `json:"idempotency_key,omitempty" doc:"As the header Idempotency-Key, for callers that cannot set one."`
	CorrelationID string            `json:"correlation_id,omitempty" doc:"As the header X-Correlation-Id."`
}

type (
	startInput struct {
		Key           string `header:"Idempotency-Key" doc:"1 to 255 printable ASCII characters. The same key with the same body is the same run, however often it is sent." example:"order-42"`
		CorrelationID string `header:"X-Correlation-Id" doc:"Kept with the run."`
		TraceParent   string `header:"Traceparent" doc:"W3C trace context; handed on to the steps."`
		Body          json.RawMessage
	}
	startOutput struct {
		Status   int
		Location string `header:"Location" doc:"The run."`
		Replayed string `header:"Idempotent-Replayed" doc:"true when the run was started earlier under the same key."`
		Body     runBody
	}
	graphInput struct {
		RunPath
		Format string `query:"format" enum:"mermaid,dot,svg,json" default:"json" doc:"Steps are coloured by state."`
	}
	runOutput   struct{ Body runBody }
	stepOutput  struct{ Body stepBody }
	stepsOutput struct {
		Body struct {
			Steps []stepBody `json:"steps"`
		}
	}
	logOutput struct {
		Body struct {
			Log []logBody `json:"log" doc:"Oldest first; at most the last 1,000 entries."`
		}
	}
	rawOutput struct {
		ContentType string `header:"Content-Type"`
		CSP         string `header:"Content-Security-Policy"`
		Body        []byte
	}
)

func (s *Server) runRoutes(api huma.API) {
	start := operation(http.MethodPost, "/v1/runs", "runs", "start-run", "Start a run", http.StatusConflict, http.StatusServiceUnavailable)
	start.Description = "Answers at once; workers do the steps. A request that carries the idempotency key of an earlier one with the same body is answered 200 with the run as it is now."
	start.DefaultStatus = http.StatusAccepted
	start.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}}}
	start.Responses = map[string]*huma.Response{"200": {
		Description: "The run that was started earlier under the idempotency key, as it is now.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[runBody](), true, "Run")}},
	}}
	huma.Register(api, start, s.start)
	document[startBody](api, "/v1/runs", "StartRequest", json.RawMessage(startExample))

	huma.Register(api, operation(http.MethodGet, "/v1/runs/{id}", "runs", "get-run", "See a run", http.StatusNotFound), s.run)
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{id}/steps", "runs", "get-run-steps", "See the steps of a run", http.StatusNotFound), s.steps)
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{id}/steps/{step}", "runs", "get-run-step", "See a step of a run", http.StatusNotFound), s.step)
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{id}/log", "runs", "get-run-log", "See what happened in a run", http.StatusNotFound), s.runLog)

	graph := operation(http.MethodGet, "/v1/runs/{id}/graph", "runs", "get-run-graph", "Draw a run", http.StatusNotFound)
	graph.Responses = map[string]*huma.Response{"200": drawn(api)}
	huma.Register(api, graph, s.graph)
}

// operation is what all operations have in common; statuses are those of errors beyond the usual.
func operation(method, path, tag, id, summary string, statuses ...int) huma.Operation {
	statuses = append(statuses, http.StatusServiceUnavailable, http.StatusUnprocessableEntity)
	if method == http.MethodPost {
		statuses = append(statuses, http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary, Errors: statuses}
}

// document puts the schema of T into the API's document as the body of a POST that reads its body itself.
func document[T any](api huma.API, path, name string, example any) {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, name)
	api.OpenAPI().Paths[path].Post.RequestBody.Content["application/json"] = &huma.MediaType{Schema: schema, Example: example}
}

func drawn(api huma.API) *huma.Response {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	return &huma.Response{
		Description: "The graph in the format that was asked for.",
		Content: map[string]*huma.MediaType{
			"application/json":  {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[graphBody](), true, "Graph")},
			"text/plain":        text,
			"text/vnd.graphviz": text,
			"image/svg+xml":     text,
		},
	}
}

func (s *Server) start(ctx context.Context, in *startInput) (*startOutput, error) {
	if len(in.Body) > engine.MaxStartBytes {
		return nil, tooLarge(engine.MaxStartBytes)
	}
	req, err := engine.DecodeStart(in.Body)
	if err != nil {
		return nil, err
	}
	if req.Key != "" {
		if p := keyProblem([]string{req.Key}); p != nil {
			p.Detail = strings.Replace(p.Detail, "header "+headerKey, "field idempotency_key", 1)
			return nil, p
		}
	}
	if in.Key != "" && req.Key != "" && in.Key != req.Key {
		return nil, newProblem(http.StatusBadRequest, "invalid_idempotency_key", "the header Idempotency-Key and the field idempotency_key differ; send one of them")
	}
	req.Key = cmp.Or(in.Key, req.Key)
	req.CorrelationID = cmp.Or(req.CorrelationID, in.CorrelationID)
	req.TraceParent = in.TraceParent
	started, err := s.engine.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &startOutput{Status: http.StatusAccepted, Location: "/v1/runs/" + started.Run.ID, Body: runOf(&started.Run, started.Warnings)}
	if started.Replayed {
		out.Status, out.Replayed, out.Body.Warnings = http.StatusOK, "true", nil
	}
	return out, nil
}

// checkID tells a text that can be no run's ID from the ID of a run that is not there; either is not found.
func checkID(id string) error {
	if _, err := dag.RunPartition(id); err != nil {
		return fmt.Errorf("run %w: a run ID looks like run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA; GET /v1/dead-letters and the answers of starts carry them", engine.ErrNotFound)
	}
	return nil
}

// view reads a run whose ID came from outside.
func (s *Server) view(ctx context.Context, id string) (dag.RunView, error) {
	if err := checkID(id); err != nil {
		return dag.RunView{}, err
	}
	v, err := s.engine.Store().Run(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		return v, fmt.Errorf("run %s: %w; it may have been removed some time after its end", id, engine.ErrNotFound)
	}
	return v, err
}

func (s *Server) run(ctx context.Context, in *RunPath) (*runOutput, error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &runOutput{Body: runOf(&v, nil)}, nil
}

func (s *Server) steps(ctx context.Context, in *RunPath) (*stepsOutput, error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &stepsOutput{}
	out.Body.Steps = stepsOf(v.Steps)
	return out, nil
}

func (s *Server) step(ctx context.Context, in *StepPath) (*stepOutput, error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(v.Steps))
	for i := range v.Steps {
		if v.Steps[i].Name == in.Step {
			return &stepOutput{Body: stepOf(&v.Steps[i])}, nil
		}
		names[i] = v.Steps[i].Name
	}
	return nil, fmt.Errorf("step %q of run %s: %w; its steps are %s", in.Step, in.ID, engine.ErrNotFound, strings.Join(names, ", "))
}

func (s *Server) runLog(ctx context.Context, in *RunPath) (*logOutput, error) {
	if _, err := s.view(ctx, in.ID); err != nil {
		return nil, err
	}
	entries, err := s.engine.Store().Log(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &logOutput{}
	out.Body.Log = logOf(entries)
	return out, nil
}

func (s *Server) graph(ctx context.Context, in *graphInput) (*rawOutput, error) {
	v, err := s.view(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	g, err := s.engine.Store().Graph(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	contentType, body, err := draw(in.Format, g, statesOf(&v))
	if err != nil {
		return nil, fmt.Errorf("draw run %s: %w", in.ID, err)
	}
	return &rawOutput{ContentType: contentType, CSP: "default-src 'none'; style-src 'unsafe-inline'; sandbox", Body: body}, nil
}
