package checkout_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func catalogue() map[int64]checkout.Product {
	return map[int64]checkout.Product{
		1: {ID: 1, Name: "Lamp", Price: checkout.Cents(2999), Stock: 50, Active: true},
		2: {ID: 2, Name: "Chair", Price: checkout.Cents(4999), Stock: 3, Active: true},
		3: {ID: 3, Name: "Radio", Price: checkout.Cents(1), Stock: 9},
	}
}

func withCatalogue() fakes {
	return fakes{products: func([]int64) (map[int64]checkout.Product, error) { return catalogue(), nil }}
}

const (
	cartOutput      = `{"validated_items":[{"product_id":1,"name":"Lamp","price":29.99,"quantity":2,"line_total":59.98},{"product_id":2,"name":"Chair","price":49.99,"quantity":1,"line_total":49.99}],"subtotal":109.97,"tax":8.80,"shipping":5.99,"total":124.76,"item_count":2,"validated_at":"2026-03-14T12:00:00Z"}`
	paymentOutput   = `{"payment_id":"ch_1","amount_charged":124.76,"currency":"USD","payment_method_type":"credit_card","transaction_id":"txn_1","processed_at":"2026-03-14T12:00:00Z","status":"completed"}`
	inventoryOutput = `{"updated_products":[{"product_id":1,"name":"Lamp","previous_stock":50,"new_stock":48,"quantity_reserved":2,"reservation_id":"rsv_1"},{"product_id":2,"name":"Chair","previous_stock":3,"new_stock":2,"quantity_reserved":1,"reservation_id":"rsv_2"}],"total_items_reserved":3,"inventory_changes":[{"product_id":1,"change_type":"reservation","quantity":-2,"reason":"order_checkout","timestamp":"2026-03-14T12:00:00Z","reservation_id":"rsv_1"},{"product_id":2,"change_type":"reservation","quantity":-1,"reason":"order_checkout","timestamp":"2026-03-14T12:00:00Z","reservation_id":"rsv_2"}],"updated_at":"2026-03-14T12:00:00Z"}`
	orderOutput     = `{"order_id":"ord_1","order_number":"ORD-20260314-ABCDEF01","status":"confirmed","total_amount":124.76,"customer_email":"ada@example.org","created_at":"2026-03-14T12:00:00Z","estimated_delivery":"March 21, 2026"}`
	sentOutput      = `{"email_sent":true,"recipient":"ada@example.org","email_type":"order_confirmation","sent_at":"2026-03-14T12:00:00Z","message_id":"\u003cm@example.com\u003e"}`
	emptyCart       = `{"validated_items":[]}`
	// unshapedOutput is what a step leaves whose effect happened but whose result cannot be used.
	unshapedOutput = `{"error":true,"error_code":"RESULT_PROCESSING_FAILED","error_message":"m","raw":{}}`
)

var (
	goodRequest = request(`[{"product_id":1,"quantity":2},{"product_id":2,"quantity":1}]`, "124.76", "tok")
	goodOutputs = map[string]string{"validate_cart": cartOutput, "process_payment": paymentOutput, "update_inventory": inventoryOutput, "create_order": orderOutput}
)

func without(outputs map[string]string, step string) map[string]string {
	return with(outputs, step, "")
}

func with(outputs map[string]string, step, output string) map[string]string {
	changed := map[string]string{}
	for name, out := range outputs {
		if name != step {
			changed[name] = out
		}
	}
	if output != "" {
		changed[step] = output
	}
	return changed
}

func goodCharge(checkout.ChargeRequest) (checkout.Charge, error) {
	return checkout.Charge{
		ID: "ch_1", Amount: checkout.Cents(12476), Currency: "USD", Method: "credit_card", TransactionID: "txn_1", Status: "succeeded", CreatedAt: noon(),
	}, nil
}

func goodReservations(run, _ string, _ []checkout.Want) ([]checkout.Reservation, error) {
	return []checkout.Reservation{
		{ID: "rsv_1", Run: run, ProductID: 1, ProductName: "Lamp", Quantity: 2, PreviousStock: 50, NewStock: 48, CreatedAt: noon()},
		{ID: "rsv_2", Run: run, ProductID: 2, ProductName: "Chair", Quantity: 1, PreviousStock: 3, NewStock: 2, CreatedAt: noon()},
	}, nil
}

func goodOrder(o checkout.Order) (checkout.Order, error) {
	o.ID, o.Number, o.CreatedAt = "ord_1", "ORD-20260314-ABCDEF01", noon()
	return o, nil
}

func goodWorld() fakes {
	f := withCatalogue()
	f.charge, f.reserve, f.place = goodCharge, goodReservations, goodOrder
	f.send = func(string, checkout.Confirmation) (string, error) { return "<m@example.com>", nil }
	return f
}

func TestHandlersSucceed(t *testing.T) {
	t.Parallel()
	reg := goodWorld().registry()
	for step, want := range map[string]string{
		"validate_cart": cartOutput, "process_payment": paymentOutput, "update_inventory": inventoryOutput, "create_order": orderOutput, "send_confirmation": sentOutput,
	} {
		got, err := attempt{step: step, input: goodRequest, outputs: goodOutputs}.call(t.Context(), reg)
		if err != nil {
			t.Errorf("%s: %v", step, err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", step, diff)
		}
	}
}

func TestEveryErrorOfTheHandlers(t *testing.T) {
	t.Parallel()
	order := func(items string) string { return request(items, "124.76", "tok") }
	edit := func(old, with string) string { return strings.Replace(goodRequest, old, with, 1) }
	for name, tc := range map[string]struct {
		attempt
		want verdict
	}{
		"empty cart":   {attempt{step: "validate_cart", input: order(`[]`)}, verdict{Code: "MISSING_CART_ITEMS", Message: "Cart is empty: cart_items needs at least one item"}},
		"no cart":      {attempt{step: "validate_cart", input: `{}`}, verdict{Code: "MISSING_CART_ITEMS", Message: "Cart is empty: cart_items needs at least one item"}},
		"no product":   {attempt{step: "validate_cart", input: order(`[{"product_id":99,"quantity":1},{"quantity":0}]`)}, verdict{Code: "MISSING_PRODUCT_ID", Message: "Product ID is missing for cart item 2"}},
		"no quantity":  {attempt{step: "validate_cart", input: order(`[{"product_id":99}]`)}, verdict{Code: "INVALID_QUANTITY", Message: "Quantity of cart item 1 must be at least 1"}},
		"negative":     {attempt{step: "validate_cart", input: order(`[{"product_id":1,"quantity":1},{"product_id":1,"quantity":-1}]`)}, verdict{Code: "INVALID_QUANTITY", Message: "Quantity of cart item 2 must be at least 1"}},
		"unknown":      {attempt{step: "validate_cart", input: order(`[{"product_id":99,"quantity":1}]`)}, verdict{Code: "PRODUCT_NOT_FOUND", Message: "Product 99 not found"}},
		"inactive":     {attempt{step: "validate_cart", input: order(`[{"product_id":3,"quantity":1}]`)}, verdict{Code: "PRODUCT_INACTIVE", Message: "Product Radio is not available for purchase"}},
		"short":        {attempt{step: "validate_cart", input: order(`[{"product_id":2,"quantity":4}]`)}, verdict{Code: "INSUFFICIENT_STOCK", Message: "Insufficient stock for Chair. Available: 3, Requested: 4", Retryable: true}},
		"short in sum": {attempt{step: "validate_cart", input: order(`[{"product_id":2,"quantity":2},{"product_id":2,"quantity":2}]`)}, verdict{Code: "INSUFFICIENT_STOCK", Message: "Insufficient stock for Chair. Available: 3, Requested: 4", Retryable: true}},
		"huge":         {attempt{step: "validate_cart", input: order(`[{"product_id":2,"quantity":9223372036854775807}]`)}, verdict{Code: "INSUFFICIENT_STOCK", Message: "Insufficient stock for Chair. Available: 3, Requested: 9223372036854775807", Retryable: true}},

		"no method": {attempt{step: "process_payment", input: `{}`, outputs: goodOutputs}, verdict{Code: "MISSING_PAYMENT_METHOD", Message: "Payment method is missing: payment_info.method is required"}},
		"no token":  {attempt{step: "process_payment", input: edit(`"tok"`, `""`)}, verdict{Code: "MISSING_PAYMENT_TOKEN", Message: "Payment token is missing: payment_info.token is required"}},
		"no total":  {attempt{step: "process_payment", input: goodRequest}, verdict{Code: "MISSING_CART_TOTAL", Message: "Cart total is missing: validate_cart left none"}},
		"mismatch":  {attempt{step: "process_payment", input: edit("124.76", "124.75"), outputs: goodOutputs}, verdict{Code: "PAYMENT_AMOUNT_MISMATCH", Message: "Payment amount mismatch. Expected: 124.76, Provided: 124.75"}},
		"by a hair": {attempt{step: "process_payment", input: edit("124.76", "124.764"), outputs: goodOutputs}, verdict{Code: "PAYMENT_AMOUNT_MISMATCH", Message: "Payment amount mismatch. Expected: 124.76, Provided: 124.764"}},

		"no items":           {attempt{step: "update_inventory", input: goodRequest, outputs: with(goodOutputs, "validate_cart", emptyCart)}, verdict{Code: "MISSING_VALIDATED_ITEMS", Message: "Validated items are missing: validate_cart left none"}},
		"no customer":        {attempt{step: "update_inventory", input: `{}`, outputs: goodOutputs}, verdict{Code: "MISSING_CUSTOMER_INFO", Message: "Customer information is missing: customer_info.email is required"}},
		"order, no customer": {attempt{step: "create_order", input: `{}`}, verdict{Code: "MISSING_CUSTOMER_INFO", Message: "Customer information is missing: customer_info.email is required"}},
		"order, no cart":     {attempt{step: "create_order", input: goodRequest}, verdict{Code: "MISSING_CART_VALIDATION", Message: "Cart validation is missing: validate_cart left no total"}},
		"order, no payment":  {attempt{step: "create_order", input: goodRequest, outputs: with(goodOutputs, "process_payment", unshapedOutput)}, verdict{Code: "MISSING_PAYMENT_RESULT", Message: "Payment result is missing: process_payment left no payment_id"}},
		"order, no stock":    {attempt{step: "create_order", input: goodRequest, outputs: without(goodOutputs, "update_inventory")}, verdict{Code: "MISSING_INVENTORY_RESULT", Message: "Inventory result is missing: update_inventory left no updated_products"}},
		"order, wrong sums": {
			attempt{step: "create_order", input: edit("Ada Lovelace", ""), outputs: with(goodOutputs, "validate_cart", strings.Replace(cartOutput, `"tax":8.80`, `"tax":8.81`, 1))},
			verdict{Code: "ORDER_VALIDATION_FAILED", Message: "Order is not valid: the customer's name is missing; subtotal, tax and shipping do not add up to the total 124.76"},
		},
		"order, charged otherwise": {
			attempt{step: "create_order", input: goodRequest, outputs: with(goodOutputs, "process_payment", strings.Replace(paymentOutput, "124.76", "1.00", 1))},
			verdict{Code: "ORDER_VALIDATION_FAILED", Message: "Order is not valid: the amount charged, 1.00, is not the total 124.76"},
		},

		"mail, no address":  {attempt{step: "send_confirmation", input: `{}`, outputs: goodOutputs}, verdict{Code: "MISSING_CUSTOMER_EMAIL", Message: "Customer e-mail address is missing: customer_info.email is required"}},
		"mail, no order":    {attempt{step: "send_confirmation", input: goodRequest, outputs: with(goodOutputs, "create_order", unshapedOutput)}, verdict{Code: "MISSING_ORDER_RESULT", Message: "Order result is missing: create_order left no order_number"}},
		"mail, no cart":     {attempt{step: "send_confirmation", input: goodRequest, outputs: without(goodOutputs, "validate_cart")}, verdict{Code: "MISSING_CART_VALIDATION", Message: "Cart validation is missing: validate_cart left no validated_items"}},
		"mail, bad address": {attempt{step: "send_confirmation", input: edit("ada@example.org", "ada at home"), outputs: goodOutputs}, verdict{Code: "INVALID_EMAIL", Message: `"ada at home" is no e-mail address: it needs the form name@domain`}},

		"wrong form": {attempt{step: "validate_cart", input: `{"cart_items":{}}`}, verdict{Code: tasks.CodeInvalidInput, Message: "read the input of the run: json: cannot unmarshal object into Go struct field Request.cart_items of type []checkout.CartItem"}},
		"fetch":      {attempt{step: "create_order", input: goodRequest, fetch: errors.New("redis away")}, verdict{Code: dag.CodeError, Message: "output of step validate_cart: redis away", Retryable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := withCatalogue() // no effect may be tried: the other functions are nil
			out, err := tc.call(t.Context(), f.registry())
			if diff := cmp.Diff(tc.want, verdictOf(err)); diff != "" {
				t.Errorf("%s %s", out, diff)
			}
		})
	}
}

func TestInventoryErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want verdict
	}{
		"short":   {&checkout.ShortError{Product: catalogue()[2], Requested: 4}, verdict{Code: "STOCK_NOT_AVAILABLE", Message: "Stock not available for Chair. Available: 3, Needed: 4", Retryable: true}},
		"unknown": {checkout.ErrNoProduct, verdict{Code: "PRODUCT_NOT_FOUND", Message: "no such product"}},
		"other":   {errors.New("disk full"), verdict{Code: dag.CodeError, Message: "disk full", Retryable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fakes{reserve: func(string, string, []checkout.Want) ([]checkout.Reservation, error) { return nil, tc.err }}
			_, err := attempt{step: "update_inventory", input: goodRequest, outputs: goodOutputs}.call(t.Context(), f.registry())
			if diff := cmp.Diff(tc.want, verdictOf(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An effect that happened is not repeated because its result cannot be used.
func TestUnusableResultsSucceed(t *testing.T) {
	t.Parallel()
	f := goodWorld()
	f.charge = func(checkout.ChargeRequest) (checkout.Charge, error) {
		c, err := goodCharge(checkout.ChargeRequest{})
		c.Amount = checkout.Cents(1)
		return c, err
	}
	f.reserve = func(run, key string, wants []checkout.Want) ([]checkout.Reservation, error) {
		made, err := goodReservations(run, key, wants)
		return made[:1], err
	}
	f.place = func(o checkout.Order) (checkout.Order, error) { o.Number = ""; return o, nil }
	reg := f.registry()
	for step, message := range map[string]string{
		"process_payment":  "charged were 0.01 USD, asked for 124.76 USD",
		"update_inventory": "1 products are reserved, asked for 2",
		"create_order":     "the order that was placed is not the one that was asked for",
	} {
		out, err := attempt{step: step, input: goodRequest, outputs: goodOutputs}.call(t.Context(), reg)
		if err != nil {
			t.Errorf("%s: %v", step, err)
			continue
		}
		got := decode[map[string]any](t, out)
		if got["error"] != true || got["error_code"] != "RESULT_PROCESSING_FAILED" || got["error_message"] != message || got["raw"] == nil {
			t.Errorf("%s: %s", step, out)
		}
	}
}

func TestPaymentAsksBeforeItChargesAgain(t *testing.T) {
	t.Parallel()
	var calls []string
	found, lookupErr := false, error(nil)
	f := fakes{
		lookup: func(key string) (checkout.Charge, bool, error) {
			calls = append(calls, "lookup "+key)
			c, _ := goodCharge(checkout.ChargeRequest{})
			return c, found, lookupErr
		},
		charge: func(r checkout.ChargeRequest) (checkout.Charge, error) {
			calls = append(calls, "charge "+r.Key+" "+r.Amount.String()+" "+r.Currency+" "+r.Metadata.Run+" "+r.Metadata.Step)
			return goodCharge(r)
		},
	}
	reg := f.registry()
	pay := func(number int) error {
		_, err := attempt{step: "process_payment", number: number, input: strings.Replace(goodRequest, `"currency":"USD",`, "", 1), outputs: goodOutputs, config: `{"currency_default":"USD"}`}.call(t.Context(), reg)
		return err
	}
	err1, err2 := pay(1), pay(2)
	found = true
	err3 := pay(3)
	found, lookupErr = false, errors.New("gateway away")
	err4 := pay(4)
	if err := errors.Join(err1, err2, err3); err != nil || !errors.Is(err4, lookupErr) {
		t.Errorf("%v, %v", err, err4)
	}
	const lookup, charge = "lookup run_00_A:process_payment", "charge run_00_A:process_payment 124.76 USD run_00_A process_payment"
	if diff := cmp.Diff([]string{charge, lookup, charge, lookup, lookup}, calls); diff != "" {
		t.Error(diff)
	}
}

func TestRegisterNeedsTheWorld(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("registered without a world")
		}
	}()
	checkout.Register(tasks.NewRegistry(), checkout.Deps{})
}
