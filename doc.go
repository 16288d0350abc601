// Package stepwell embeds Stepwell into a Go program: durable workflows of several steps on Redis and asynq.
//
// A handler is a function from a step to a result (package tasks). A workflow says which step comes after which; it is data, built in Go (package
// dag) or read from YAML ([LoadWorkflow]). A [Client] registers workflows and starts runs; a [Worker] carries their steps out, here and in any
// number of other processes.
//
//	reg := tasks.NewRegistry()
//	tasks.Handle(reg, "billing.charge", func(ctx context.Context, s *tasks.Step) (Receipt, error) {
//		in, err := tasks.Input[Invoice](s) // the run's input
//		if err != nil {
//			return Receipt{}, err
//		}
//		return gateway.Charge(ctx, in.Card, in.Cents, s.EffectKey())
//	})
//	tasks.Handle(reg, "billing.mail", func(ctx context.Context, s *tasks.Step) (string, error) {
//		receipt, err := tasks.Output[Receipt](ctx, s, "charge") // an ancestor's output
//		if err != nil {
//			return "", err
//		}
//		return mailer.Send(ctx, receipt)
//	})
//
//	c, err := stepwell.NewClient(stepwell.Config{RedisURL: "redis://127.0.0.1:6379/0"})
//	err = c.Register(ctx, &dag.Workflow{
//		Namespace: "billing", Name: "invoice", Version: "1.0.0",
//		Steps: []dag.Step{
//			{Name: "charge", Handler: "billing.charge"},
//			{Name: "mail", Handler: "billing.mail", DependsOn: []string{"charge"}},
//		},
//	})
//	w, err := stepwell.NewWorker(c, reg, stepwell.WorkerConfig{})
//	go w.Run(ctx) // until ctx ends, then drains
//
//	run, err := c.Start(ctx, "billing/invoice", invoice, stepwell.StartOptions{Key: "inv-42"})
//	run, err = c.Wait(ctx, run.ID)
//
// Operators' verbs are [Client.Retry], [Client.Cancel], [Client.Pause], [Client.Resume], [Client.Skip] and [Client.Resolve].
//
// # Guarantees
//
// A run that Start returned is not lost within the durability of its Redis. It ends as succeeded, cancelled or failed, and what failed can be
// retried from the failed step. A step commits at most once and never before its parents. Handlers run at least once: an effect happens once
// at a provider that honours the step's effect key.
//
// # Not guaranteed
//
// A client runs no loops. Deadlines, takeovers and whatever its process left undone are the business of the processes that have a Worker, and of
// Stepwell's own API and worker. Without any of them a run waits.
package stepwell
