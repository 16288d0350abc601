package checkout

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/shopspring/decimal"
)

const (
	maxNumberText = 40 // characters of a number; more are no amount and no count
	maxExponent   = 12 // powers of ten either way: 1e999999999 is short to read but a gigabyte to print
)

var errNumber = errors.New("is not a JSON number within the bounds of an amount or a count")

// Money is an exact decimal amount; the zero value is 0.00. Every amount that the shop computes is in whole cents; one that was read keeps all
// its digits, so that comparing it is exact too. In JSON it is a number with two decimals.
type Money struct{ d decimal.Decimal }

// Cents is an amount of n cents.
func Cents(n int64) Money { return Money{decimal.New(n, -2)} }

// ParseMoney reads a number such as 124.76. It never goes through a float.
func ParseMoney(text string) (Money, error) {
	d, err := parseNumber([]byte(text))
	return Money{d}, err
}

// Add is m + o.
func (m Money) Add(o Money) Money { return Money{m.d.Add(o.d)} }

// Times is m × n.
func (m Money) Times(n int64) Money { return Money{m.d.Mul(decimal.NewFromInt(n))} }

// Equal tells whether both are the same amount: 10 is 10.00, and 10.001 is not.
func (m Money) Equal(o Money) bool { return m.d.Equal(o.d) }

// IsZero tells whether m is 0.00; encoding/json asks it for omitzero.
func (m Money) IsZero() bool { return m.d.IsZero() }

// Cents is m in cents, rounded half away from zero.
func (m Money) Cents() int64 { return m.d.Shift(2).Round(0).IntPart() }

// String has two decimals, or all of them where two would hide a difference.
func (m Money) String() string {
	if m.d.Equal(m.d.Round(2)) {
		return m.d.StringFixed(2)
	}
	return m.d.String()
}

// MarshalJSON writes a number.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalJSON reads a number; a string is refused. null leaves m as it is.
func (m *Money) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	d, err := parseNumber(text)
	if err != nil {
		return err
	}
	m.d = d
	return nil
}

// Schema documents Money in OpenAPI.
func (Money) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "Decimal amount with two decimals.", Examples: []any{124.76}}
}

// Count is a whole number. JSON Schema calls 2.0 and 2e0 integers as well, so a Count reads them.
type Count int64

// UnmarshalJSON reads a whole number; null leaves c as it is.
func (c *Count) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	d, err := parseNumber(text)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(d.String(), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not a whole number within 64 bits", text)
	}
	*c = Count(n)
	return nil
}

// Schema documents Count in OpenAPI.
func (Count) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }

func parseNumber(text []byte) (decimal.Decimal, error) {
	if len(text) > maxNumberText {
		return decimal.Decimal{}, fmt.Errorf("%.40s… %w", text, errNumber)
	}
	d, err := decimal.NewFromString(string(text))
	if err != nil || d.Exponent() > maxExponent || d.Exponent() < -maxExponent {
		return decimal.Decimal{}, fmt.Errorf("%s %w", text, errNumber)
	}
	return d, nil
}
