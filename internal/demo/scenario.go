package demo

import (
	"context"
	"encoding/json"
	"fmt"
)

// The steps of ecommerce/process_order.
const (
	stepValidate = "validate_cart"
	stepPayment  = "process_payment"
)

func steps() []string {
	return []string{stepValidate, stepPayment, "update_inventory", "create_order", "send_confirmation"}
}

// line is a product and how many of it.
type line struct{ product, quantity int64 }

// scenario is an order and what has to become of it.
type scenario struct {
	name   string
	what   string // one line for a person
	cart   []line
	token  string
	amount string // of the payment, in USD
	tier   string
	speed  string

	// wanted outcome
	state    string
	failed   string // step that fails, "" when none does
	code     string // its error code, "" when any will do
	attempts int    // of process_payment, or of the failed step
	charged  bool
	queue    string // of every step, "" when any will do

	// alone says that the scenario needs a worker of its own, and that the others have to stop for it.
	alone bool
	// act is what happens besides; it runs while the order does, and once at most.
	act func(ctx context.Context, p *player, o *order) error
}

// scenarios is the table of the demo. The last one stops the other workers, so the rest has to be over by then.
//
//nolint:gosec // the tokens are the simulator's, no secrets
func scenarios() []scenario {
	return []scenario{
		{
			name: "success", what: "everything works", cart: []line{{1, 2}, {3, 1}}, token: "test_success_visa_4242424242424242", amount: "324.56",
			state: "succeeded", attempts: 1, charged: true,
		},
		{
			name: "declined", what: "the card is refused: failed at once, not charged", cart: []line{{2, 3}}, token: "test_insufficient_funds", amount: "86.96",
			state: "failed", failed: stepPayment, code: "PAYMENT_DECLINED", attempts: 1,
		},
		{
			name: "out of stock", what: "fails after 3 attempts; restocked and retried by an operator", cart: []line{{5, 20}}, token: "test_success_mastercard", amount: "1953.77",
			state: "succeeded", attempts: 1, charged: true, act: restockAndRetry,
		},
		{
			name: "gateway timeout", what: "fails after 3 attempts, in the dead letters", cart: []line{{4, 1}}, token: "test_timeout_slow_gateway", amount: "49.18",
			state: "failed", failed: stepPayment, attempts: 3,
		},
		{
			name: "flaky gateway", what: "two transient errors, then charged once", cart: []line{{6, 1}}, token: "test_temp_fail_network", amount: "27.58",
			state: "succeeded", attempts: 3, charged: true,
		},
		{
			name: "lost reply", what: "charged, but the answer is lost: asked for on retry, charged once", cart: []line{{8, 1}}, token: "test_lost_reply_visa", amount: "23.26",
			state: "succeeded", attempts: 2, charged: true,
		},
		{
			name: "amount mismatch", what: "the client's amount is not the cart's", cart: []line{{1, 1}}, token: "test_success_visa", amount: "50.00",
			state: "failed", failed: stepPayment, code: "PAYMENT_AMOUNT_MISMATCH", attempts: 1,
		},
		{
			name: "express, premium", what: "both profiles: on the critical queue", cart: []line{{7, 1}}, token: "test_success_amex", amount: "38.38", tier: "premium", speed: "express",
			state: "succeeded", attempts: 1, charged: true, queue: "ecommerce-critical",
		},
		{
			name: "worker killed", what: "kill -9 during the charge: taken over, charged once", cart: []line{{2, 1}}, token: "test_hold_visa", amount: "32.98",
			state: "succeeded", attempts: 2, charged: true, alone: true, act: killDuringCharge,
		},
	}
}

// body is the order as POST /v1/orders takes it.
func (s *scenario) body() any {
	type item struct {
		ProductID int64 `json:"product_id"`
		Quantity  int64 `json:"quantity"`
	}
	items := make([]item, len(s.cart))
	for i, l := range s.cart {
		items[i] = item{ProductID: l.product, Quantity: l.quantity}
	}
	customer := map[string]any{"email": "ada@example.com", "name": "Ada Lovelace"}
	if s.tier != "" {
		customer["tier"] = s.tier
	}
	body := map[string]any{
		"cart_items":    items,
		"payment_info":  map[string]any{"method": "credit_card", "amount": json.Number(s.amount), "currency": "USD", "token": s.token},
		"customer_info": customer,
	}
	if s.speed != "" {
		body["priority"] = s.speed
	}
	return body
}

// differs says how a run's end differs from what the scenario wants, "" when it does not.
func (s *scenario) differs(r *Run, dead map[string]string) string {
	if r.State != s.state {
		return fmt.Sprintf("is %s, should be %s", r.State, s.state)
	}
	watched := r.Step(stepPayment)
	if s.failed != "" {
		watched = r.Step(s.failed)
		if watched.State != "failed" {
			return fmt.Sprintf("%s is %s, should be failed", s.failed, watched.State)
		}
		if s.code != "" && (watched.Error == nil || watched.Error.Code != s.code) {
			return fmt.Sprintf("%s has error %+v, should have %s", s.failed, watched.Error, s.code)
		}
		if dead[r.ID] != s.failed {
			return s.failed + " is not in the dead letters"
		}
	}
	if watched.Attempts != s.attempts {
		return fmt.Sprintf("%s took %d attempts, should take %d", watched.Name, watched.Attempts, s.attempts)
	}
	for _, step := range r.Steps {
		if s.queue != "" && step.Queue != s.queue {
			return fmt.Sprintf("%s ran on queue %s, should on %s", step.Name, step.Queue, s.queue)
		}
	}
	return ""
}
