package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/internal/telemetry"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// probeShutdown bounds the end of the worker's probes; nothing depends on them.
const probeShutdown = time.Second

// Worker runs a worker process until ctx ends, then drains within the grace time.
func Worker(ctx context.Context, cfg config.Worker, logTo io.Writer) (err error) {
	p, err := newProcess(ctx, processConfig{redis: cfg.Redis, profile: redisstore.Patient, log: cfg.Log, dev: cfg.Dev, ttl: cfg.Pool.TTL, runs: cfg.Runs}, logTo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	reg := tasks.NewRegistry()
	if cfg.Shop.Enabled {
		closeShop, err := registerShop(ctx, reg, cfg.Shop)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeShop()) }()
	}
	queues := make(map[string]int, len(cfg.Pool.Queues))
	for _, q := range cfg.Pool.Queues {
		queues[q.Name] = q.Weight
	}
	p.metrics.Answers(asynqueue.Answers())
	worker, err := asynqueue.NewWorker(p.engine, reg, asynqueue.WorkerOptions{
		Client: p.redis, Prefix: cfg.Redis.Prefix, Queues: queues, Concurrency: cfg.Pool.Concurrency, Grace: cfg.Pool.Grace,
		Heartbeat: cfg.Pool.Heartbeat, Log: p.log, Now: time.Now, Hooks: asynqueue.Hooks{Abandoned: p.metrics.Abandoned, Answered: p.metrics.Answered},
	})
	if err != nil {
		return err
	}
	return p.runWorker(ctx, worker, cfg.Pool.Addr)
}

// runWorker runs the worker, and as long as it drains also the loops and the probes.
func (p *process) runWorker(ctx context.Context, worker *asynqueue.Worker, addr string) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var g errgroup.Group
	if addr != "" {
		l, err := listen(ctx, addr, "--worker-addr or STEPWELL_WORKER_ADDR")
		if err != nil {
			return err
		}
		server := &http.Server{Handler: p.probes(), ReadHeaderTimeout: 5 * time.Second}
		g.Go(func() error { return ignoreClosed(server.Serve(l)) })
		g.Go(func() error {
			<-life.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(life), probeShutdown)
			defer cancel()
			return errors.Join(server.Shutdown(stop), server.Close())
		})
	}
	g.Go(func() error { return p.engine.Run(life) })
	err := worker.Run(ctx)
	end()
	return errors.Join(err, g.Wait())
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// probes are a worker's health, readiness and metrics. Health does not depend on Redis: to end a worker because Redis is away would only
// lose what it holds.
func (p *process) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := p.redis.Ping(ctx).Err(); err != nil {
			http.Error(w, "redis cannot be reached", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", telemetry.Handler(p.registry))
	return mux
}

// registerShop registers the checkout's handlers and returns what closes their connections.
func registerShop(ctx context.Context, reg *tasks.Registry, cfg config.Shop) (func() error, error) {
	mailer, err := checkout.NewSMTPMailer(cfg.SMTPAddr, cfg.MailFrom)
	if err != nil {
		return nil, err
	}
	gateway, err := checkout.NewPaymentClient(string(cfg.GatewayURL), checkout.PaymentConfig{Now: time.Now})
	if err != nil {
		return nil, err
	}
	shop, err := checkout.Open(ctx, string(cfg.Database), checkout.Config{Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("%w; choose another with --shop-database or STEPWELL_SHOP_DATABASE", err)
	}
	checkout.Register(reg, checkout.Deps{Store: shop, Gateway: gateway, Mailer: mailer, Now: time.Now})
	return func() error {
		gateway.Close()
		return shop.Close()
	}, nil
}
