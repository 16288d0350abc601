package checkout_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
)

// FuzzRequest reads orders as handlers get them: numbers above all, which are decimals and must neither lose a digit nor cost a gigabyte to print.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"cart_items":[{"product_id":1,"quantity":2,"price":129.99,"name":"x"}],"payment_info":{"method":"credit_card","amount":286.77,"currency":"USD","token":"t"},` +
			`"customer_info":{"email":"ada@example.com","name":"Ada","id":7},"shipping_info":{"address":"a","city":"b","state":"c","zip":"d"},"priority":"express"}`,
		`{"cart_items":[{"product_id":2e0,"quantity":1.0}],"payment_info":{"amount":1e-12}}`,
		`{"payment_info":{"amount":1e999999999}}`, `{"payment_info":{"amount":-0.00}}`, `{"cart_items":[{"quantity":9223372036854775808}]}`,
		`{"payment_info":{"amount":"1.00"}}`, `{"cart_items":null,"payment_info":{"amount":null}}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r checkout.Request
		if err := json.Unmarshal(raw, &r); err != nil {
			return
		}
		out, err := json.Marshal(&r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		const often = 8 // a character of a text can become an escape of six
		if len(out) > often*len(raw)+1024 {
			t.Errorf("%d bytes became %d", len(raw), len(out))
		}
		var back checkout.Request
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		amounts := cmp.Comparer(checkout.Money.Equal)
		if diff := cmp.Diff(r, back, amounts); diff != "" {
			t.Errorf("round trip (-before +after):\n%s", diff)
		}
	})
}
