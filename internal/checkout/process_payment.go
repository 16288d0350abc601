package checkout

import (
	"cmp"
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Payment is the output of process_payment.
type Payment struct {
	PaymentID     string    `json:"payment_id"`
	AmountCharged Money     `json:"amount_charged"`
	Currency      string    `json:"currency"`
	MethodType    string    `json:"payment_method_type"`
	TransactionID string    `json:"transaction_id"`
	ProcessedAt   time.Time `json:"processed_at"`
	Status        string    `json:"status"`
}

// paymentConfig is the config of process_payment.
type paymentConfig struct {
	CurrencyDefault string `json:"currency_default"`
}

// processPayment charges the total of the validated cart.
func (h *handlers) processPayment(ctx context.Context, s *tasks.Step) (any, error) {
	in, err := tasks.Input[Request](s)
	if err != nil {
		return nil, err
	}
	cart, err := outputOf[Cart](ctx, s, stepCart)
	if err != nil {
		return nil, err
	}
	var cfg paymentConfig
	if err := s.Config(&cfg); err != nil {
		return nil, err
	}
	if err := checkPayment(in.PaymentInfo, cart); err != nil {
		return nil, err
	}
	request := ChargeRequest{
		Key: s.EffectKey(), Amount: cart.Total, Currency: cmp.Or(in.PaymentInfo.Currency, cfg.CurrencyDefault),
		Method: in.PaymentInfo.Method, Token: in.PaymentInfo.Token, Metadata: ChargeMetadata{Run: s.Run(), Step: s.Name()},
	}
	charge, err := h.pay(ctx, s, request)
	if err != nil {
		return nil, err
	}
	return shaped(ctx, s, charge.problem(request), charge, Payment{
		PaymentID: charge.ID, AmountCharged: charge.Amount, Currency: charge.Currency, MethodType: charge.Method,
		TransactionID: charge.TransactionID, ProcessedAt: charge.CreatedAt, Status: "completed",
	}), nil
}

// pay charges once: an earlier attempt may have done so and never heard of it.
func (h *handlers) pay(ctx context.Context, s *tasks.Step, request ChargeRequest) (Charge, error) {
	if s.Attempt() > 1 {
		if charge, ok, err := h.Gateway.Lookup(ctx, request.Key); err != nil || ok {
			return charge, err
		}
	}
	return h.Gateway.Charge(ctx, request)
}

func checkPayment(in PaymentInfo, cart Cart) error {
	switch {
	case in.Method == "":
		return permanent("MISSING_PAYMENT_METHOD", "Payment method is missing: payment_info.method is required")
	case in.Token == "":
		return permanent("MISSING_PAYMENT_TOKEN", "Payment token is missing: payment_info.token is required")
	case cart.Total.IsZero():
		return permanent("MISSING_CART_TOTAL", "Cart total is missing: %s left none", stepCart)
	case !in.Amount.Equal(cart.Total):
		return permanent("PAYMENT_AMOUNT_MISMATCH", "Payment amount mismatch. Expected: %s, Provided: %s", cart.Total, in.Amount)
	}
	return nil
}

// problem says in what a charge is not what was asked for; "" when it is.
func (c *Charge) problem(asked ChargeRequest) string {
	switch {
	case c.ID == "" || c.TransactionID == "" || c.CreatedAt.IsZero():
		return "the charge lacks its id, transaction_id or created_at"
	case c.Status != "succeeded":
		return "the charge's status is " + c.Status + ", not succeeded"
	case !c.Amount.Equal(asked.Amount) || c.Currency != asked.Currency:
		return "charged were " + c.Amount.String() + " " + c.Currency + ", asked for " + asked.Amount.String() + " " + asked.Currency
	}
	return ""
}
