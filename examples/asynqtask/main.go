// Command asynqtask places an order with a plain asynq task. It imports asynq and nothing of Stepwell, as a service would that has a queue
// client already.
//
//	REDIS_URL=redis://127.0.0.1:6379/0 go run ./examples/asynqtask [idempotency key]
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"github.com/hibiken/asynq"
)

func main() {
	key := "order-of-asynqtask"
	if len(os.Args) > 1 {
		key = os.Args[1]
	}
	if err := placeOrder(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0"), key); err != nil {
		fmt.Fprintln(os.Stderr, "asynqtask:", err)
		os.Exit(1)
	}
}

// region: enqueue

// order is the input of the workflow, as POST /v1/orders takes it.
const order = `{
	"cart_items": [{"product_id": 8, "quantity": 1}],
	"payment_info": {"method": "credit_card", "amount": 23.26, "currency": "USD", "token": "test_success_visa_4242424242424242"},
	"customer_info": {"email": "grace@example.com", "name": "Grace Hopper"}
}`

func placeOrder(redisURL, key string) error {
	redis, err := asynq.ParseRedisURI(redisURL)
	if err != nil {
		return err
	}
	client := asynq.NewClient(redis) // one for the life of your process
	defer client.Close()
	body, err := json.Marshal(map[string]any{
		"workflow":        "ecommerce/process_order",
		"input":           json.RawMessage(order),
		"idempotency_key": key, // required: asynq may deliver a task twice
	})
	if err != nil {
		return err
	}
	task, err := client.Enqueue(asynq.NewTask("stepwell:start", body), asynq.Queue("stepwell"))
	if err != nil {
		return err
	}
	fmt.Printf("task %s is on queue %s, order %s\n", task.ID, task.Queue, key)
	return nil
}

// endregion
