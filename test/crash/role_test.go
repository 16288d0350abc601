//go:build integration

package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// The environment of a role.
const (
	envRole    = "SW_ROLE"    // starter or worker
	envRedis   = "SW_REDIS"   // URL
	envGateway = "SW_GATEWAY" // URL
	envEffects = "SW_EFFECTS" // file
	envBroken  = "SW_BROKEN"  // protections that are off, separated by commas
	envToken   = "SW_TOKEN"   // of the starter's payment
)

// The protections that a role can do without.
const (
	offSweeper = "sweeper" // no sweeper runs in this process
	offKey     = "key"     // the payment's key is another in each attempt, and nobody asks the gateway first
	offRepeat  = "repeat"  // a call that is not answered is not repeated with the same nonce; a result is dropped instead
	offDedupe  = "dedupe"  // begin's answer is ignored: every delivery runs the handler
	offRelease = "release" // at shutdown nothing is given back and nobody signs off
	offFence   = "fence"   // whoever completes a step is believed to hold its claim
)

const (
	labTTL       = 2 * time.Second // of claims, so that a take-over takes no 20 s
	labHeartbeat = 500 * time.Millisecond
	labGrace     = 4 * time.Second
)

// lab is the workflow of the controls: an effect that leaves a trace each time, a payment, and another such effect.
func lab() *dag.Workflow {
	defaults := dag.Defaults{Timeout: 30 * time.Second, Retry: dag.RetryPolicy{MaxAttempts: 5, Backoff: dag.BackoffConstant, BaseDelay: time.Second}}
	return &dag.Workflow{
		Namespace: "lab", Name: "order", Version: "1.0.0", Defaults: defaults,
		Steps: []dag.Step{
			{Name: "first", Handler: "lab.effect"},
			{Name: "pay", Handler: "lab.pay", DependsOn: []string{"first"}},
			{Name: "last", Handler: "lab.effect", DependsOn: []string{"pay"}},
		},
	}
}

type labInput struct {
	Token checkout.Token `json:"token"`
}

// role is a process that is wired as the product's are, except for what is off.
type role struct {
	off    []string
	client redis.UniversalClient
	engine *engine.Engine
	log    *slog.Logger
}

func playRole(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	r, err := newRole(ctx)
	if err != nil {
		return err
	}
	switch name {
	case "starter":
		return r.start(ctx)
	case "worker":
		return r.work(ctx)
	}
	return fmt.Errorf("no role %q", name)
}

func newRole(ctx context.Context) (*role, error) {
	r := &role{log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	if off := os.Getenv(envBroken); off != "" {
		r.off = strings.Split(off, ",")
	}
	var err error
	if r.client, err = r.connect(os.Getenv(envRedis)); err != nil {
		return nil, err
	}
	store, err := redisstore.Open(ctx, r.client, redisstore.Config{})
	if err != nil {
		return nil, err
	}
	queue, err := asynqueue.NewQueue(r.client, asynqueue.Options{})
	if err != nil {
		return nil, err
	}
	r.engine, err = engine.New(&brokenStore{Store: store, role: r}, queue, definition.NewSchemas(), engine.Config{TTL: labTTL, Log: r.log})
	if err != nil {
		return nil, err
	}
	return r, r.engine.Register(ctx, lab(), "")
}

// connect builds the product's client, or one that repeats nothing by itself.
func (r *role) connect(url string) (redis.UniversalClient, error) {
	if !r.lacks(offRepeat) {
		return redisstore.Connect(redisstore.Options{URL: url})
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = -1
	return redis.NewClient(o), nil
}

func (r *role) lacks(protection string) bool { return slices.Contains(r.off, protection) }

// loops runs the sweeper and the reports of hand-overs until ctx ends.
func (r *role) loops(ctx context.Context) error {
	if r.lacks(offSweeper) {
		<-ctx.Done()
		return nil
	}
	return r.engine.Run(ctx)
}

// start does what an API process does with one request.
func (r *role) start(ctx context.Context) error {
	input, err := json.Marshal(map[string]string{"token": os.Getenv(envToken)})
	if err != nil {
		return err
	}
	if _, err := r.engine.Start(ctx, engine.StartRequest{Workflow: "lab/order", Input: input, Key: "the one"}); err != nil {
		return err
	}
	return r.loops(ctx)
}

func (r *role) work(ctx context.Context) error {
	reg, err := labHandlers(r.lacks(offKey))
	if err != nil {
		return err
	}
	w, err := asynqueue.NewWorker(r.engine, reg, asynqueue.WorkerOptions{
		Client: r.client, Queues: map[string]int{"lab": 1}, Concurrency: 8, Grace: labGrace, Heartbeat: labHeartbeat, Log: r.log,
	})
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	looped := make(chan error, 1)
	go func() { looped <- r.loops(life) }()
	err = w.Run(ctx)
	end()
	return errors.Join(err, <-looped)
}

func labHandlers(keyPerAttempt bool) (*tasks.Registry, error) {
	gateway, err := checkout.NewPaymentClient(os.Getenv(envGateway), checkout.PaymentConfig{})
	if err != nil {
		return nil, err
	}
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "lab.effect", func(_ context.Context, s *tasks.Step) (int, error) { return os.Getpid(), leaveTrace(s.Name()) })
	tasks.Handle(reg, "lab.pay", func(ctx context.Context, s *tasks.Step) (int, error) {
		in, err := tasks.Input[labInput](s)
		if err != nil {
			return 0, err
		}
		key := s.EffectKey()
		if keyPerAttempt {
			key = fmt.Sprintf("%s:attempt%d", key, s.Attempt())
		} else if s.Attempt() > 1 {
			if _, found, err := gateway.Lookup(ctx, key); err != nil || found {
				return os.Getpid(), errors.Join(err, leaveTrace(s.Name()))
			}
		}
		_, err = gateway.Charge(ctx, checkout.ChargeRequest{
			Key: key, Amount: checkout.Cents(1000), Currency: "USD", Method: "credit_card", Token: in.Token,
			Metadata: checkout.ChargeMetadata{Run: s.Run(), Step: s.Name()},
		})
		if err != nil {
			return 0, err
		}
		return os.Getpid(), leaveTrace(s.Name())
	})
	return reg, nil
}

// leaveTrace is an effect that knows no key: each one counts.
func leaveTrace(step string) error {
	f, err := os.OpenFile(os.Getenv(envEffects), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, step)
	return errors.Join(err, f.Close())
}

// brokenStore is the store of the product with protections taken out.
type brokenStore struct {
	engine.Store
	role *role
}

func (b *brokenStore) Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	if b.role.lacks(offRepeat) {
		req.Nonce = fmt.Sprintf("%s%d", req.Nonce[:16], time.Now().UnixNano()) // another one in each try
	}
	begun, err := b.Store.Begin(ctx, req)
	if err != nil || begun.Verdict == dag.VerdictRun || !b.role.lacks(offDedupe) {
		return begun, err
	}
	return b.believe(ctx, req)
}

// believe makes a claim of a delivery although the store said no.
func (b *brokenStore) believe(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	view, err := b.Run(ctx, req.Run)
	if err != nil {
		return dag.Begun{}, err
	}
	graph, err := b.Graph(ctx, req.Run)
	if err != nil {
		return dag.Begun{}, err
	}
	claim := dag.Claim{
		ClaimRef: dag.ClaimRef{Run: req.Run, Step: req.Step, Def: req.Def, Nonce: req.Nonce}, Epoch: req.Epoch, Worker: req.Worker,
		Workflow: view.Workflow, Version: view.Version, Input: view.Input, Attempts: 1,
	}
	for i := range graph.Nodes {
		if n := &graph.Nodes[i]; n.Name == req.Step {
			claim.Handler, claim.Queue, claim.Timeout, claim.Retry = n.Handler, n.Queue, n.Timeout, n.Retry
		}
	}
	return dag.Begun{Verdict: dag.VerdictRun, Claim: claim}, nil
}

func (b *brokenStore) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	switch {
	case b.role.lacks(offDedupe), b.role.lacks(offFence): // it knows nothing of claims
		beat, err := b.Store.Heartbeat(ctx, req)
		beat.Lost = false
		return beat, err
	case b.role.lacks(offRelease):
		req.Leaving = false
	}
	return b.Store.Heartbeat(ctx, req)
}

func (b *brokenStore) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	if b.role.lacks(offFence) {
		claim, err := b.role.client.HGet(ctx, stepsKey(req.Run), req.Step+":claim").Result()
		if err == nil {
			req.Nonce = claim
		}
	}
	settled, err := b.Store.Complete(ctx, req)
	return b.giveUp(settled, err)
}

func (b *brokenStore) Fail(ctx context.Context, req dag.FailRequest) (dag.Settled, error) {
	settled, err := b.Store.Fail(ctx, req)
	return b.giveUp(settled, err)
}

// giveUp drops a result that was not acknowledged.
func (b *brokenStore) giveUp(settled dag.Settled, err error) (dag.Settled, error) {
	if err != nil && b.role.lacks(offRepeat) {
		return dag.Settled{Reply: dag.ReplyFenced}, nil
	}
	return settled, err
}

func (b *brokenStore) Release(ctx context.Context, ref dag.ClaimRef) (dag.Settled, error) {
	if b.role.lacks(offRelease) {
		return dag.Settled{Reply: dag.ReplyOK}, nil
	}
	return b.Store.Release(ctx, ref)
}

func (b *brokenStore) PutWorker(ctx context.Context, w dag.WorkerInfo, left bool) error {
	if left && b.role.lacks(offRelease) {
		return nil
	}
	return b.Store.PutWorker(ctx, w, left)
}

// stepsKey is the hash in which the steps of a run are.
func stepsKey(run string) string { return "{sw:" + run[4:6] + "}:steps:" + run }
