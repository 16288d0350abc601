package checkout

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Cart is the output of validate_cart: what is bought, at the catalogue's prices.
type Cart struct {
	Items       []Line    `json:"validated_items"`
	Subtotal    Money     `json:"subtotal"`
	Tax         Money     `json:"tax"`
	Shipping    Money     `json:"shipping"`
	Total       Money     `json:"total"`
	ItemCount   int       `json:"item_count"` // lines, not units
	ValidatedAt time.Time `json:"validated_at"`
}

// Line is a line of a [Cart].
type Line struct {
	ProductID int64  `json:"product_id"`
	Name      string `json:"name"`
	Price     Money  `json:"price"`
	Quantity  int64  `json:"quantity"`
	LineTotal Money  `json:"line_total"`
}

// checkItems refuses items that cannot be looked up; positions in the messages count from 1.
func checkItems(items []CartItem) error {
	if len(items) == 0 {
		return permanent("MISSING_CART_ITEMS", "Cart is empty: cart_items needs at least one item")
	}
	for i, item := range items {
		if item.ProductID == 0 {
			return permanent("MISSING_PRODUCT_ID", "Product ID is missing for cart item %d", i+1)
		}
		if item.Quantity <= 0 {
			return permanent("INVALID_QUANTITY", "Quantity of cart item %d must be at least 1", i+1)
		}
	}
	return nil
}

func productIDs(items []CartItem) []int64 {
	ids := make([]int64, len(items))
	for i, item := range items {
		ids[i] = int64(item.ProductID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// priced puts prices to items. A product on several lines must be in stock for all of them together.
func priced(items []CartItem, products map[int64]Product) ([]Line, error) {
	lines := make([]Line, 0, len(items))
	requested := map[int64]int64{}
	for _, item := range items {
		id, quantity := int64(item.ProductID), int64(item.Quantity)
		p, ok := products[id]
		switch {
		case !ok:
			return nil, permanent("PRODUCT_NOT_FOUND", "Product %d not found", id)
		case !p.Active:
			return nil, permanent("PRODUCT_INACTIVE", "Product %s is not available for purchase", p.Name)
		case p.Stock-requested[id] < quantity:
			return nil, tasks.Retryable("INSUFFICIENT_STOCK", fmt.Errorf("Insufficient stock for %s. Available: %d, Requested: %d", //nolint:staticcheck // the shop's own wording
				p.Name, p.Stock, requested[id]+quantity))
		}
		requested[id] += quantity
		lines = append(lines, Line{ProductID: id, Name: p.Name, Price: p.Price, Quantity: quantity, LineTotal: p.Price.Times(quantity)})
	}
	return lines, nil
}

// newCart adds the lines up.
func newCart(lines []Line, at time.Time) Cart {
	c := Cart{Items: lines, ItemCount: len(lines), ValidatedAt: at}
	var units int64
	for _, line := range lines {
		c.Subtotal = c.Subtotal.Add(line.LineTotal)
		units += line.Quantity
	}
	c.Tax = tax(c.Subtotal)
	c.Shipping = shipping(units)
	c.Total = c.Subtotal.Add(c.Tax).Add(c.Shipping)
	return c
}

// tax is 8 %, rounded half up to cents.
func tax(subtotal Money) Money { return Money{subtotal.d.Mul(decimal.New(8, -2)).Round(2)} }

// shipping goes by weight; a unit weighs half a pound.
func shipping(units int64) Money {
	switch {
	case units <= 4: // 2 lb
		return Cents(599)
	case units <= 20: // 10 lb
		return Cents(999)
	default:
		return Cents(1499)
	}
}
