package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/gatewaysim"
)

// Books are what the outside world says happened: the gateway's own ledger, the shop's database and the mail sink. Nothing in them comes from
// Stepwell.
type Books struct {
	Orders       []checkout.Order
	Reservations []checkout.Reservation
	Before       map[int64]int64 // units of each product at the start
	Restocked    map[int64]int64 // units added since
	After        []checkout.Product
	Gateway      gatewaysim.Ledger
	Mails        []Mail
}

// Check is one line of the ledger check.
type Check struct {
	What   string
	Detail string
	OK     bool
}

// ReadBooks reads everything that can be checked.
func ReadBooks(ctx context.Context, shop *checkout.Shop, ledger string, mails []Mail, before, restocked map[int64]int64) (Books, error) {
	b := Books{Before: before, Restocked: restocked, Mails: mails}
	var err error
	if b.Orders, err = shop.Orders(ctx); err != nil {
		return b, err
	}
	if b.Reservations, err = shop.Reservations(ctx); err != nil {
		return b, err
	}
	if b.After, err = shop.Stock(ctx); err != nil {
		return b, err
	}
	b.Gateway, err = gatewaysim.ReadLedger(ledger)
	return b, err
}

// stockOf is the catalogue's stock by product.
func stockOf(products []checkout.Product) map[int64]int64 {
	units := make(map[int64]int64, len(products))
	for _, p := range products {
		units[p.ID] = p.Stock
	}
	return units
}

// Checks compares the books with each other.
func (b *Books) Checks() []Check {
	return []Check{b.money(), b.chargedOnce(), b.stock(), b.mail(), b.paidWithoutOrder()}
}

// money: what the confirmed orders come to is what the gateway kept.
func (b *Books) money() Check {
	var orders, kept checkout.Money
	for _, o := range b.Orders {
		orders = orders.Add(o.Total)
	}
	for _, c := range b.Gateway.Charges {
		kept = kept.Add(cents(c.Amount))
	}
	for _, r := range b.Gateway.Refunds {
		kept = kept.Add(cents(r.Amount).Times(-1))
	}
	return Check{
		What:   "orders confirmed = charges kept − refunds",
		Detail: fmt.Sprintf("%d orders of %s = %d charges − %d refunds of %s", len(b.Orders), orders, len(b.Gateway.Charges), len(b.Gateway.Refunds), kept),
		OK:     orders.Equal(kept) && len(b.Orders) == len(b.Gateway.Charges)-len(b.Gateway.Refunds),
	}
}

// chargedOnce: no order's payment was charged twice, under whatever key.
func (b *Books) chargedOnce() Check {
	charges := map[string]int{}
	for _, c := range b.Gateway.Charges {
		charges[c.Run]++
	}
	var twice []string
	for run, n := range charges {
		if n > 1 {
			twice = append(twice, fmt.Sprintf("%s %d times", run, n))
		}
	}
	slices.Sort(twice)
	detail := fmt.Sprintf("%d charges for %d orders, from %d calls", len(b.Gateway.Charges), len(charges), len(b.Gateway.Calls))
	return Check{What: "each charge once", Detail: withList(detail, twice), OK: len(twice) == 0}
}

// stock: what is missing from the shelves is reserved.
func (b *Books) stock() Check {
	reserved := map[int64]int64{}
	var units int64
	for _, r := range b.Reservations {
		reserved[r.ProductID] += r.Quantity
		units += r.Quantity
	}
	var wrong []string
	for _, p := range b.After {
		if had := b.Before[p.ID] + b.Restocked[p.ID]; had != p.Stock+reserved[p.ID] || p.Stock < 0 {
			wrong = append(wrong, fmt.Sprintf("product %d: %d ≠ %d + %d", p.ID, had, p.Stock, reserved[p.ID]))
		}
	}
	return Check{
		What:   "stock before = stock after + reserved",
		Detail: withList(fmt.Sprintf("%d products, %d units reserved", len(b.After), units), wrong), OK: len(wrong) == 0,
	}
}

// mail: one message for each confirmed order, and none else. A message that was sent twice has the same Message-ID.
func (b *Books) mail() Check {
	ids := map[string]bool{}
	for _, m := range b.Mails {
		ids[m.ID] = true
	}
	var missing []string
	for _, o := range b.Orders {
		if !slices.ContainsFunc(b.Mails, func(m Mail) bool { return strings.Contains(m.ID, o.Run) }) {
			missing = append(missing, "none for "+o.Number)
		}
	}
	return Check{
		What:   "one e-mail per confirmed order",
		Detail: withList(fmt.Sprintf("%d messages for %d orders", len(ids), len(b.Orders)), missing),
		OK:     len(missing) == 0 && len(ids) == len(b.Orders),
	}
}

// paidWithoutOrder: nobody paid and got nothing.
func (b *Books) paidWithoutOrder() Check {
	var paid []string
	for _, c := range b.Gateway.Charges {
		refunded := slices.ContainsFunc(b.Gateway.Refunds, func(r gatewaysim.Refund) bool { return r.Charge == c.ID })
		ordered := slices.ContainsFunc(b.Orders, func(o checkout.Order) bool { return o.Run == c.Run })
		if !refunded && !ordered {
			paid = append(paid, fmt.Sprintf("%s paid %s and has no order", c.Run, c.Amount))
		}
	}
	return Check{What: "nobody paid without an order", Detail: withList(fmt.Sprintf("%d such runs", len(paid)), paid), OK: len(paid) == 0}
}

func withList(detail string, items []string) string {
	if len(items) == 0 {
		return detail
	}
	return detail + ": " + strings.Join(items, ", ")
}

// cents turns the gateway's amount into the shop's.
func cents(m gatewaysim.Money) checkout.Money { return checkout.Cents(m.Shift(2).IntPart()) }
