package checkout

import (
	"context"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// validateCart checks the cart against the catalogue and adds it up.
func (h *handlers) validateCart(ctx context.Context, s *tasks.Step) (Cart, error) {
	in, err := tasks.Input[Request](s)
	if err != nil {
		return Cart{}, err
	}
	if err := checkItems(in.CartItems); err != nil {
		return Cart{}, err
	}
	products, err := h.Store.Products(ctx, productIDs(in.CartItems))
	if err != nil {
		return Cart{}, err
	}
	lines, err := priced(in.CartItems, products)
	if err != nil {
		return Cart{}, err
	}
	return newCart(lines, h.now()), nil
}
