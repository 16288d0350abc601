package checkout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func TestMain(m *testing.M) {
	asTheAPIDoes()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cluster.stop()
		os.Exit(code)
	}))
}

// asTheAPIDoes makes huma ask a handler's error for its status.
func asTheAPIDoes() {
	plain := huma.NewErrorWithContext
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		if len(errs) == 1 {
			if e, ok := errors.AsType[interface {
				error
				HTTPStatus() (int, string)
			}](errs[0]); ok {
				status, _ = e.HTTPStatus()
				return huma.NewError(status, e.Error())
			}
		}
		return plain(ctx, status, msg, errs...)
	}
}

func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }

// databases makes, by name, the DSN of a fresh SQLite file in a directory that is not there yet, and of a fresh schema of PostgreSQL.
func databases() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string {
			t.Helper()
			return "sqlite:" + filepath.Join(t.TempDir(), "new", "shop.db")
		},
		"postgres": cluster.schema,
	}
}

func open(t *testing.T, dsn string) *checkout.Shop {
	t.Helper()
	s, err := checkout.Open(t.Context(), dsn, checkout.Config{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// attempt is what a handler is given.
type attempt struct {
	step    string
	run     string // "" = run_00_A
	number  int    // 0 = 1
	input   string
	outputs map[string]string
	config  string
	fetch   error // what asking for an output that is not there comes to; nil = there is none
}

// run calls a handler and returns its output or its error.
func (a attempt) call(ctx context.Context, reg *tasks.Registry) (json.RawMessage, error) {
	handle, ok := reg.Handler("checkout." + a.step)
	if !ok {
		return nil, errors.New("no handler for " + a.step)
	}
	claim := dag.Claim{
		ClaimRef: dag.ClaimRef{Run: a.run, Step: a.step}, Input: json.RawMessage(a.input), Config: json.RawMessage(a.config),
		Outputs: map[string]json.RawMessage{}, Attempts: max(a.number, 1),
	}
	if a.run == "" {
		claim.Run = "run_00_A"
	}
	for step, output := range a.outputs {
		claim.Outputs[step] = json.RawMessage(output)
	}
	fetch := func(context.Context, string) (json.RawMessage, error) {
		if a.fetch != nil {
			return nil, a.fetch
		}
		return nil, tasks.ErrNoOutput
	}
	return handle(ctx, tasks.NewStep(claim, fetch, nil))
}

// verdict is what the engine makes of an error.
type verdict struct {
	Code, Message      string
	Retryable, Refused bool
	After              time.Duration
}

func verdictOf(err error) verdict {
	if err == nil {
		return verdict{}
	}
	e, after, _ := tasks.Classify(err)
	return verdict{e.Code, e.Message, e.Retryable, e.Refused, after}
}

func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// request is an order's body.
func request(items, amount, token string) string {
	return fmt.Sprintf(`{"cart_items":%s,"payment_info":{"method":"credit_card","amount":%s,"currency":"USD","token":%q},
		"customer_info":{"email":"ada@example.org","name":"Ada Lovelace"}}`, items, amount, token)
}

// fakes are the outside world as functions; nil ones must not be called.
type fakes struct {
	products func(ids []int64) (map[int64]checkout.Product, error)
	reserve  func(run, key string, wants []checkout.Want) ([]checkout.Reservation, error)
	place    func(o checkout.Order) (checkout.Order, error)
	lookup   func(key string) (checkout.Charge, bool, error)
	charge   func(r checkout.ChargeRequest) (checkout.Charge, error)
	send     func(key string, c checkout.Confirmation) (string, error)
}

func (f fakes) Products(_ context.Context, ids []int64) (map[int64]checkout.Product, error) {
	return f.products(ids)
}

func (f fakes) Reserve(_ context.Context, run, key string, wants []checkout.Want) ([]checkout.Reservation, error) {
	return f.reserve(run, key, wants)
}

func (f fakes) PlaceOrder(_ context.Context, o checkout.Order) (checkout.Order, error) {
	return f.place(o)
}

func (f fakes) Lookup(_ context.Context, key string) (checkout.Charge, bool, error) {
	return f.lookup(key)
}

func (f fakes) Charge(_ context.Context, r checkout.ChargeRequest) (checkout.Charge, error) {
	return f.charge(r)
}

func (f fakes) Send(_ context.Context, key string, c checkout.Confirmation) (string, error) {
	return f.send(key, c)
}

func (f fakes) registry() *tasks.Registry {
	reg := tasks.NewRegistry()
	checkout.Register(reg, checkout.Deps{Store: f, Gateway: f, Mailer: f, Now: noon})
	return reg
}
