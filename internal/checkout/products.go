package checkout

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNoProduct says that the catalogue has no such product.
var ErrNoProduct = errors.New("no such product")

// Product is an article of the catalogue and what is left of it.
type Product struct {
	ID       int64
	Name     string
	SKU      string
	Category string
	Price    Money
	Stock    int64 // units not yet reserved
	Active   bool  // may be bought
}

const productColumns = "SELECT id, name, sku, category, price_cents, stock, active FROM products"

func scanProduct(rows *sql.Rows) (Product, error) {
	var p Product
	var cents int64
	err := rows.Scan(&p.ID, &p.Name, &p.SKU, &p.Category, &cents, &p.Stock, &p.Active)
	p.Price = Cents(cents)
	return p, err
}

// Products looks products up; one that does not exist is missing in the answer.
func (s *Shop) Products(ctx context.Context, ids []int64) (map[int64]Product, error) {
	found := make(map[int64]Product, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	marks, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		marks[i], args[i] = "$"+strconv.Itoa(i+1), id
	}
	products, err := list(ctx, s.db, scanProduct, productColumns+" WHERE id IN ("+strings.Join(marks, ", ")+")", args...)
	if err != nil {
		return nil, fmt.Errorf("look up %d products: %w", len(ids), err)
	}
	for _, p := range products {
		found[p.ID] = p
	}
	return found, nil
}

// Stock lists the whole catalogue by ID.
func (s *Shop) Stock(ctx context.Context) ([]Product, error) {
	products, err := list(ctx, s.db, scanProduct, productColumns+" ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list the catalogue: %w", err)
	}
	return products, nil
}

// Restock adds units to a product's stock. It is not idempotent. The error wraps [ErrNoProduct].
func (s *Shop) Restock(ctx context.Context, productID, units int64) error {
	if units <= 0 {
		return fmt.Errorf("restock product %d: %d units, must be at least 1", productID, units)
	}
	return s.changeProduct(ctx, productID, "UPDATE products SET stock = stock + $1 WHERE id = $2", units)
}

// SetActive says whether a product may be bought. The error wraps [ErrNoProduct].
func (s *Shop) SetActive(ctx context.Context, productID int64, active bool) error {
	return s.changeProduct(ctx, productID, "UPDATE products SET active = $1 WHERE id = $2", active)
}

func (s *Shop) changeProduct(ctx context.Context, productID int64, query string, value any) error {
	done, err := s.db.ExecContext(ctx, query, value, productID)
	if err != nil {
		return fmt.Errorf("change product %d: %w", productID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("change product %d: %w", productID, ErrNoProduct)
}
