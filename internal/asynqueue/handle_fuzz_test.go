package asynqueue_test

import (
	"context"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// FuzzHandle gives the wrapper tasks of all kinds, as any service that reaches the queue may enqueue them. Each is answered, with an order that asynq can
// carry out, and none reaches a handler that does not name a step of a run.
func FuzzHandle(f *testing.F) {
	const payload = `{"run":"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA","step":"only","epoch":1,"def":"0123456789abcdef0123456789abcdef"}`
	f.Add("step:shop.only", []byte(payload), "")
	f.Add("step:shop.other", []byte(payload), "")
	f.Add("step:", []byte(`{}`), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add(tasks.TypeStart, []byte(`{"workflow":"shop/one","idempotency_key":"k","input":{"n":1}}`), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add(tasks.TypeStart, []byte(`{"workflow":"shop/one"}`), "\x00")
	f.Add("email:send", []byte("\xff"), "")
	var r *rig
	n := 0
	f.Fuzz(func(t *testing.T, taskType string, payload []byte, traceParent string) {
		const rigLife = 500 // tasks, so that its memory stays small
		if n%rigLife == 0 {
			r = newRig(t, idle(t))
			tasks.Handle(r.reg, "shop.only", func(_ context.Context, s *tasks.Step) (string, error) {
				r.t.Errorf("the handler runs for step %s of run %s", s.Name(), s.Run())
				return "", nil
			})
			r.start(one("shop.only"))
		}
		n++
		r.t = t
		err := r.Handle(t.Context(), t.Context(), asynq.NewTaskWithHeaders(taskType, payload, map[string]string{"traceparent": traceParent}))
		switch order := asynqueue.OrderOf(err); order.Act {
		case asynqueue.Drop, asynqueue.Retry, asynqueue.Archive:
			if order.Act == asynqueue.Drop != (err == nil) {
				t.Errorf("order %+v for %v", order, err)
			}
		case asynqueue.Later:
			if order.Delay <= 0 {
				t.Errorf("a task comes again at once, for ever: %v", err)
			}
		default:
			t.Errorf("order %+v for %v", order, err)
		}
	})
}
