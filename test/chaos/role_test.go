//go:build integration

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/httpapi"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// envRole makes this test binary an API or a worker without the protection that it names; empty is with all.
const envRole = "SW_CHAOS_ROLE"

// The protections that a role can do without.
const (
	offSweeper = "sweeper"       // no sweeper runs in any process
	offFence   = "fence"         // whoever completes a step is believed, whatever its claim
	offOrder   = "commit-before" // children are handed over before their parent is committed
)

// role is a process that is wired as the product's are, except for what is off.
type role struct {
	off    string
	client redis.UniversalClient
	store  engine.Store
	queue  *asynqueue.Queue
	engine *engine.Engine
	log    *slog.Logger
}

func playRole(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	play := map[string]func(context.Context) error{"api": playAPI, "worker": playWorker}[name]
	if play == nil {
		return fmt.Errorf("no role %q", name)
	}
	return play(ctx)
}

func newRole(ctx context.Context, cfg config.Redis, ttl time.Duration, profile redisstore.Profile) (*role, error) {
	r := &role{off: os.Getenv(envRole), log: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	var err error
	if r.client, err = redisstore.Connect(redisstore.Options{URL: string(cfg.URL), Profile: profile}); err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if r.store, err = redisstore.Open(opening, r.client, redisstore.Config{Prefix: cfg.Prefix}); err != nil {
		return nil, err
	}
	if r.queue, err = asynqueue.NewQueue(r.client, asynqueue.Options{Prefix: cfg.Prefix}); err != nil {
		return nil, err
	}
	r.engine, err = engine.New(&brokenStore{Store: r.store, role: r}, r.queue, definition.NewSchemas(), engine.Config{TTL: ttl, Log: r.log})
	return r, err
}

// loops runs the sweeper and the reports of hand-overs until ctx ends.
func (r *role) loops(ctx context.Context) error {
	if r.off == offSweeper {
		<-ctx.Done()
		return nil
	}
	return r.engine.Run(ctx)
}

// beside runs a process's main part, and its loops until that has ended.
func (r *role) beside(ctx context.Context, run func(context.Context) error) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	looped := make(chan error, 1)
	go func() { looped <- r.loops(life) }()
	err := run(ctx)
	end()
	return errors.Join(err, <-looped)
}

func playAPI(ctx context.Context) error {
	cfg, err := config.LoadAPI(nil, os.Environ())
	if err != nil {
		return err
	}
	r, err := newRole(ctx, cfg.Redis, 0, redisstore.Quick)
	if err != nil {
		return err
	}
	files, err := definition.LoadDir(cfg.Workflows.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := r.engine.Register(ctx, f.Workflow, f.Source); err != nil {
			return err
		}
	}
	server, err := httpapi.New(httpapi.Deps{Engine: r.engine, Log: r.log})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.HTTP.Addr)
	if err != nil {
		return err
	}
	return r.beside(ctx, func(ctx context.Context) error { return server.Run(ctx, l) })
}

func playWorker(ctx context.Context) error {
	cfg, err := config.LoadWorker(nil, os.Environ())
	if err != nil {
		return err
	}
	r, err := newRole(ctx, cfg.Redis, cfg.Pool.TTL, redisstore.Patient)
	if err != nil {
		return err
	}
	reg, err := shopHandlers(ctx, cfg.Shop)
	if err != nil {
		return err
	}
	queues := map[string]int{}
	for _, q := range cfg.Pool.Queues {
		queues[q.Name] = q.Weight
	}
	w, err := asynqueue.NewWorker(r.engine, reg, asynqueue.WorkerOptions{
		Client: r.client, Queues: queues, Concurrency: cfg.Pool.Concurrency, Grace: cfg.Pool.Grace, Heartbeat: cfg.Pool.Heartbeat, Log: r.log,
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.Pool.Addr)
	if err != nil {
		return err
	}
	probe := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Second}
	go func() { _ = probe.Serve(l) }() // ends with the process
	return r.beside(ctx, w.Run)
}

func shopHandlers(ctx context.Context, cfg config.Shop) (*tasks.Registry, error) {
	mailer, err := checkout.NewSMTPMailer(cfg.SMTPAddr, cfg.MailFrom)
	if err != nil {
		return nil, err
	}
	gateway, err := checkout.NewPaymentClient(string(cfg.GatewayURL), checkout.PaymentConfig{})
	if err != nil {
		return nil, err
	}
	shop, err := checkout.Open(ctx, string(cfg.Database), checkout.Config{})
	if err != nil {
		return nil, err
	}
	reg := tasks.NewRegistry()
	checkout.Register(reg, checkout.Deps{Store: shop, Gateway: gateway, Mailer: mailer, Now: time.Now})
	return reg, nil
}

// brokenStore is the store of the product with a protection taken out.
type brokenStore struct {
	engine.Store
	role *role
}

func (b *brokenStore) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	beat, err := b.Store.Heartbeat(ctx, req)
	if b.role.off == offFence {
		beat.Lost = false
	}
	return beat, err
}

func (b *brokenStore) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	if b.role.off == offOrder {
		if err := b.handOverFirst(ctx, req); err != nil {
			return dag.Settled{}, err
		}
	}
	settled, err := b.Store.Complete(ctx, req)
	if err != nil || settled.Reply != dag.ReplyFenced || b.role.off != offFence {
		return settled, err
	}
	// As a table of steps without a condition on the claim would take it.
	err = b.role.client.HSet(ctx, keyOf("steps", req.Run), req.Step+":state", "running", req.Step+":claim", req.Nonce).Err()
	if err != nil {
		return settled, err
	}
	return b.Store.Complete(ctx, req)
}

// handOverFirst makes the children of a step ready, gives them to the queue, and dawdles before anything of their parent is committed.
func (b *brokenStore) handOverFirst(ctx context.Context, req dag.CompleteRequest) error {
	graph, err := b.Graph(ctx, req.Run)
	if err != nil {
		return err
	}
	if err := b.role.client.HSet(ctx, keyOf("out", req.Run), req.Step, string(req.Output)).Err(); err != nil {
		return err
	}
	steps := keyOf("steps", req.Run)
	for i := range graph.Nodes {
		n := &graph.Nodes[i]
		if !slices.Contains(n.Parents, req.Step) {
			continue
		}
		first, err := b.role.client.HSetNX(ctx, steps, n.Name+":state", "queued").Result()
		if err != nil || !first {
			return err
		}
		_, err = b.role.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, steps, n.Name+":epoch", 1)
			p.HIncrBy(ctx, keyOf("run", req.Run), "active", 1)
			return nil
		})
		if err != nil {
			return err
		}
		delivery := dag.Delivery{Run: req.Run, Step: n.Name, Epoch: 1}
		if err := b.role.queue.Enqueue(ctx, dag.Send{Delivery: delivery, Def: req.Def, Handler: n.Handler, Queue: n.Queue}); err != nil {
			return err
		}
	}
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
	}
	return nil
}

// keyOf is a key of a run.
func keyOf(kind, run string) string { return "{sw:" + run[4:6] + "}:" + kind + ":" + run }
