package engine_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// letters makes dead letters, a second apart.
func (r *rig) letters(n int, code string) {
	r.t.Helper()
	for range n {
		r.start()
		if _, err := r.Fail(r.t.Context(), r.take("w1"), dag.StepError{Code: code}, 0, 0); err != nil {
			r.t.Fatal(err)
		}
		r.store.Advance(time.Second)
	}
}

func (r *rig) deadLetters() int {
	r.t.Helper()
	stats, err := r.store.Stats(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return int(stats.DeadLetters)
}

func TestRedriveRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.letters(1, "NO")
	for name, c := range map[string]struct {
		req  engine.RedriveRequest
		says string
	}{
		"empty filter":  {engine.RedriveRequest{}, "all: true"},
		"only a cursor": {engine.RedriveRequest{Filter: dag.DeadLetterQuery{Cursor: "x", Limit: 5}}, "all: true"},
		"limit":         {engine.RedriveRequest{All: true, Limit: 10_001}, "10000"},
		"no limit":      {engine.RedriveRequest{All: true, Limit: -1}, "10000"},
		"rate":          {engine.RedriveRequest{All: true, Rate: 501}, "500"},
		"slow":          {engine.RedriveRequest{All: true, Rate: 0.01}, "0.1"},
		"no number":     {engine.RedriveRequest{All: true, Rate: math.NaN()}, "500"},
		"cursor":        {engine.RedriveRequest{All: true, Filter: dag.DeadLetterQuery{Cursor: "nonsense"}}, "cursor"},
	} {
		if _, err := r.Redrive(t.Context(), c.req); !errors.Is(err, dag.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want invalid, and %q", name, err, c.says)
		}
	}
	if n := r.deadLetters(); n != 1 {
		t.Errorf("%d dead letters, want the one that was there", n)
	}
}

func TestRedriveTakesWhatTheFilterSelects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		began := r.store.Now()
		r.letters(5, "AWAY")
		r.letters(7, "DECLINED")
		for _, c := range []struct {
			filter dag.DeadLetterQuery
			want   int
		}{
			{dag.DeadLetterQuery{Workflow: "shop/other"}, 0},
			{dag.DeadLetterQuery{Step: "b"}, 0},
			{dag.DeadLetterQuery{Code: "AWAY", After: began.Add(3 * time.Second)}, 2},
			{dag.DeadLetterQuery{Code: "AWAY"}, 3},
			{dag.DeadLetterQuery{Workflow: "shop/order", Step: "a", Before: began.Add(7 * time.Second)}, 2},
			{dag.DeadLetterQuery{}, 5},
		} {
			got, err := r.Redrive(t.Context(), engine.RedriveRequest{Filter: c.filter, All: c.filter == dag.DeadLetterQuery{}, Reason: "carrier is back"})
			if d := cmp.Diff(engine.RedriveResult{Queued: c.want}, got); err != nil || d != "" {
				t.Errorf("filter %+v: %v (-want +got):\n%s", c.filter, err, d)
			}
		}
	})
}

func TestRedriveKeepsItsRateAndLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.letters(250, "AWAY")
		began := time.Now()
		first, err := r.Redrive(t.Context(), engine.RedriveRequest{All: true, Limit: 130, Rate: 10})
		if err != nil || first.Queued != 130 || !first.Remaining || first.Next == "" {
			t.Errorf("%+v, %v; want 130 queued and more remaining", first, err)
		}
		if took := time.Since(began); took != 12_900*time.Millisecond {
			t.Errorf("130 letters at 10/s took %s, want 12.9s", took)
		}
		began = time.Now()
		rest, err := r.Redrive(t.Context(), engine.RedriveRequest{Filter: dag.DeadLetterQuery{Cursor: first.Next}, All: true})
		if d := cmp.Diff(engine.RedriveResult{Queued: 120}, rest); err != nil || d != "" {
			t.Errorf("the rest: %v (-want +got):\n%s", err, d)
		}
		if took := time.Since(began); took != 119*20*time.Millisecond {
			t.Errorf("120 letters at the default rate of 50/s took %s, want 2.38s", took)
		}
	})
}

func TestRedriveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.letters(50, "AWAY")
		ctx, cancel := context.WithTimeout(t.Context(), 2050*time.Millisecond)
		defer cancel()
		got, err := r.Redrive(ctx, engine.RedriveRequest{All: true, Rate: 10})
		if d := cmp.Diff(engine.RedriveResult{Queued: 21, Remaining: true}, got); err != nil || d != "" {
			t.Errorf("at the deadline: %v (-want +got):\n%s", err, d)
		}
		ctx, cancel = context.WithCancel(t.Context())
		stop := time.AfterFunc(350*time.Millisecond, cancel)
		defer stop.Stop()
		got, err = r.Redrive(ctx, engine.RedriveRequest{All: true, Rate: 10})
		if !errors.Is(err, context.Canceled) || got.Queued != 4 {
			t.Errorf("cancelled: %+v, %v; want an error, and 4 queued", got, err)
		}
		r.faults.Hook = func(method string) enginetest.Fault {
			if method == "Retry" && r.deadLetters() <= 20 {
				return enginetest.FaultRefused
			}
			return enginetest.FaultNone
		}
		got, err = r.Redrive(t.Context(), engine.RedriveRequest{All: true, Rate: 10})
		if !errors.Is(err, engine.ErrUnavailable) || got.Queued != 5 || !got.Remaining {
			t.Errorf("redis went away: %+v, %v; want an error, and 5 queued", got, err)
		}
	})
}

// A letter that cannot be retried is told, and does not hold up the others.
func TestRedriveTellsWhatItCouldNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.register(&dag.Workflow{
			Namespace: "shop", Name: "pair", Version: "1.0.0",
			Steps: []dag.Step{{Name: "x", Handler: "shop.a"}, {Name: "y", Handler: "shop.a"}},
		})
		r.letters(1, "NO")
		pair, err := r.Start(t.Context(), engine.StartRequest{Workflow: "shop/pair"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Fail(t.Context(), r.take("w1"), dag.StepError{Code: "NO"}, 0, 0); err != nil {
			t.Fatal(err)
		}
		cancelled := false
		r.faults.Hook = func(method string) enginetest.Fault {
			if method == "Retry" && !cancelled { // after the letters were listed
				cancelled = true
				r.mustOperate("cancel", engine.OperatorRequest{Run: pair.Run.ID})
			}
			return enginetest.FaultNone
		}
		got, err := r.Redrive(t.Context(), engine.RedriveRequest{All: true})
		if err != nil || got.Queued != 1 || got.Failed != 1 || len(got.Refused) != 1 || got.Remaining {
			t.Fatalf("%+v, %v; want one queued and one refused", got, err)
		}
		if refused := got.Refused[0]; refused.Run != pair.Run.ID || !errors.Is(refused.Err, engine.ErrConflict) {
			t.Errorf("refused %+v, want the letter of the cancelled run", refused)
		}
	})
}
