package checkout

import (
	"cmp"
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Sent is the output of send_confirmation.
type Sent struct {
	EmailSent bool      `json:"email_sent"`
	Recipient string    `json:"recipient"`
	EmailType string    `json:"email_type"`
	SentAt    time.Time `json:"sent_at"`
	MessageID string    `json:"message_id"`
}

// sendConfirmation tells the customer.
func (h *handlers) sendConfirmation(ctx context.Context, s *tasks.Step) (Sent, error) {
	in, err := tasks.Input[Request](s)
	if err != nil {
		return Sent{}, err
	}
	placed, err := outputOf[Placed](ctx, s, stepOrder)
	if err != nil {
		return Sent{}, err
	}
	cart, err := outputOf[Cart](ctx, s, stepCart)
	if err != nil {
		return Sent{}, err
	}
	if err := checkConfirmation(in.CustomerInfo, placed, cart); err != nil {
		return Sent{}, err
	}
	messageID, err := h.Mailer.Send(ctx, s.EffectKey(), Confirmation{
		To: in.CustomerInfo.Email, CustomerName: cmp.Or(in.CustomerInfo.Name, in.CustomerInfo.Email), OrderNumber: placed.OrderNumber,
		Items: cart.Items, Currency: in.PaymentInfo.Currency,
		Subtotal: cart.Subtotal, Tax: cart.Tax, Shipping: cart.Shipping, Total: placed.TotalAmount,
		EstimatedDelivery: placed.EstimatedDelivery,
	})
	if err != nil {
		return Sent{}, err
	}
	return Sent{
		EmailSent: true, Recipient: in.CustomerInfo.Email, EmailType: "order_confirmation", SentAt: h.now(), MessageID: messageID,
	}, nil
}

func checkConfirmation(customer CustomerInfo, placed Placed, cart Cart) error {
	switch {
	case customer.Email == "":
		return permanent("MISSING_CUSTOMER_EMAIL", "Customer e-mail address is missing: customer_info.email is required")
	case placed.OrderNumber == "":
		return permanent("MISSING_ORDER_RESULT", "Order result is missing: %s left no order_number", stepOrder)
	case len(cart.Items) == 0:
		return permanent("MISSING_CART_VALIDATION", "Cart validation is missing: %s left no validated_items", stepCart)
	}
	if err := checkAddress(customer.Email); err != nil {
		return permanent("INVALID_EMAIL", "%q is no e-mail address: %w", customer.Email, err)
	}
	return nil
}
