package checkout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Store is what the handlers need of the shop's database; [Shop] is one. Each call may be repeated.
type Store interface {
	Products(ctx context.Context, ids []int64) (map[int64]Product, error)
	Reserve(ctx context.Context, run, effectKey string, wants []Want) ([]Reservation, error)
	PlaceOrder(ctx context.Context, o Order) (Order, error)
}

// Gateway takes money; [PaymentClient] is one. Lookup tells whether a key was charged. Charge may be repeated with the same request, and
// its errors are errors of package tasks.
type Gateway interface {
	Lookup(ctx context.Context, key string) (c Charge, ok bool, err error)
	Charge(ctx context.Context, r ChargeRequest) (Charge, error)
}

// Mailer sends the confirmation of an order; [SMTPMailer] is one. The same effect key gives the same Message-ID. Its errors are errors of
// package tasks.
type Mailer interface {
	Send(ctx context.Context, effectKey string, c Confirmation) (messageID string, err error)
}

// Deps is the outside world of the handlers. All but Now are required.
type Deps struct {
	Store   Store
	Gateway Gateway
	Mailer  Mailer
	Now     func() time.Time // nil = time.Now
}

// The steps of ecommerce/process_order whose outputs others read.
const (
	stepCart      = "validate_cart"
	stepPayment   = "process_payment"
	stepInventory = "update_inventory"
	stepOrder     = "create_order"
)

// Register registers the handlers of ecommerce/process_order: checkout.validate_cart, checkout.process_payment, checkout.update_inventory,
// checkout.create_order and checkout.send_confirmation. It panics when a dependency is missing or a name is taken, both mistakes of the program.
func Register(reg *tasks.Registry, deps Deps) {
	if deps.Store == nil || deps.Gateway == nil || deps.Mailer == nil {
		panic("checkout: Store, Gateway and Mailer are required")
	}
	if deps.Now == nil {
		deps.Now = time.Now //nolint:forbidigo // the one place where the default clock is wired
	}
	h := handlers{deps}
	tasks.Handle(reg, "checkout."+stepCart, h.validateCart)
	tasks.Handle(reg, "checkout."+stepPayment, h.processPayment)
	tasks.Handle(reg, "checkout."+stepInventory, h.updateInventory)
	tasks.Handle(reg, "checkout."+stepOrder, h.createOrder)
	tasks.Handle(reg, "checkout.send_confirmation", h.sendConfirmation)
}

// handlers are the five. Each checks what it was given, makes one call to the outside, and shapes the result.
type handlers struct{ Deps }

// now is what gets written: UTC, milliseconds.
func (h *handlers) now() time.Time { return h.Now().UTC().Truncate(time.Millisecond) }

// permanent is an error that no further attempt can mend.
func permanent(code, format string, args ...any) error {
	return tasks.Permanent(code, fmt.Errorf(format, args...))
}

// outputOf reads the output of an earlier step, and leaves v empty when there is none; what is missing is then said by the check that needs it.
func outputOf[T any](ctx context.Context, s *tasks.Step, step string) (v T, err error) {
	v, err = tasks.Output[T](ctx, s, step)
	if errors.Is(err, tasks.ErrNoOutput) {
		err = nil
	}
	return v, err
}

// unshaped is the output of a step whose effect happened, but not as it was asked for. Failing the step would repeat the effect; so it succeeds, and
// the steps that need its result find it missing.
type unshaped struct {
	Error        bool   `json:"error"` // always true
	ErrorCode    string `json:"error_code"`
	ErrorMessage string `json:"error_message"`
	Raw          any    `json:"raw"`
}

// shaped is a step's output once its effect has happened: result, or raw when problem says that there can be none.
func shaped(ctx context.Context, s *tasks.Step, problem string, raw, result any) any {
	if problem == "" {
		return result
	}
	s.Log().ErrorContext(ctx, "effect happened but its result cannot be used", slog.String("problem", problem))
	return unshaped{Error: true, ErrorCode: "RESULT_PROCESSING_FAILED", ErrorMessage: problem, Raw: raw}
}
