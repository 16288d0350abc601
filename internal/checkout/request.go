package checkout

import "log/slog"

// Request is what a customer sends: the body of POST /v1/orders and the input of a run of ecommerce/process_order. The workflow's input schema
// is what checks it; the struct reads it and documents it.
type Request struct {
	CartItems    []CartItem    `json:"cart_items" doc:"What is bought."`
	PaymentInfo  PaymentInfo   `json:"payment_info"`
	CustomerInfo CustomerInfo  `json:"customer_info"`
	ShippingInfo *ShippingInfo `json:"shipping_info,omitempty"`
	Priority     string        `json:"priority,omitempty" enum:"standard,express,overnight" default:"standard" doc:"Express orders are charged once, within 15 s, or fail."`
}

// CartItem is a line of the cart.
type CartItem struct {
	ProductID Count  `json:"product_id" doc:"Of the catalogue."`
	Quantity  Count  `json:"quantity" minimum:"1" doc:"Units."`
	Price     Money  `json:"price,omitzero" minimum:"0" doc:"Ignored: the catalogue's price counts."`
	Name      string `json:"name,omitempty" doc:"Ignored: the catalogue's name counts."`
}

// PaymentInfo is how the customer pays.
type PaymentInfo struct {
	Method       string `json:"method" enum:"credit_card,debit_card,paypal,bank_transfer"`
	Amount       Money  `json:"amount" minimum:"0" doc:"What the customer agreed to; must be the cart's total."`
	Currency     string `json:"currency" enum:"USD,EUR,GBP"`
	Token        Token  `json:"token,omitempty" doc:"From the payment gateway's own form."`
	CardLastFour string `json:"card_last_four,omitempty"`
}

// CustomerInfo is who buys.
type CustomerInfo struct {
	Email string `json:"email" format:"email"`
	Name  string `json:"name" minLength:"1"`
	ID    Count  `json:"id,omitzero"`
	Tier  string `json:"tier,omitempty" enum:"standard,premium,enterprise" doc:"Orders of premium customers have a queue of their own."`
	Phone string `json:"phone,omitempty"`
}

// ShippingInfo is where the order goes.
type ShippingInfo struct {
	Address string `json:"address"`
	City    string `json:"city"`
	State   string `json:"state"`
	Zip     string `json:"zip"`
}

// Token stands for a payment instrument at the gateway. It is as good as the card, so it prints and logs as [token]; only JSON carries it.
type Token string

const redacted = "[token]"

// String hides the token.
func (Token) String() string { return redacted }

// GoString hides the token from %#v.
func (Token) GoString() string { return redacted }

// LogValue hides the token from slog.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }
