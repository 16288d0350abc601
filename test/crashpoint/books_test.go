//go:build integration

package crashpoint_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepwell/stepwell/internal/demo"
)

// effects are what the outside world has of one run.
type effects struct{ charges, reservations, orders, mails int }

// want is each effect once. The diamond sends no mail.
func want(flow string) effects {
	e := effects{charges: 1, reservations: 1, orders: 1}
	if flow == flowLinear {
		e.mails = 1
	}
	return e
}

// effects reads what the gateway's ledger, the shop's database and the mail sink have, by run.
func (s *stage) effects(ctx context.Context) (map[string]effects, error) {
	books, err := demo.ReadBooks(ctx, s.shop, s.ledger, s.mails.Mails(), nil, nil)
	if err != nil {
		return nil, err
	}
	all := map[string]effects{}
	add := func(run string, count func(*effects)) {
		e := all[run]
		count(&e)
		all[run] = e
	}
	for _, c := range books.Gateway.Charges {
		add(c.Run, func(e *effects) { e.charges++ })
	}
	for _, r := range books.Reservations {
		add(r.Run, func(e *effects) { e.reservations++ })
	}
	for _, o := range books.Orders {
		add(o.Run, func(e *effects) { e.orders++ })
	}
	seen := map[string]bool{} // a message that is sent again has the same ID: it is the same message
	for _, m := range books.Mails {
		if !seen[m.ID] {
			add(runPattern.FindString(m.ID), func(e *effects) { e.mails++ })
		}
		seen[m.ID] = true
	}
	return all, nil
}

// shelves checks, when all is over, that what is missing from the shelves is reserved.
func (s *stage) shelves(ctx context.Context) error {
	books, err := demo.ReadBooks(ctx, s.shop, s.ledger, nil, nil, nil)
	if err != nil {
		return err
	}
	reserved := map[int64]int64{}
	for _, r := range books.Reservations {
		reserved[r.ProductID] += r.Quantity
	}
	for _, p := range books.After {
		if missing := s.stock[p.ID] - p.Stock; missing != reserved[p.ID] {
			err = errors.Join(err, fmt.Errorf("product %d: %d units are missing from the shelf, %d are reserved", p.ID, missing, reserved[p.ID]))
		}
	}
	return err
}
