// Command goclient is a service that brings its own workflow: it registers one, starts a run of it, works on its steps in the same process, and
// waits for the result.
//
//	REDIS_URL=redis://127.0.0.1:6379/0 go run ./examples/goclient [-workflow examples/goclient/invoice.yaml] [idempotency key]
//
// Steps that are worked on elsewhere need no worker here; a process that only works needs no Start.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

func main() {
	file := flag.String("workflow", "", "YAML `file` with the workflow, instead of the one built in")
	flag.Parse()
	if err := bill(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379/0"), *file, cmp.Or(flag.Arg(0), "inv-42")); err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

// region: workflow

// invoice is the workflow as data, built in Go; invoice.yaml says the same.
func invoice() *dag.Workflow {
	return &dag.Workflow{
		Namespace: "billing", Name: "invoice", Version: "1.0.0",
		Defaults: dag.Defaults{Timeout: 10 * time.Second, Retry: dag.RetryPolicy{MaxAttempts: 3}},
		Steps: []dag.Step{
			{Name: "price", Handler: "billing.price"},
			{Name: "charge", Handler: "billing.charge", DependsOn: []string{"price"}},
			{Name: "receipt", Handler: "billing.receipt", DependsOn: []string{"charge"}},
		},
	}
}

// endregion

// region: handlers

type order struct {
	Customer string `json:"customer"`
	Hours    int    `json:"hours"`
}

type amount struct {
	Cents int `json:"cents"`
}

type charge struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

type receipt struct {
	Text string `json:"text"`
}

const centsPerHour = 9_000

func handlers() *tasks.Registry {
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "billing.price", func(_ context.Context, s *tasks.Step) (amount, error) {
		in, err := tasks.Input[order](s)
		if err != nil {
			return amount{}, err
		}
		if in.Hours <= 0 { // trying again would not help
			return amount{}, tasks.Permanent("NOTHING_TO_BILL", errors.New("hours must be 1 or more"))
		}
		return amount{Cents: in.Hours * centsPerHour}, nil
	})
	tasks.Handle(reg, "billing.charge", func(ctx context.Context, s *tasks.Step) (charge, error) {
		due, err := tasks.Output[amount](ctx, s, "price")
		if err != nil {
			return charge{}, err
		}
		// A real handler gives the provider this key, so that a second attempt does not charge again.
		return charge{ID: s.EffectKey(), Cents: due.Cents}, nil
	})
	tasks.Handle(reg, "billing.receipt", func(ctx context.Context, s *tasks.Step) (receipt, error) {
		in, err := tasks.Input[order](s)
		if err != nil {
			return receipt{}, err
		}
		paid, err := tasks.Output[charge](ctx, s, "charge")
		if err != nil {
			return receipt{}, err
		}
		return receipt{Text: fmt.Sprintf("%s paid %d.%02d", in.Customer, paid.Cents/100, paid.Cents%100)}, nil
	})
	return reg
}

// endregion

// region: client

func bill(redisURL, file, key string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := stepwell.NewClient(stepwell.Config{RedisURL: redisURL})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	wf := invoice()
	if file != "" {
		if wf, err = stepwell.LoadWorkflow(file); err != nil {
			return err
		}
	}
	if err := c.Register(ctx, wf); err != nil {
		return err
	}

	w, err := stepwell.NewWorker(c, handlers(), stepwell.WorkerConfig{}) // serves every queue for which it has all handlers
	if err != nil {
		return err
	}
	working, done := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	defer func() { done(); err = errors.Join(err, <-ended) }() // gives back what it still runs

	run, err := c.Start(ctx, "billing/invoice", order{Customer: "Ada", Hours: 4}, stepwell.StartOptions{Key: key})
	if err != nil {
		return err
	}
	if run, err = c.Wait(ctx, run.ID); err != nil {
		return err
	}
	fmt.Printf("run %s of %s@%s %s\n", run.ID, run.Workflow, run.Version, run.State)
	for _, step := range run.Steps {
		fmt.Printf("  %-8s %-10s %s\n", step.Name, step.State, step.Output)
	}
	if run.State != dag.RunSucceeded {
		return fmt.Errorf("run %s %s", run.ID, run.State)
	}
	return nil
}

// endregion
