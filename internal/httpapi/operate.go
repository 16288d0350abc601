package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

type (
	// Asker says who asks for a change. It is exported, as are the types below that others embed, for huma's sake.
	Asker struct {
		Actor string `header:"X-Actor" maxLength:"256" pattern:"^[ -~]*$" patternDescription:"printable ASCII" default:"api" doc:"Who asks; kept in the run's log. It is not checked: the API knows no users." example:"ada@example.com"`
	}
	// VerbKey makes a verb idempotent.
	VerbKey struct {
		Key string `header:"Idempotency-Key" doc:"1 to 255 printable ASCII characters. The same request with the key of one of the run's last 16 changes nothing twice." example:"mend-42"`
	}
	// RunPath names a run.
	RunPath struct {
		ID string `path:"id" doc:"The run's ID." example:"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"`
	}
	// StepPath names a step of a run.
	StepPath struct {
		RunPath
		Step string `path:"step" doc:"The step's name." example:"process_payment"`
	}
	reasonBody struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the run's log." example:"the provider is back"`
	}
	runVerbInput struct {
		RunPath
		Asker
		VerbKey
		Body *reasonBody
	}
	stepVerbInput struct {
		StepPath
		Asker
		VerbKey
		Body *reasonBody
	}
	resolveInput struct {
		StepPath
		Asker
		VerbKey
		Body struct {
			Output json.RawMessage `json:"output" doc:"Any JSON of at most 256 KiB: what the steps after it are to read as the step's output."`
			Reason string          `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the run's log."`
		}
	}
)

// resolveExample is the output that an operator gives to a payment made by hand.
const resolveExample = `{"output":{"payment_id":"pay_by_hand_17","amount_charged":124.76,"currency":"USD","status":"completed"},"reason":"charged by telephone"}`

// verb is one of the engine's.
type verb func(context.Context, engine.OperatorRequest) (dag.RunView, error)

// verbRoutes are the operators' verbs. Each answers 202 with the run as it then is: the change is made, what follows from it goes on by itself.
func (s *Server) verbRoutes(api huma.API) {
	e := s.engine
	s.runVerb(api, "retry", "Retry every failed step of a run", "Failed steps are queued again and a failed run goes on. What succeeded is not done again.", e.Retry)
	s.runVerb(api, "cancel", "Cancel a run", "What waits is cancelled at once. A handler that runs loses its context within a heartbeat; until the last has returned the run is cancelling. "+
		"What has succeeded stays done: nothing is undone.", e.Cancel)
	s.runVerb(api, "pause", "Pause a run", "No step begins any more and the deadline waits. Handlers that run go on.", e.Pause)
	s.runVerb(api, "resume", "Let a paused run go on", "It goes on with the time that it had left.", e.Resume)
	s.stepVerb(api, "retry", "Retry a step", "A failed step is queued again; one that waits for its next attempt is tried at once.", e.Retry)
	s.stepVerb(api, "skip", "Skip a step", "A step that failed, or whose attempt has not begun, is settled as skipped: the steps after it go on, without its output. A failed run is opened again.", e.Skip)

	resolve := verbOperation("/v1/runs/{id}/steps/{step}/resolve", "resolve-run-step", "Settle a step with an output of yours")
	resolve.Description = "As skip, but the step counts as succeeded, and the steps after it read the output."
	huma.Register(api, resolve, func(ctx context.Context, in *resolveInput) (*runOutput, error) {
		return operate(ctx, "resolve", e.Resolve, in.Asker, in.VerbKey, engine.OperatorRequest{Run: in.ID, Step: in.Step, Output: in.Body.Output, Reason: in.Body.Reason})
	})
	bodyExample(api, resolve.Path, resolveExample)
}

func verbOperation(path, id, summary string) huma.Operation {
	op := operation(http.MethodPost, path, "runs", id, summary, http.StatusNotFound, http.StatusConflict)
	op.DefaultStatus = http.StatusAccepted
	return op
}

func (s *Server) runVerb(api huma.API, name, summary, description string, do verb) {
	op := verbOperation("/v1/runs/{id}/"+name, name+"-run", summary)
	op.Description = description
	huma.Register(api, op, func(ctx context.Context, in *runVerbInput) (*runOutput, error) {
		return operate(ctx, name, do, in.Asker, in.VerbKey, engine.OperatorRequest{Run: in.ID, Reason: reasonOf(in.Body)})
	})
}

func (s *Server) stepVerb(api huma.API, name, summary, description string, do verb) {
	op := verbOperation("/v1/runs/{id}/steps/{step}/"+name, name+"-run-step", summary)
	op.Description = description
	huma.Register(api, op, func(ctx context.Context, in *stepVerbInput) (*runOutput, error) {
		return operate(ctx, name, do, in.Asker, in.VerbKey, engine.OperatorRequest{Run: in.ID, Step: in.Step, Reason: reasonOf(in.Body)})
	})
}

func reasonOf(body *reasonBody) string {
	if body == nil {
		return ""
	}
	return body.Reason
}

// operate is the one way of every verb.
func operate(ctx context.Context, name string, do verb, who Asker, key VerbKey, req engine.OperatorRequest) (*runOutput, error) {
	if err := checkID(req.Run); err != nil {
		return nil, err
	}
	req.Actor, req.Nonce = who.Actor, key.nonce(name, req.Step)
	v, err := do(ctx, req)
	if err != nil {
		return nil, err
	}
	return &runOutput{Body: runOf(&v, nil)}, nil
}

// nonce is what the engine tells repetitions by; "" without a key. A key is a caller's own, and may be used again for another verb.
func (k VerbKey) nonce(name, step string) string {
	if k.Key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(name + "\x00" + step + "\x00" + k.Key))
	return hex.EncodeToString(sum[:16])
}

// bodyExample shows a body in the API's document.
func bodyExample(api huma.API, path, example string) {
	api.OpenAPI().Paths[path].Post.RequestBody.Content["application/json"].Example = json.RawMessage(example)
}
