package asynqueue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func startTask(payload string) *asynq.Task {
	return asynq.NewTaskWithHeaders(tasks.TypeStart, []byte(payload), map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
}

func TestStartTaskStartsOneRun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		if err := r.engine.Register(r.t.Context(), one("shop.x"), ""); err != nil {
			r.t.Fatal(err)
		}
		for range 3 { // a task may be delivered more than once
			if err := r.Handle(r.life, r.t.Context(), startTask(`{"workflow":"shop/one","input":{"n":1},"idempotency_key":"k-1","labels":{"a":"b"}}`)); err != nil {
				r.t.Fatal(err)
			}
		}
		sends := r.queue.Delivered()
		if len(sends) != 1 {
			r.t.Fatalf("%d deliveries, want 1", len(sends))
		}
		view := r.view(sends[0].Run)
		if view.Key != "k-1" || string(view.Input) != `{"n":1}` || view.Labels["a"] != "b" || view.TraceParent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
			r.t.Errorf("run %+v", view)
		}
	})
}

func TestBadStartTasksAreArchivedWithTheReason(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ payload, says string }{
		"no JSON":          {"hello", "JSON"},
		"no key":           {`{"workflow":"shop/one"}`, "idempotency_key: it is required"},
		"unknown field":    {`{"workflow":"shop/one","idempotency_key":"k","wokflow":1}`, "wokflow: there is no such field"},
		"unknown workflow": {`{"workflow":"shop/none","idempotency_key":"k"}`, "not found"},
		"unknown version":  {`{"workflow":"shop/one@9.9.9","idempotency_key":"k"}`, "registered are 1.0.0"},
		"bad timeout":      {`{"workflow":"shop/one","idempotency_key":"k","timeout":"1ms"}`, "timeout"},
		"other body":       {`{"workflow":"shop/one","idempotency_key":"taken","input":{"n":2}}`, "another request body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(r *rig) {
				if err := r.engine.Register(r.t.Context(), one("shop.x"), ""); err != nil {
					r.t.Fatal(err)
				}
				if err := r.Handle(r.life, r.t.Context(), startTask(`{"workflow":"shop/one","idempotency_key":"taken","input":{"n":1}}`)); err != nil {
					r.t.Fatal(err)
				}
				err := r.Handle(r.life, r.t.Context(), startTask(c.payload))
				if told(err) != "archive" || !strings.Contains(err.Error(), c.says) {
					r.t.Errorf("asynq is told to %s: %v; want it archived, with %q", told(err), err, c.says)
				}
			})
		})
	}
}

func TestStartTaskWaitsForRedis(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		if err := r.engine.Register(r.t.Context(), one("shop.x"), ""); err != nil {
			r.t.Fatal(err)
		}
		task := startTask(`{"workflow":"shop/one","idempotency_key":"k"}`)
		r.onCall(away("CreateRun", enginetest.FaultLost, 1))
		err := r.Handle(r.life, r.t.Context(), task)
		if told(err) != "later" || r.RetryDelay(err) != 5*time.Second+999*time.Millisecond {
			r.t.Errorf("asynq is told to %s in %s", told(err), r.RetryDelay(err))
		}
		if err := r.Handle(r.life, r.t.Context(), task); err != nil {
			r.t.Error(err)
		}
		stats, err := r.store.Stats(r.t.Context())
		if err != nil || stats.Runs[dag.RunRunning] != 1 {
			r.t.Errorf("runs %v, %v; want one", stats.Runs, err)
		}
	})
}
