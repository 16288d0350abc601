package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// redriveTime bounds the work of one redrive request; it ends before requestTimeout.
const redriveTime = 25 * time.Second

type (
	deadLettersInput struct {
		Workflow     string    `query:"workflow" doc:"namespace/name; all when absent." example:"ecommerce/process_order"`
		Step         string    `query:"step" doc:"The step's name." example:"process_payment"`
		Code         string    `query:"code" doc:"Of the error." example:"POISON"`
		FailedAfter  time.Time `query:"failed_after" doc:"At this time or later."`
		FailedBefore time.Time `query:"failed_before" doc:"Earlier than this."`
		Limit        int       `query:"limit" minimum:"1" maximum:"100" default:"50"`
		Cursor       string    `query:"cursor" doc:"next_cursor of the page before." maxLength:"512"`
	}
	deadLettersOutput struct{ Body deadLettersBody }

	redriveInput struct {
		Asker
		Body redriveBody
	}
	redriveBody struct {
		Items  []redriveItem `json:"items,omitempty" minItems:"1" maxItems:"100" doc:"The dead letters to retry. Give items, or a filter, or all."`
		Filter *letterFilter `json:"filter,omitempty" doc:"Retry the dead letters that it selects, latest first. An empty one needs all."`
		All    bool          `json:"all,omitempty" doc:"True: every dead letter may be retried."`
		Limit  int           `json:"limit,omitempty" minimum:"1" maximum:"10000" doc:"With a filter or all: dead letters to try at most; 1,000 when absent."`
		Rate   float64       `json:"rate,omitempty" minimum:"0.1" maximum:"500" doc:"With a filter or all: dead letters a second; 50 when absent."`
		Cursor string        `json:"cursor,omitempty" maxLength:"512" doc:"next_cursor of the answer before, so that those which were refused are not tried again."`
		Reason string        `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the runs' logs."`
	}
	redriveItem struct {
		RunID string `json:"run_id" minLength:"1"`
		Step  string `json:"step" minLength:"1"`
	}
	letterFilter struct {
		Workflow     string    `json:"workflow,omitempty" doc:"namespace/name." example:"ecommerce/process_order"`
		Step         string    `json:"step,omitempty" doc:"The step's name."`
		Code         string    `json:"code,omitempty" doc:"Of the error."`
		FailedAfter  time.Time `json:"failed_after,omitzero" doc:"At this time or later."`
		FailedBefore time.Time `json:"failed_before,omitzero" doc:"Earlier than this."`
	}
	redriveOutput struct {
		Body struct {
			Queued     int             `json:"queued" doc:"Steps that were queued again."`
			Failed     int             `json:"failed" doc:"Steps that could not be."`
			Results    []redriveResult `json:"results" doc:"With items one for each, in their order; else those that could not be queued, at most 100."`
			More       bool            `json:"more" doc:"There may be dead letters that were not tried, because of the limit or of the 25 s that a request works: send it again, with the cursor."`
			NextCursor string          `json:"next_cursor,omitempty" doc:"Where to go on."`
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

const redriveExample = `{"filter":{"workflow":"ecommerce/process_order","code":"TIMEOUT","failed_after":"2026-01-02T15:00:00Z"},"limit":500,"rate":20,"reason":"the provider is back"}`

func (s *Server) deadLetterRoutes(api huma.API) {
	list := operation(http.MethodGet, "/v1/dead-letters", "dead letters", "list-dead-letters", "List failed steps that wait for a person")
	list.Description = "A filter may make a page short, or empty: there are more as long as there is a next_cursor."
	huma.Register(api, list, s.deadLetters)
	redrive := operation(http.MethodPost, "/v1/dead-letters/redrive", "dead letters", "redrive-dead-letters", "Retry failed steps")
	redrive.Description = "Those that are named, up to 100, or those that a filter selects, at a steady rate. Each succeeds or fails by itself; the answer is 200 and says what became of them."
	huma.Register(api, redrive, s.redrive)
	bodyExample(api, redrive.Path, redriveExample)
}

func (s *Server) deadLetters(ctx context.Context, in *deadLettersInput) (*deadLettersOutput, error) {
	page, err := s.engine.Store().DeadLetters(ctx, dag.DeadLetterQuery{
		Workflow: in.Workflow, Step: in.Step, Code: in.Code, After: in.FailedAfter, Before: in.FailedBefore, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	return &deadLettersOutput{Body: deadLettersOf(page)}, nil
}

func (s *Server) redrive(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, redriveTime)
	defer cancel()
	b := &in.Body
	switch filtered := b.Filter != nil || b.All; {
	case len(b.Items) == 0 && !filtered:
		return nil, &dag.FieldError{Path: "items", Message: "give items, or a filter, or all: true"}
	case len(b.Items) > 0 && (filtered || b.Limit != 0 || b.Rate != 0 || b.Cursor != ""):
		return nil, &dag.FieldError{Path: "items", Message: "items go alone; filter, all, limit, rate and cursor are another way to say which"}
	case filtered:
		return s.redriveFiltered(ctx, in)
	}
	letters := make([]engine.OperatorRequest, len(b.Items))
	for i, item := range b.Items {
		letters[i] = engine.OperatorRequest{Run: item.RunID, Step: item.Step, Actor: in.Actor, Reason: b.Reason}
	}
	out := &redriveOutput{}
	out.Body.Results = redriven(ctx, s.engine.RedriveEach(ctx, letters))
	for _, r := range out.Body.Results {
		if r.Queued {
			out.Body.Queued++
		} else {
			out.Body.Failed++
		}
	}
	return out, nil
}

func (s *Server) redriveFiltered(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	b := &in.Body
	req := engine.RedriveRequest{All: b.All, Limit: b.Limit, Rate: b.Rate, Actor: in.Actor, Reason: b.Reason}
	if f := b.Filter; f != nil {
		req.Filter = dag.DeadLetterQuery{Workflow: f.Workflow, Step: f.Step, Code: f.Code, After: f.FailedAfter, Before: f.FailedBefore}
	}
	req.Filter.Cursor = b.Cursor
	result, err := s.engine.Redrive(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &redriveOutput{}
	out.Body.Queued, out.Body.Failed, out.Body.Results = result.Queued, result.Failed, redriven(ctx, result.Refused)
	out.Body.More, out.Body.NextCursor = result.Remaining, result.Next
	return out, nil
}

func redriven(ctx context.Context, all []engine.Redriven) []redriveResult {
	out := make([]redriveResult, len(all))
	for i, r := range all {
		out[i] = redriveResult{RunID: r.Run, Step: r.Step, Queued: r.Err == nil}
		if r.Err != nil {
			p, _ := problemOf(r.Err)
			requestOf(ctx).report(ctx, p, r.Err)
			out[i].Error = &redriveError{Code: p.Code, Detail: p.Detail}
		}
	}
	return out
}
