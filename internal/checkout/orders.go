package checkout

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// OrderConfirmed is the state in which this shop places an order. What ships and refunds orders moves them on, to pending, processing, shipped,
// delivered, cancelled or refunded.
const OrderConfirmed = "confirmed"

// Order is a purchase as the shop keeps it.
type Order struct {
	ID        string
	Number    string // ORD-YYYYMMDD-XXXXXXXX
	Run       string
	EffectKey string
	Status    string

	Customer CustomerInfo // e-mail address, name and phone are kept

	Items                          []Line
	ItemCount                      int
	Subtotal, Tax, Shipping, Total Money

	PaymentID     string
	PaymentStatus string
	TransactionID string

	CreatedAt, UpdatedAt time.Time
}

const maxNumberTries = 10 // order numbers of one day that may be taken before an order gives up

// PlaceOrder writes the order of a run, once, and returns it with ID, number and times. If the run has one already, that is
// returned as it stands.
func (s *Shop) PlaceOrder(ctx context.Context, o Order) (Order, error) {
	o.ID = "ord_" + shortHash(o.Run)
	o.CreatedAt = s.instant()
	o.UpdatedAt = o.CreatedAt
	items, err := json.Marshal(o.Items)
	if err != nil {
		return Order{}, fmt.Errorf("write the items of the order of run %s: %w", o.Run, err)
	}
	for try := range maxNumberTries {
		o.Number = orderNumber(o.Run, try, o.CreatedAt)
		if err := s.insertOrder(ctx, &o, string(items)); err != nil {
			return Order{}, fmt.Errorf("place the order of run %s: %w", o.Run, err)
		}
		placed, err := list(ctx, s.db, scanOrder, orderColumns+" WHERE run_id = $1", o.Run)
		if err != nil {
			return Order{}, fmt.Errorf("read the order of run %s: %w", o.Run, err)
		}
		if len(placed) > 0 {
			return placed[0], nil
		}
	}
	return Order{}, fmt.Errorf("place the order of run %s: %d order numbers in a row were taken", o.Run, maxNumberTries)
}

// insertOrder leaves everything as it is when the run has an order or the number is taken.
func (s *Shop) insertOrder(ctx context.Context, o *Order, items string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO orders (id, order_number, run_id, effect_key, status, customer_email, customer_name, customer_phone,
		items, item_count, subtotal_cents, tax_cents, shipping_cents, total_cents, payment_id, payment_status, transaction_id, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT DO NOTHING`,
		o.ID, o.Number, o.Run, o.EffectKey, o.Status, o.Customer.Email, o.Customer.Name, o.Customer.Phone,
		items, o.ItemCount, o.Subtotal.Cents(), o.Tax.Cents(), o.Shipping.Cents(), o.Total.Cents(), o.PaymentID, o.PaymentStatus, o.TransactionID,
		o.CreatedAt, o.UpdatedAt)
	return err
}

const orderColumns = `SELECT id, order_number, run_id, effect_key, status, customer_email, customer_name, customer_phone,
	items, item_count, subtotal_cents, tax_cents, shipping_cents, total_cents, payment_id, payment_status, transaction_id, created_at, updated_at
	FROM orders`

func scanOrder(rows *sql.Rows) (Order, error) {
	var o Order
	var items string
	var subtotal, tax, shipping, total int64
	err := rows.Scan(&o.ID, &o.Number, &o.Run, &o.EffectKey, &o.Status, &o.Customer.Email, &o.Customer.Name, &o.Customer.Phone,
		&items, &o.ItemCount, &subtotal, &tax, &shipping, &total, &o.PaymentID, &o.PaymentStatus, &o.TransactionID, &o.CreatedAt, &o.UpdatedAt)
	if err != nil {
		return Order{}, err
	}
	o.Subtotal, o.Tax, o.Shipping, o.Total = Cents(subtotal), Cents(tax), Cents(shipping), Cents(total)
	o.CreatedAt, o.UpdatedAt = o.CreatedAt.UTC(), o.UpdatedAt.UTC()
	if err := json.Unmarshal([]byte(items), &o.Items); err != nil {
		return Order{}, fmt.Errorf("items of order %s: %w", o.ID, err)
	}
	return o, nil
}

// Orders lists all orders, oldest first.
func (s *Shop) Orders(ctx context.Context) ([]Order, error) {
	all, err := list(ctx, s.db, scanOrder, orderColumns+" ORDER BY created_at, id")
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return all, nil
}

// orderNumber is decided by the run, the day and how many numbers were found taken.
func orderNumber(run string, try int, at time.Time) string {
	return "ORD-" + at.Format("20060102") + "-" + strings.ToUpper(shortHash(run, strconv.Itoa(try))[:8])
}

// problems says everything that keeps an order from being placed; "" when nothing does.
func (o *Order) problems(charged Money) string {
	var found []string
	require := func(ok bool, problem string) {
		if !ok {
			found = append(found, problem)
		}
	}
	require(o.Customer.Name != "", "the customer's name is missing")
	require(len(o.Items) > 0, "there are no items")
	require(o.ItemCount == len(o.Items), "item_count is not the number of items")
	require(o.Subtotal.Add(o.Tax).Add(o.Shipping).Equal(o.Total), "subtotal, tax and shipping do not add up to the total "+o.Total.String())
	require(charged.Equal(o.Total), "the amount charged, "+charged.String()+", is not the total "+o.Total.String())
	return strings.Join(found, "; ")
}
