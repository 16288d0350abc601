package stepwell_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// README:begin

type Invoice struct{ Cents int }

func bill(ctx context.Context, cfg stepwell.Config) error { // stepwell.Config{RedisURL: "redis://127.0.0.1:6379/0"}
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "billing.charge", func(_ context.Context, s *tasks.Step) (string, error) {
		in, err := tasks.Input[Invoice](s)
		return fmt.Sprintf("charged %d cents", in.Cents), err // a real one gives s.EffectKey() to the provider: no attempt charges twice
	})
	tasks.Handle(reg, "billing.mail", func(ctx context.Context, s *tasks.Step) (string, error) {
		receipt, err := tasks.Output[string](ctx, s, "charge")
		return "we " + receipt, err // an error is tried again, as the step's policy says; tasks.Permanent is not
	})
	c, err := stepwell.NewClient(cfg)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	err = c.Register(ctx, &dag.Workflow{Namespace: "billing", Name: "invoice", Version: "1.0.0", Steps: []dag.Step{
		{Name: "charge", Handler: "billing.charge"},
		{Name: "mail", Handler: "billing.mail", DependsOn: []string{"charge"}},
	}})
	if err != nil {
		return err
	}
	w, err := stepwell.NewWorker(c, reg, stepwell.WorkerConfig{})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }() // until its context ends, then it drains

	run, err := c.Start(ctx, "billing/invoice", Invoice{Cents: 4200}, stepwell.StartOptions{Key: "inv-42"})
	if err == nil {
		run, err = c.Wait(ctx, run.ID)
	}
	fmt.Println(run.State)
	stop()
	return errors.Join(err, <-ended)
}

// README:end

// outside lends the shared Redis to an Example, which has no testing.TB of its own.
type outside struct{ testing.TB }

func (outside) Helper()           {}
func (outside) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func Example() {
	if err := bill(context.Background(), stepwell.Config{RedisURL: redistest.URL(outside{}), Prefix: redistest.Prefix(outside{})}); err != nil {
		fmt.Println(err)
	}
	// Output: succeeded
}
