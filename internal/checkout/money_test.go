package checkout_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stepwell/stepwell/internal/checkout"
)

func TestMoneyKeepsEveryDigit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, out string }{
		{"124.76", "124.76"},
		{"124.760000", "124.76"},
		{"10", "10.00"},
		{"1.2476e2", "124.76"},
		{"0.1", "0.10"},
		{"-0.01", "-0.01"},
		{"124.764", "124.764"},
		{"9007199254740993.01", "9007199254740993.01"}, // no float64 holds it
		{"0", "0.00"},
	} {
		var m checkout.Money
		if err := json.Unmarshal([]byte(tc.in), &m); err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if raw, err := json.Marshal(m); err != nil || string(raw) != tc.out {
			t.Errorf("%s became %s, %v; want %s", tc.in, raw, err, tc.out)
		}
	}
}

func TestMoneyRefusesWhatIsNoAmount(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"1.00"`, `true`, `{}`, `1e999999999`, `1e-999999999`, `11111111111111111111111111111111111111111`} {
		m := checkout.Cents(7)
		if err := json.Unmarshal([]byte(in), &m); err == nil {
			t.Errorf("%s became %s", in, m)
		}
	}
	if _, err := checkout.ParseMoney("a dollar"); err == nil {
		t.Error("text became an amount")
	}
}

func TestMoneyAddsUpExactly(t *testing.T) {
	t.Parallel()
	sum := checkout.Money{}
	for range 10 {
		sum = sum.Add(checkout.Cents(10))
	}
	if !sum.Equal(checkout.Cents(100)) || sum.String() != "1.00" || sum.Cents() != 100 {
		t.Errorf("ten times 0.10 is %s", sum)
	}
	if got := checkout.Cents(2999).Times(3).String(); got != "89.97" {
		t.Errorf("3 × 29.99 = %s", got)
	}
}

func TestCountReadsWholeNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]checkout.Count{"2": 2, "2.0": 2, "2e0": 2, "20e-1": 2, "null": 0, "-3": -3} {
		var c checkout.Count
		if err := json.Unmarshal([]byte(in), &c); err != nil || c != want {
			t.Errorf("%s became %d, %v", in, c, err)
		}
	}
	for _, in := range []string{"2.5", `"2"`, "9223372036854775808", "1e12000"} {
		var c checkout.Count
		if err := json.Unmarshal([]byte(in), &c); err == nil {
			t.Errorf("%s became %d", in, c)
		}
	}
}

func TestTokensDoNotPrint(t *testing.T) {
	t.Parallel()
	r := checkout.PaymentInfo{Token: "tok_secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, r.Token); got != "[token]" {
			t.Errorf("%s prints %s", format, got)
		}
	}
	if raw, err := json.Marshal(r.Token); err != nil || string(raw) != `"tok_secret"` {
		t.Errorf("JSON carries %s, %v", raw, err)
	}
}
