package gatewaysim

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/shopspring/decimal"
)

// Money is an amount with at most two decimals; in JSON a number with exactly two.
type Money struct{ decimal.Decimal }

// moneyText allows no exponent: 1e999999999 is eleven bytes long but would print as a gigabyte.
var moneyText = regexp.MustCompile(`^-?[0-9]{1,12}(\.[0-9]{1,2})?$`)

var errMoney = errors.New("must be a JSON number with at most two decimals, like 124.76")

// Equal reports whether both are the same amount: 10 equals 10.00.
func (m Money) Equal(o Money) bool { return m.Decimal.Equal(o.Decimal) }

// String is the amount with two decimals.
func (m Money) String() string { return m.StringFixed(2) }

// MarshalJSON writes a number with two decimals.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.StringFixed(2)), nil }

// UnmarshalJSON reads a number with at most two decimals; a string or an exponent is refused.
func (m *Money) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	if !moneyText.Match(text) {
		return fmt.Errorf("amount %.40s: %w", text, errMoney)
	}
	d, err := decimal.NewFromString(string(text))
	if err != nil {
		return fmt.Errorf("amount %.40s: %w", text, errMoney)
	}
	m.Decimal = d
	return nil
}
