package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Bounds and defaults of a redrive.
const (
	MaxRedrive         = 10_000 // letters a call
	DefaultRedrive     = 1_000
	MinRedriveRate     = 0.1 // letters a second
	MaxRedriveRate     = 500
	DefaultRedriveRate = 50

	redrivePage       = 100 // letters read at once, the most that a store gives
	maxRedriveRefused = 100 // refusals told one by one
)

// RedriveRequest asks to retry the dead letters that a filter selects, latest first.
type RedriveRequest struct {
	// Filter selects. Its Limit is not looked at; with its Cursor a call goes on where [RedriveResult.Next] of an earlier one points to.
	Filter dag.DeadLetterQuery
	All    bool    // has to be set when Filter selects all
	Limit  int     // letters to try, 1 to [MaxRedrive]; 0 means [DefaultRedrive]
	Rate   float64 // letters a second, [MinRedriveRate] to [MaxRedriveRate]; 0 means [DefaultRedriveRate]
	Actor  string
	Reason string
}

// RedriveResult tells what became of the letters that were tried.
type RedriveResult struct {
	Queued  int        // again
	Failed  int        // could not be; the first hundred are in Refused
	Refused []Redriven // they stay dead letters
	// Remaining says that there may be letters that were not tried. Next is where to go on, "" at the beginning.
	Remaining bool
	Next      string
}

// Redriven is what became of one dead letter.
type Redriven struct {
	Run, Step string
	Err       error // nil when it was queued again
}

// Redrive retries the dead letters that a filter selects, at a steady rate, until their end, the limit, or ctx's end. When ctx's deadline ends it, that
// is no error; what was done counts, and the request may be repeated.
//
// Errors: [dag.ErrInvalid], [ErrUnavailable]. The result tells what was done before.
func (e *Engine) Redrive(ctx context.Context, req RedriveRequest) (RedriveResult, error) {
	if err := req.settle(); err != nil {
		return RedriveResult{}, fmt.Errorf("redrive: %w", err)
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / req.Rate))
	defer ticker.Stop()
	result := RedriveResult{Remaining: true, Next: req.Filter.Cursor}
	for tried := 0; tried < req.Limit; {
		query := req.Filter
		query.Limit, query.Cursor = min(redrivePage, req.Limit-tried), result.Next
		page, err := e.store.DeadLetters(ctx, query)
		if err != nil {
			return result, redriveError(ctx, err)
		}
		for _, letter := range page.Letters {
			if tried > 0 {
				select {
				case <-ticker.C:
				case <-ctx.Done():
				}
			}
			if err := e.redriveOne(ctx, &req, letter, &result); err != nil {
				return result, redriveError(ctx, err)
			}
			tried++
		}
		if result.Next = page.Next; page.Next == "" {
			result.Remaining = false
			break
		}
	}
	return result, nil
}

// redriveOne retries one letter. Its error ends the redrive; a refusal of this letter does not.
func (e *Engine) redriveOne(ctx context.Context, req *RedriveRequest, l dag.DeadLetter, result *RedriveResult) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := e.Retry(ctx, OperatorRequest{Run: l.Run, Step: l.Step, Actor: req.Actor, Reason: req.Reason})
	switch {
	case err == nil:
		result.Queued++
	case ctx.Err() != nil, errors.Is(err, ErrUnavailable):
		return err
	default:
		if result.Failed++; len(result.Refused) < maxRedriveRefused {
			result.Refused = append(result.Refused, Redriven{Run: l.Run, Step: l.Step, Err: err})
		}
	}
	return nil
}

// redriveError is nil when nothing but the deadline of ctx ended the redrive.
func redriveError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("redrive: %w", err)
}

// settle fills in defaults and checks the rest.
func (r *RedriveRequest) settle() error {
	if r.Limit == 0 {
		r.Limit = DefaultRedrive
	}
	if r.Rate == 0 {
		r.Rate = DefaultRedriveRate
	}
	f := &r.Filter
	switch {
	case !r.All && f.Workflow == "" && f.Step == "" && f.Code == "" && f.After.IsZero() && f.Before.IsZero():
		return fmt.Errorf("%w: the filter selects every dead letter; narrow it, or say all: true", dag.ErrInvalid)
	case r.Limit < 1 || r.Limit > MaxRedrive:
		return fmt.Errorf("%w: limit %d, must be from 1 to %d", dag.ErrInvalid, r.Limit, MaxRedrive)
	case !(r.Rate >= MinRedriveRate && r.Rate <= MaxRedriveRate): // NaN neither
		return fmt.Errorf("%w: rate %g, must be from %g to %d a second", dag.ErrInvalid, r.Rate, MinRedriveRate, MaxRedriveRate)
	}
	return nil
}

// RedriveEach retries the given dead letters one by one and reports on each.
func (e *Engine) RedriveEach(ctx context.Context, letters []OperatorRequest) []Redriven {
	out := make([]Redriven, len(letters))
	for i, l := range letters {
		_, err := e.Retry(ctx, l)
		out[i] = Redriven{Run: l.Run, Step: l.Step, Err: err}
		if errors.Is(err, context.Canceled) {
			return out[:i+1]
		}
	}
	return out
}
