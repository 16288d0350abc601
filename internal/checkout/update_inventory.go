package checkout

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Inventory is the output of update_inventory.
type Inventory struct {
	UpdatedProducts    []UpdatedProduct  `json:"updated_products"`
	TotalItemsReserved int64             `json:"total_items_reserved"` // units
	Changes            []InventoryChange `json:"inventory_changes"`
	UpdatedAt          time.Time         `json:"updated_at"`
}

// UpdatedProduct says what a reservation did to a product's stock.
type UpdatedProduct struct {
	ProductID        int64  `json:"product_id"`
	Name             string `json:"name"`
	PreviousStock    int64  `json:"previous_stock"`
	NewStock         int64  `json:"new_stock"`
	QuantityReserved int64  `json:"quantity_reserved"`
	ReservationID    string `json:"reservation_id"`
}

// InventoryChange is a line of the stock's history.
type InventoryChange struct {
	ProductID     int64     `json:"product_id"`
	ChangeType    string    `json:"change_type"`
	Quantity      int64     `json:"quantity"` // negative: stock went down
	Reason        string    `json:"reason"`
	Timestamp     time.Time `json:"timestamp"`
	ReservationID string    `json:"reservation_id"`
}

// updateInventory takes the cart's units out of the stock.
func (h *handlers) updateInventory(ctx context.Context, s *tasks.Step) (any, error) {
	in, err := tasks.Input[Request](s)
	if err != nil {
		return nil, err
	}
	cart, err := outputOf[Cart](ctx, s, stepCart)
	switch {
	case err != nil:
		return nil, err
	case len(cart.Items) == 0:
		return nil, permanent("MISSING_VALIDATED_ITEMS", "Validated items are missing: %s left none", stepCart)
	case in.CustomerInfo.Email == "":
		return nil, permanent("MISSING_CUSTOMER_INFO", "Customer information is missing: customer_info.email is required")
	}
	wants := make([]Want, len(cart.Items))
	for i, line := range cart.Items {
		wants[i] = Want{ProductID: line.ProductID, Quantity: line.Quantity}
	}
	made, err := h.Store.Reserve(ctx, s.Run(), s.EffectKey(), wants)
	if short, ok := errors.AsType[*ShortError](err); ok {
		return nil, tasks.Retryable("STOCK_NOT_AVAILABLE", short)
	}
	if errors.Is(err, ErrNoProduct) {
		return nil, tasks.Permanent("PRODUCT_NOT_FOUND", err)
	}
	if err != nil {
		return nil, err
	}
	return shaped(ctx, s, reservationProblem(made, merged(wants)), made, newInventory(made, h.now())), nil
}

func newInventory(made []Reservation, at time.Time) Inventory {
	inv := Inventory{UpdatedAt: at}
	for _, r := range made {
		inv.TotalItemsReserved += r.Quantity
		inv.UpdatedProducts = append(inv.UpdatedProducts, UpdatedProduct{
			ProductID: r.ProductID, Name: r.ProductName, PreviousStock: r.PreviousStock, NewStock: r.NewStock,
			QuantityReserved: r.Quantity, ReservationID: r.ID,
		})
		inv.Changes = append(inv.Changes, InventoryChange{
			ProductID: r.ProductID, ChangeType: "reservation", Quantity: -r.Quantity, Reason: "order_checkout", Timestamp: r.CreatedAt, ReservationID: r.ID,
		})
	}
	return inv
}

// reservationProblem says in what reservations are not what was asked for; "" when they are. Both are sorted by product.
func reservationProblem(made []Reservation, wants []Want) string {
	if len(made) != len(wants) {
		return strconv.Itoa(len(made)) + " products are reserved, asked for " + strconv.Itoa(len(wants))
	}
	for i, r := range made {
		if r.ProductID != wants[i].ProductID || r.Quantity != wants[i].Quantity {
			return "reservation " + r.ID + " is not of the product and quantity that were asked for"
		}
	}
	return ""
}
