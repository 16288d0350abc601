package tasks_test

import (
	"testing"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// FuzzDeliveryOf looks at tasks of any kind, as asynq's archive and a dashboard's buttons show them.
func FuzzDeliveryOf(f *testing.F) {
	const id = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA:pay:e1"
	f.Add(id, "step:shop.pay", []byte(goodPayload))
	f.Add(id, "email:send", []byte(goodPayload))
	f.Add("b6b5bf3f-7c2a-4b83-a2a2-0e8c6b6a8a3e", "step:shop.pay", []byte(goodPayload)) // a copy
	f.Add(id, tasks.TypeStart, []byte(`{"workflow":"shop/order","idempotency_key":"k"}`))
	f.Add("", "", []byte(nil))
	f.Fuzz(func(t *testing.T, id, taskType string, payload []byte) {
		d, is := tasks.DeliveryOf(id, taskType, payload)
		if !is {
			return
		}
		handler, step := tasks.HandlerOf(taskType)
		if !step || d.TaskID() != id || tasks.TypeOf(handler) != taskType || d.Epoch < 1 {
			t.Errorf("task %q of type %q is taken for %+v", id, taskType, d)
		}
	})
}
