package checkout

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reservation is stock that was taken for a run.
type Reservation struct {
	ID            string
	Run           string
	ProductID     int64
	ProductName   string
	Quantity      int64
	PreviousStock int64
	NewStock      int64
	CreatedAt     time.Time
}

// Want is units of a product to be reserved.
type Want struct {
	ProductID int64
	Quantity  int64
}

// ShortError says that there is less stock than was asked for; nothing was reserved.
type ShortError struct {
	Product   Product
	Requested int64
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("Stock not available for %s. Available: %d, Needed: %d", e.Product.Name, e.Product.Stock, e.Requested)
}

// Reserve takes stock for a run: everything or nothing, and once, however often and from however many processes it is called. What is reserved
// for the run already is returned as it was the first time. Wants of the same product are added up. The error is a [*ShortError], wraps
// [ErrNoProduct], or is the database's.
func (s *Shop) Reserve(ctx context.Context, run, effectKey string, wants []Want) ([]Reservation, error) {
	var made []Reservation
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		for _, want := range merged(wants) { // in order of ID, so that no two runs wait for each other
			r, err := s.reserve(ctx, tx, run, effectKey, want)
			if err != nil {
				return err
			}
			made = append(made, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reserve stock for run %s: %w", run, err)
	}
	return made, nil
}

// reserve locks the product's row first. A duplicate of the call waits there, and then sees the reservation that this one made.
func (s *Shop) reserve(ctx context.Context, tx *sql.Tx, run, effectKey string, want Want) (Reservation, error) {
	found, err := list(ctx, tx, scanProduct, productColumns+" WHERE id = $1"+s.rowLock, want.ProductID)
	if err != nil {
		return Reservation{}, fmt.Errorf("lock product %d: %w", want.ProductID, err)
	}
	if len(found) == 0 {
		return Reservation{}, fmt.Errorf("product %d: %w", want.ProductID, ErrNoProduct)
	}
	p := found[0]
	earlier, err := list(ctx, tx, scanReservation, reservationColumns+" WHERE r.run_id = $1 AND r.product_id = $2", run, p.ID)
	if err != nil {
		return Reservation{}, fmt.Errorf("look for an earlier reservation of product %d: %w", p.ID, err)
	}
	if len(earlier) > 0 {
		return earlier[0], nil
	}
	if p.Stock < want.Quantity {
		return Reservation{}, &ShortError{Product: p, Requested: want.Quantity}
	}
	return s.take(ctx, tx, effectKey, Reservation{
		ID: "rsv_" + shortHash(run, strconv.FormatInt(p.ID, 10)), Run: run, ProductID: p.ID, ProductName: p.Name,
		Quantity: want.Quantity, PreviousStock: p.Stock, NewStock: p.Stock - want.Quantity, CreatedAt: s.instant(),
	})
}

func (s *Shop) take(ctx context.Context, tx *sql.Tx, effectKey string, r Reservation) (Reservation, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE products SET stock = $1 WHERE id = $2", r.NewStock, r.ProductID); err != nil {
		return Reservation{}, fmt.Errorf("take %d of product %d: %w", r.Quantity, r.ProductID, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO reservations (id, run_id, product_id, quantity, previous_stock, new_stock, effect_key, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.ID, r.Run, r.ProductID, r.Quantity, r.PreviousStock, r.NewStock, effectKey, r.CreatedAt)
	if err != nil {
		return Reservation{}, fmt.Errorf("write reservation %s of product %d: %w", r.ID, r.ProductID, err)
	}
	return r, nil
}

const reservationColumns = `SELECT r.id, r.run_id, r.product_id, p.name, r.quantity, r.previous_stock, r.new_stock, r.created_at
	FROM reservations r JOIN products p ON p.id = r.product_id`

func scanReservation(rows *sql.Rows) (Reservation, error) {
	var r Reservation
	err := rows.Scan(&r.ID, &r.Run, &r.ProductID, &r.ProductName, &r.Quantity, &r.PreviousStock, &r.NewStock, &r.CreatedAt)
	r.CreatedAt = r.CreatedAt.UTC()
	return r, err
}

// Reservations lists all reservations by run and product.
func (s *Shop) Reservations(ctx context.Context) ([]Reservation, error) {
	all, err := list(ctx, s.db, scanReservation, reservationColumns+" ORDER BY r.run_id, r.product_id")
	if err != nil {
		return nil, fmt.Errorf("list reservations: %w", err)
	}
	return all, nil
}

// merged adds the wants of each product up and sorts them by product.
func merged(wants []Want) []Want {
	sums := map[int64]int64{}
	for _, w := range wants {
		sums[w.ProductID] += w.Quantity
	}
	all := make([]Want, 0, len(sums))
	for id, quantity := range sums {
		all = append(all, Want{ProductID: id, Quantity: quantity})
	}
	slices.SortFunc(all, func(a, b Want) int { return cmp.Compare(a.ProductID, b.ProductID) })
	return all
}

// shortHash is 20 hex digits that the parts decide: the same effect gets the same ID, whoever makes it.
func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:10])
}
