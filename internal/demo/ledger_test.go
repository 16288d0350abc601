package demo_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/gatewaysim"
)

func amount(s string) gatewaysim.Money {
	return gatewaysim.Money{Decimal: decimal.RequireFromString(s)}
}

// balanced are the books of two orders.
func balanced() demo.Books {
	return demo.Books{
		Orders: []checkout.Order{
			{Number: "ORD-1", Run: "run_1", Total: checkout.Cents(2326)},
			{Number: "ORD-2", Run: "run_2", Total: checkout.Cents(4918)},
		},
		Reservations: []checkout.Reservation{{Run: "run_1", ProductID: 8, Quantity: 1}, {Run: "run_2", ProductID: 4, Quantity: 1}},
		Before:       map[int64]int64{4: 30, 8: 200},
		Restocked:    map[int64]int64{4: 5},
		After:        []checkout.Product{{ID: 4, Stock: 34}, {ID: 8, Stock: 199}},
		Gateway: gatewaysim.Ledger{
			Charges: []gatewaysim.Charge{
				{ID: "ch_1", Run: "run_1", Amount: amount("23.26")},
				{ID: "ch_2", Run: "run_2", Amount: amount("49.18")},
				{ID: "ch_3", Run: "run_3", Amount: amount("10.00")},
			},
			Refunds: []gatewaysim.Refund{{Charge: "ch_3", Amount: amount("10.00")}},
		},
		Mails: []demo.Mail{{ID: "<run_1.send_confirmation@example.com>"}, {ID: "<run_2.send_confirmation@example.com>"}, {ID: "<run_2.send_confirmation@example.com>"}},
	}
}

func failing(checks []demo.Check) []string {
	var names []string
	for _, c := range checks {
		if !c.OK {
			names = append(names, c.What)
		}
	}
	return names
}

func TestBalancedBooks(t *testing.T) {
	t.Parallel()
	books := balanced()
	if wrong := failing(books.Checks()); wrong != nil {
		t.Errorf("balanced books fail %q", wrong)
	}
}

// Each of these is what a bug of the engine or the shop would leave behind.
func TestChecksFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(b *demo.Books)
		check string
		says  string
	}{
		"charged twice under two keys": {
			func(b *demo.Books) {
				b.Gateway.Charges = append(b.Gateway.Charges, gatewaysim.Charge{ID: "ch_4", Key: "other", Run: "run_1", Amount: amount("23.26")})
			}, "each charge once", "run_1 2 times",
		},
		"charged without an order": {
			func(b *demo.Books) { b.Orders = b.Orders[:1] }, "nobody paid without an order", "run_2 paid 49.18",
		},
		"charged another amount": {
			func(b *demo.Books) { b.Gateway.Charges[0].Amount = amount("23.27") }, "orders confirmed = charges kept − refunds", "72.45",
		},
		"stock reserved twice": {
			func(b *demo.Books) { b.After[0].Stock-- }, "stock before = stock after + reserved", "product 4",
		},
		"oversold": {
			func(b *demo.Books) { b.After[1].Stock, b.Reservations[0].Quantity = -1, 201 }, "stock before = stock after + reserved", "product 8",
		},
		"no mail": {
			func(b *demo.Books) { b.Mails = b.Mails[:1] }, "one e-mail per confirmed order", "none for ORD-2",
		},
		"two mails": {
			func(b *demo.Books) { b.Mails = append(b.Mails, demo.Mail{ID: "<another@example.com>"}) }, "one e-mail per confirmed order", "3 messages for 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := balanced()
			c.spoil(&books)
			checks := books.Checks()
			if !slices.Contains(failing(checks), c.check) {
				t.Errorf("checks %q fail, want %q among them", failing(checks), c.check)
			}
			i := slices.IndexFunc(checks, func(k demo.Check) bool { return k.What == c.check })
			if !strings.Contains(checks[i].Detail, c.says) {
				t.Errorf("check says %q, want %q in it", checks[i].Detail, c.says)
			}
		})
	}
}
