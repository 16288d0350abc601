package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/localredis"
)

// ErrUnbalanced says that the books do not balance, or that an order ended otherwise than it should have.
var ErrUnbalanced = errors.New("the books do not balance")

// PlayOptions say how to show a performance.
type PlayOptions struct {
	Options
	Out  io.Writer
	Live bool // a table that changes in place, for terminals
	Now  func() time.Time
}

// Play starts a stack, plays all scenarios, prints the ledger check and ends the stack. It returns [ErrUnbalanced] when an order ended
// otherwise than it should have or the books do not balance.
func Play(ctx context.Context, opts PlayOptions) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(opts.Out, format+"\n", args...) }
	started := opts.Now()
	say("Nine orders go through API, Redis, workers, payment gateway, database and mail; one of them through a kill -9.\n")
	opts.Warn = func(text string) { say("  ! %s", text) }
	stack, err := StartStack(ctx, opts.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close(context.WithoutCancel(ctx))) }()
	for range 2 {
		if _, err := stack.StartWorker(ctx); err != nil {
			return err
		}
	}
	stack.describe(opts.Out)
	shop, err := checkout.Open(ctx, stack.Database, checkout.Config{Now: opts.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	p := newPlayer(stack, shop, opts.Now)
	before, err := shop.Stock(ctx)
	if err != nil {
		return err
	}
	if err := p.perform(ctx, opts); err != nil {
		return err
	}
	books, err := ReadBooks(ctx, shop, stack.Ledger, stack.Mail.Mails(), stockOf(before), p.restocked())
	if err != nil {
		return err
	}
	balanced := report(opts.Out, p.snapshot(), books.Checks())
	say("\n%s in %s. Logs of the processes: %s", conclusion(balanced), opts.Now().Sub(started).Round(time.Second), stack.Dir)
	if !balanced {
		return ErrUnbalanced
	}
	return nil
}

func newPlayer(stack *Stack, shop *checkout.Shop, now func() time.Time) *player {
	p := &player{
		stack: stack, shop: shop, now: now, client: &Client{API: stack.APIURL, Gateway: stack.GateURL},
		prefix: "demo-" + strconv.FormatInt(now().UnixNano(), 36),
	}
	table := scenarios()
	for i := range table {
		p.orders = append(p.orders, &order{scenario: &table[i], n: i + 1})
	}
	return p
}

// perform plays the scenarios in front of a view.
func (p *player) perform(ctx context.Context, opts PlayOptions) error {
	var v view = &plainView{out: opts.Out}
	if opts.Live {
		v = &liveView{out: opts.Out}
	}
	done := make(chan struct{})
	shown := make(chan error, 1)
	go func() { shown <- v.run(ctx, p, done) }()
	err := p.playAll(ctx)
	close(done)
	return errors.Join(err, <-shown)
}

// restocked are the units that scenarios added.
func (p *player) restocked() map[int64]int64 {
	added := map[int64]int64{}
	for _, o := range p.orders {
		for _, n := range o.restocked {
			added[n.product] += n.quantity
		}
	}
	return added
}

// report prints the ledger check and tells whether everything is as it should be.
func report(out io.Writer, orders []order, checks []Check) bool {
	balanced := true
	fmt.Fprintln(out, "\nLedger check")
	for i := range orders {
		if orders[i].problem != "" {
			balanced = false
			fmt.Fprintf(out, "  ✗ %s: %s\n", orders[i].name, orders[i].problem)
		}
	}
	for _, c := range checks {
		sign := "✓"
		if !c.OK {
			sign, balanced = "✗", false
		}
		fmt.Fprintf(out, "  %s %-42s %s\n", sign, c.What, c.Detail)
	}
	return balanced
}

func conclusion(balanced bool) string {
	if balanced {
		return "The books balance. All nine orders ended as they should,"
	}
	return "THE BOOKS DO NOT BALANCE,"
}

// Keep starts a stack with two workers, prints its addresses and keeps it up until ctx ends.
func Keep(ctx context.Context, opts Options, out io.Writer) (err error) {
	opts.Warn = func(text string) { fmt.Fprintf(out, "  ! %s\n", text) }
	stack, err := StartStack(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close(context.WithoutCancel(ctx))) }()
	for range 2 {
		if _, err := stack.StartWorker(ctx); err != nil {
			return err
		}
	}
	stack.describe(out)
	fmt.Fprintf(out, "\nPlace an order:\n\n  curl -s %s/v1/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-order' -d '%s'\n\nCtrl-C ends everything. Logs and data: %s\n",
		stack.APIURL, sampleOrder, stack.Dir)
	<-ctx.Done()
	fmt.Fprintln(out, "\nending: workers finish what they run …")
	return nil
}

// sampleOrder is the first scenario as a person would type it.
const sampleOrder = `{"cart_items":[{"product_id":1,"quantity":2},{"product_id":3,"quantity":1}],"payment_info":{"method":"credit_card","amount":324.56,"currency":"USD","token":"test_success_visa"},"customer_info":{"email":"ada@example.com","name":"Ada Lovelace"}}`

// describe prints where everything is.
func (s *Stack) describe(out io.Writer) {
	row := func(name, where string) { fmt.Fprintf(out, "  %-10s %s\n", name, where) }
	kind := map[localredis.Kind]string{
		localredis.External: "yours", localredis.Process: "redis-server " + s.Redis.Version + ", append-only file, synced each second", localredis.Embedded: "embedded, not durable",
	}[s.Redis.Kind]
	row("redis", s.Redis.URL+"  ("+kind+")")
	row("gateway", s.GateURL+"  (payment simulator)")
	row("mail", "smtp://"+s.Mail.Addr+"  (keeps everything, delivers nothing)")
	row("api", s.APIURL+"  (docs: /docs, queues: /asynqmon/, status: /v1/status)")
	for _, w := range s.Workers() {
		row(w.Name, fmt.Sprintf("pid %d, %s", w.PID, w.URL))
	}
	fmt.Fprintln(out)
}

// TempDir makes a directory for a stack.
func TempDir() (string, error) {
	dir, err := os.MkdirTemp("", "stepwell-")
	if err != nil {
		return "", fmt.Errorf("directory of the stack: %w", err)
	}
	return dir, nil
}
