package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

type (
	deadLettersInput struct {
		Workflow string `query:"workflow" doc:"namespace/name; all when absent." example:"ecommerce/process_order"`
		Limit    int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
		Cursor   string `query:"cursor" doc:"next_cursor of the page before." maxLength:"512"`
	}
	deadLettersOutput struct{ Body deadLettersBody }

	redriveInput struct {
		Body struct {
			Items []struct {
				RunID string `json:"run_id" minLength:"1"`
				Step  string `json:"step" minLength:"1"`
			} `json:"items" minItems:"1" maxItems:"100" doc:"The dead letters to retry."`
			Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the runs' logs."`
		}
	}
	redriveOutput struct {
		Body struct {
			Results []redriveResult `json:"results" doc:"One for each item, in the order of the items."`
		}
	}
	redriveResult struct {
		RunID  string        `json:"run_id"`
		Step   string        `json:"step"`
		Queued bool          `json:"queued" doc:"The step was queued again."`
		Error  *redriveError `json:"error,omitempty" doc:"Why it was not."`
	}
	redriveError struct {
		Code   string `json:"code" example:"conflict"`
		Detail string `json:"detail"`
	}
)

func (s *Server) deadLetterRoutes(api huma.API) {
	list := operation(http.MethodGet, "/v1/dead-letters", "dead letters", "list-dead-letters", "List failed steps that wait for a person")
	huma.Register(api, list, s.deadLetters)
	redrive := operation(http.MethodPost, "/v1/dead-letters/redrive", "dead letters", "redrive-dead-letters", "Retry up to 100 failed steps")
	redrive.Description = "Each item succeeds or fails by itself; the answer is 200 with a result for each."
	huma.Register(api, redrive, s.redrive)
}

func (s *Server) deadLetters(ctx context.Context, in *deadLettersInput) (*deadLettersOutput, error) {
	page, err := s.engine.Store().DeadLetters(ctx, dag.DeadLetterQuery{Workflow: in.Workflow, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	return &deadLettersOutput{Body: deadLettersOf(page)}, nil
}

func (s *Server) redrive(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	letters := make([]engine.OperatorRequest, len(in.Body.Items))
	for i, item := range in.Body.Items {
		letters[i] = engine.OperatorRequest{Run: item.RunID, Step: item.Step, Actor: actor, Reason: in.Body.Reason}
	}
	out := &redriveOutput{}
	for _, r := range s.engine.RedriveEach(ctx, letters) {
		result := redriveResult{RunID: r.Run, Step: r.Step, Queued: r.Err == nil}
		if r.Err != nil {
			p, _ := problemOf(r.Err)
			requestOf(ctx).report(ctx, p, r.Err)
			result.Error = &redriveError{Code: p.Code, Detail: p.Detail}
		}
		out.Body.Results = append(out.Body.Results, result)
	}
	return out, nil
}
