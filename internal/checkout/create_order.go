package checkout

import (
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// deliveryDays is how long a delivery is said to take.
const deliveryDays = 7

// Placed is the output of create_order.
type Placed struct {
	OrderID           string    `json:"order_id"`
	OrderNumber       string    `json:"order_number"`
	Status            string    `json:"status"`
	TotalAmount       Money     `json:"total_amount"`
	CustomerEmail     string    `json:"customer_email"`
	CreatedAt         time.Time `json:"created_at"`
	EstimatedDelivery string    `json:"estimated_delivery"` // January 2, 2006
}

// createOrder writes the order that everything before was for.
func (h *handlers) createOrder(ctx context.Context, s *tasks.Step) (any, error) {
	o, charged, err := draft(ctx, s)
	if err != nil {
		return nil, err
	}
	if problems := o.problems(charged); problems != "" {
		return nil, permanent("ORDER_VALIDATION_FAILED", "Order is not valid: %s", problems)
	}
	placed, err := h.Store.PlaceOrder(ctx, o)
	if err != nil {
		return nil, err
	}
	problem := ""
	if placed.ID == "" || placed.Number == "" || placed.CreatedAt.IsZero() || !placed.Total.Equal(o.Total) {
		problem = "the order that was placed is not the one that was asked for"
	}
	return shaped(ctx, s, problem, placed, Placed{
		OrderID: placed.ID, OrderNumber: placed.Number, Status: placed.Status, TotalAmount: placed.Total,
		CustomerEmail: placed.Customer.Email, CreatedAt: placed.CreatedAt,
		EstimatedDelivery: placed.CreatedAt.AddDate(0, 0, deliveryDays).Format("January 2, 2006"),
	}), nil
}

// draft collects the order from the run's input and the outputs of the steps before.
func draft(ctx context.Context, s *tasks.Step) (o Order, charged Money, err error) {
	in, err := tasks.Input[Request](s)
	if err != nil {
		return o, charged, err
	}
	cart, err := outputOf[Cart](ctx, s, stepCart)
	if err != nil {
		return o, charged, err
	}
	paid, err := outputOf[Payment](ctx, s, stepPayment)
	if err != nil {
		return o, charged, err
	}
	inventory, err := outputOf[Inventory](ctx, s, stepInventory)
	if err != nil {
		return o, charged, err
	}
	return Order{
		Run: s.Run(), EffectKey: s.EffectKey(), Status: OrderConfirmed, Customer: in.CustomerInfo,
		Items: cart.Items, ItemCount: cart.ItemCount, Subtotal: cart.Subtotal, Tax: cart.Tax, Shipping: cart.Shipping, Total: cart.Total,
		PaymentID: paid.PaymentID, PaymentStatus: paid.Status, TransactionID: paid.TransactionID,
	}, paid.AmountCharged, checkParts(in.CustomerInfo, cart, paid, inventory)
}

func checkParts(customer CustomerInfo, cart Cart, paid Payment, inventory Inventory) error {
	switch {
	case customer.Email == "":
		return permanent("MISSING_CUSTOMER_INFO", "Customer information is missing: customer_info.email is required")
	case cart.Total.IsZero():
		return permanent("MISSING_CART_VALIDATION", "Cart validation is missing: %s left no total", stepCart)
	case paid.PaymentID == "":
		return permanent("MISSING_PAYMENT_RESULT", "Payment result is missing: %s left no payment_id", stepPayment)
	case len(inventory.UpdatedProducts) == 0:
		return permanent("MISSING_INVENTORY_RESULT", "Inventory result is missing: %s left no updated_products", stepInventory)
	}
	return nil
}
