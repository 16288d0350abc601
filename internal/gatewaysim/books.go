package gatewaysim

import (
	"errors"
	"fmt"

	"github.com/shopspring/decimal"
)

// books is what the ledger says, indexed; it is rebuilt from the file at every start and changed by records only.
type books struct {
	Ledger
	accounts map[string]*account // by key of a charge
	charges  map[string]int      // charge ID → index in Charges
	refunds  map[string]refunded // by key of a refund
	returned map[string]decimal.Decimal
}

// account is everything that is known under one key.
type account struct {
	key      string
	body     string // digest that later calls must match
	outcomes []string
	charge   *Charge
	declined string // code of a final no
}

type refunded struct {
	body   string
	refund Refund
}

func newBooks() *books {
	return &books{
		accounts: map[string]*account{},
		charges:  map[string]int{},
		refunds:  map[string]refunded{},
		returned: map[string]decimal.Decimal{},
	}
}

// check refuses a record that this gateway cannot have written after those before it.
func (b *books) check(r record) error {
	if r.Key == "" || r.Body == "" {
		return errors.New("record without key or body")
	}
	if r.Charge != nil {
		if acc := b.accounts[r.Key]; acc != nil && acc.charge != nil {
			return fmt.Errorf("second charge for key %s", r.Key)
		}
		if r.Charge.ID == "" || r.Charge.Key != r.Key {
			return fmt.Errorf("charge without ID or not of key %s", r.Key)
		}
	}
	switch r.Kind {
	case kindCall:
		if r.Outcome == "" {
			return errors.New("call without outcome")
		}
		if makesCharge(r.Outcome) != (r.Charge != nil) {
			return fmt.Errorf("outcome %s does not fit the record's charge", r.Outcome)
		}
	case kindCharge:
		if r.Charge == nil {
			return errors.New("charge record without charge")
		}
	case kindRefund:
		return b.checkRefund(r)
	default:
		return fmt.Errorf("unknown kind %q", r.Kind)
	}
	return nil
}

func (b *books) checkRefund(r record) error {
	if r.Refund == nil {
		return errors.New("refund record without refund")
	}
	if _, ok := b.refunds[r.Key]; ok {
		return fmt.Errorf("second refund for key %s", r.Key)
	}
	if _, ok := b.charges[r.Refund.Charge]; !ok {
		return fmt.Errorf("refund of unknown charge %s", r.Refund.Charge)
	}
	if left := b.left(r.Refund.Charge); r.Refund.Amount.GreaterThan(left) {
		return fmt.Errorf("refund of %s for charge %s of which %s is left", r.Refund.Amount, r.Refund.Charge, left.StringFixed(2))
	}
	return nil
}

// apply takes over a record that check has accepted and that is on disk.
func (b *books) apply(r record) {
	if r.Kind == kindRefund {
		b.Refunds = append(b.Refunds, *r.Refund)
		b.refunds[r.Key] = refunded{body: r.Body, refund: *r.Refund}
		b.returned[r.Refund.Charge] = b.returned[r.Refund.Charge].Add(r.Refund.Amount.Decimal)
		return
	}
	acc := b.accounts[r.Key]
	if acc == nil {
		acc = &account{key: r.Key, body: r.Body}
		b.accounts[r.Key] = acc
	}
	if r.Kind == kindCall {
		acc.outcomes = append(acc.outcomes, r.Outcome)
		b.Calls = append(b.Calls, Call{Key: r.Key, Outcome: r.Outcome, At: r.At})
		if isDecline(r.Outcome) {
			acc.declined = r.Outcome
		}
	}
	if r.Charge != nil {
		acc.charge = r.Charge
		b.charges[r.Charge.ID] = len(b.Charges)
		b.Charges = append(b.Charges, *r.Charge)
	}
}

// left is what can still be refunded of a known charge.
func (b *books) left(chargeID string) decimal.Decimal {
	return b.Charges[b.charges[chargeID]].Amount.Sub(b.returned[chargeID])
}
