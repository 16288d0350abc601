package gatewaysim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

const (
	headerKey   = "Idempotency-Key"
	maxBody     = 64 << 10 // bytes
	maxKey      = 255      // characters
	maxMetadata = 256      // characters a value
	maxAmount   = 999_999  // units of the currency
)

type metadata struct {
	Run  string `json:"run"`
	Step string `json:"step"`
}

type chargeRequest struct {
	Amount   *Money   `json:"amount"`
	Currency string   `json:"currency"`
	Method   string   `json:"method"`
	Token    string   `json:"token"`
	Metadata metadata `json:"metadata"`
}

type refundRequest struct {
	Charge   string   `json:"charge"`
	Amount   *Money   `json:"amount"` // nil = all that is left
	Metadata metadata `json:"metadata"`
}

// readRequest reads key and body of a changing request into v, which must be a pointer to a struct.
func readRequest(w http.ResponseWriter, r *http.Request, v any) (string, *failure) {
	key := r.Header.Get(headerKey)
	if bad := checkKey(key); bad != nil {
		return "", bad
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", &failure{
			Status: http.StatusRequestEntityTooLarge, Type: typeInvalid, Code: "body_too_large",
			Message: fmt.Sprintf("The body is larger than %d bytes. Send only the documented fields.", maxBody),
		}
	}
	if err != nil {
		return "", invalid("malformed_request", "", "The body could not be read to its end. Send the request again.")
	}
	if err := decode(body, v); err != nil {
		return "", invalid("malformed_request", "", "The body is not the JSON object that is documented: "+err.Error()+".")
	}
	return key, nil
}

func decode(body []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the object")
	}
	return nil
}

func checkKey(key string) *failure {
	if key == "" {
		return invalid("missing_idempotency_key", headerKey, "Send an Idempotency-Key header: the same one for every try of the same payment.")
	}
	printable := func(c rune) bool { return c >= ' ' && c <= '~' }
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return !printable(c) }) {
		return invalid("invalid_idempotency_key", headerKey, fmt.Sprintf("Send an Idempotency-Key of 1 to %d printable ASCII characters.", maxKey))
	}
	return nil
}

func (q *chargeRequest) check() *failure {
	q.Currency = strings.ToUpper(q.Currency)
	if q.Amount == nil {
		return invalid("missing_amount", "amount", "Send the amount as a number with two decimals, like 124.76.")
	}
	if bad := checkAmount(*q.Amount); bad != nil {
		return bad
	}
	if currencies := []string{"USD", "EUR", "GBP"}; !slices.Contains(currencies, q.Currency) {
		return invalid("invalid_currency", "currency", "Send a currency out of "+strings.Join(currencies, ", ")+".")
	}
	if methods := []string{"credit_card", "debit_card", "paypal", "bank_transfer"}; !slices.Contains(methods, q.Method) {
		return invalid("invalid_method", "method", "Send a method out of "+strings.Join(methods, ", ")+".")
	}
	if q.Token == "" {
		return invalid("missing_token", "token", "Send the payment token, like test_success_visa.")
	}
	return q.Metadata.check()
}

func (q *refundRequest) check() *failure {
	if q.Charge == "" {
		return invalid("missing_charge", "charge", "Send the ID of the charge to refund (ch_…).")
	}
	if q.Amount != nil {
		if bad := checkAmount(*q.Amount); bad != nil {
			return bad
		}
	}
	return q.Metadata.check()
}

func checkAmount(m Money) *failure {
	if !m.IsPositive() || m.GreaterThan(decimal.NewFromInt(maxAmount)) {
		return invalid("invalid_amount", "amount", fmt.Sprintf("Send an amount of at least 0.01 and at most %d.00.", maxAmount))
	}
	return nil
}

func (m metadata) check() *failure {
	if len(m.Run) > maxMetadata || len(m.Step) > maxMetadata {
		return invalid("invalid_metadata", "metadata", fmt.Sprintf("Send metadata.run and metadata.step of at most %d characters.", maxMetadata))
	}
	return nil
}

// digest tells whether two requests are the same; 10 and 10.00 are the same amount.
func (q *chargeRequest) digest() string {
	return digest("charge", q.Amount.String(), q.Currency, q.Method, q.Token, q.Metadata.Run, q.Metadata.Step)
}

func (q *refundRequest) digest() string {
	amount := "all"
	if q.Amount != nil {
		amount = q.Amount.String()
	}
	return digest("refund", q.Charge, amount, q.Metadata.Run, q.Metadata.Step)
}

// digest is 32 hex digits; every part is quoted, so that no two lists of parts read alike.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}
