package checkout_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/gatewaysim"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// world is the real outside world: database, gateway, mail server.
type world struct {
	reg    *tasks.Registry
	shop   *checkout.Shop
	sink   *sink
	ledger string
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{reg: tasks.NewRegistry(), shop: open(t, dsn), sink: &sink{}}
	baseURL, ledger := startGateway(t)
	w.ledger = ledger
	checkout.Register(w.reg, checkout.Deps{
		Store: w.shop, Gateway: client(t, baseURL, checkout.PaymentConfig{}), Mailer: w.sink.mailer(t), Now: noon,
	})
	return w
}

// play runs the five steps as the engine would, each up to three attempts, and every successful one twice, as if the first answer had been lost.
// It returns what happened: each failed attempt as step and code.
func (w *world) play(ctx context.Context, run, input string) (story []string, outputs map[string]string) {
	outputs = map[string]string{}
	for _, step := range []string{"validate_cart", "process_payment", "update_inventory", "create_order", "send_confirmation"} {
		a := attempt{step: step, run: run, input: input, outputs: outputs}
		done := false
		for a.number = 1; a.number <= 3 && !done; a.number++ {
			out, err := a.call(ctx, w.reg)
			v := verdictOf(err)
			if err != nil {
				story = append(story, step+" "+v.Code)
				done = !v.Retryable
				continue
			}
			again := a
			again.number++
			repeated, err := again.call(ctx, w.reg)
			if err != nil || string(repeated) != string(out) {
				story = append(story, fmt.Sprintf("%s again: %s, %v, not %s", step, repeated, err, out))
			}
			outputs[step], done = string(out), true
		}
		if outputs[step] == "" {
			return append(story, "failed"), outputs
		}
	}
	return append(story, "completed"), outputs
}

// The scenarios' amounts, against the real catalogue; the worker that is killed is the demo's.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dsn(t))
			charged, confirmed := 0, 0
			for _, tc := range []struct{ name, items, token, amount, want string }{
				{"success", `[{"product_id":1,"quantity":2},{"product_id":3,"quantity":1}]`, "test_success_visa_4242424242424242", "324.56", "completed"},
				{"declined", `[{"product_id":2,"quantity":3}]`, "test_insufficient_funds", "86.96", "process_payment PAYMENT_DECLINED, failed"},
				{"out of stock", `[{"product_id":5,"quantity":20}]`, "test_success_mastercard", "1953.77", "validate_cart INSUFFICIENT_STOCK, validate_cart INSUFFICIENT_STOCK, validate_cart INSUFFICIENT_STOCK, failed"},
				{"restocked", `[{"product_id":5,"quantity":20}]`, "test_success_mastercard", "1953.77", "completed"},
				{"gateway timeout", `[{"product_id":4,"quantity":1}]`, "test_timeout_slow_gateway", "49.18", "process_payment GATEWAY_TIMEOUT, process_payment GATEWAY_TIMEOUT, process_payment GATEWAY_TIMEOUT, failed"},
				{"flaky gateway", `[{"product_id":6,"quantity":1}]`, "test_temp_fail_network", "27.58", "process_payment TEMPORARY_FAILURE, process_payment TEMPORARY_FAILURE, completed"},
				{"lost reply", `[{"product_id":8,"quantity":1}]`, "test_lost_reply_visa", "23.26", "process_payment PAYMENT_NETWORK, completed"},
				{"amount mismatch", `[{"product_id":1,"quantity":1}]`, "test_success_visa", "50.00", "process_payment PAYMENT_AMOUNT_MISMATCH, failed"},
				{"express, premium", `[{"product_id":7,"quantity":1}]`, "test_success_amex", "38.38", "completed"},
				{"worker killed", `[{"product_id":2,"quantity":1}]`, "test_success_visa", "32.98", "completed"},
			} {
				if tc.name == "restocked" {
					if err := w.shop.Restock(t.Context(), 5, 10); err != nil {
						t.Fatal(err)
					}
				}
				story, outputs := w.play(t.Context(), "run_"+tc.name, request(tc.items, tc.amount, tc.token))
				if diff := cmp.Diff(tc.want, strings.Join(story, ", ")); diff != "" {
					t.Errorf("%s: %s", tc.name, diff)
				}
				if tc.want != "completed" && !strings.HasSuffix(tc.want, ", completed") {
					continue
				}
				charged++
				confirmed++
				placed := decode[checkout.Placed](t, []byte(outputs["create_order"]))
				if placed.TotalAmount.String() != tc.amount || placed.EstimatedDelivery != "March 21, 2026" {
					t.Errorf("%s: %+v, want %s", tc.name, placed, tc.amount)
				}
			}
			w.checkBooks(t, confirmed, charged)
		})
	}
}

// checkBooks is the demo's ledger check in small.
func (w *world) checkBooks(t *testing.T, confirmed, charged int) {
	t.Helper()
	orders, err := w.shop.Orders(t.Context())
	if err != nil || len(orders) != confirmed {
		t.Errorf("%d orders, %v; want %d", len(orders), err, confirmed)
	}
	books, err := gatewaysim.ReadLedger(w.ledger)
	if err != nil || len(books.Charges) != charged {
		t.Errorf("%d charges, %v; want %d", len(books.Charges), err, charged)
	}
	paid := map[string]string{}
	for _, c := range books.Charges {
		paid[c.ID] = c.Amount.String()
	}
	for _, o := range orders {
		if paid[o.PaymentID] != o.Total.String() {
			t.Errorf("order %s of %s was paid %s", o.Number, o.Total, paid[o.PaymentID])
		}
	}
	before := map[int64]int64{1: 25, 2: 100, 3: 50, 4: 30, 5: 25, 6: 75, 7: 40, 8: 200}
	made, err := w.shop.Reservations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range made {
		before[r.ProductID] -= r.Quantity
	}
	stock, err := w.shop.Stock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stock {
		if p.Stock != before[p.ID] {
			t.Errorf("stock of product %d is %d, want %d", p.ID, p.Stock, before[p.ID])
		}
	}
	if n := len(w.sink.kept()); n != 2*confirmed { // every step was played twice
		t.Errorf("%d e-mails, want %d", n, 2*confirmed)
	}
}

// Scenarios whose token does not succeed have their amounts checked here.
func TestTotals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite:"+t.TempDir()+"/shop.db")
	if err := w.shop.Restock(t.Context(), 5, 10); err != nil {
		t.Fatal(err)
	}
	for items, want := range map[string]string{
		`[{"product_id":1,"quantity":2},{"product_id":3,"quantity":1}]`: "294.97 23.60 5.99 324.56",
		`[{"product_id":2,"quantity":3}]`:                               "74.97 6.00 5.99 86.96",
		`[{"product_id":5,"quantity":20}]`:                              "1799.80 143.98 9.99 1953.77",
		`[{"product_id":5,"quantity":21}]`:                              "1889.79 151.18 14.99 2055.96",
		`[{"product_id":8,"quantity":4}]`:                               "63.96 5.12 5.99 75.07",
		`[{"product_id":8,"quantity":5}]`:                               "79.95 6.40 9.99 96.34",
		`[{"product_id":4,"quantity":1}]`:                               "39.99 3.20 5.99 49.18",
		`[{"product_id":6,"quantity":1}]`:                               "19.99 1.60 5.99 27.58",
		`[{"product_id":8,"quantity":1}]`:                               "15.99 1.28 5.99 23.26",
		`[{"product_id":1,"quantity":1}]`:                               "129.99 10.40 5.99 146.38",
		`[{"product_id":7,"quantity":1}]`:                               "29.99 2.40 5.99 38.38",
		`[{"product_id":2,"quantity":1}]`:                               "24.99 2.00 5.99 32.98",
	} {
		out, err := attempt{step: "validate_cart", input: request(items, "0", "")}.call(t.Context(), w.reg)
		if err != nil {
			t.Errorf("%s: %v", items, err)
			continue
		}
		c := decode[checkout.Cart](t, out)
		if got := c.Subtotal.String() + " " + c.Tax.String() + " " + c.Shipping.String() + " " + c.Total.String(); got != want {
			t.Errorf("%s: %s, want %s", items, got, want)
		}
	}
}
