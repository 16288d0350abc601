package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/internal/telemetry"
	"github.com/stepwell/stepwell/pkg/dag"
)

// openLimit bounds the checks at start. A process that cannot have Redis says so and ends; whoever started it starts it again.
const openLimit = 5 * time.Second

// process is what every process of an installation is made of.
type process struct {
	log      *slog.Logger
	redis    redis.UniversalClient
	engine   *engine.Engine
	metrics  *telemetry.Metrics
	registry *prometheus.Registry
}

// processConfig is what differs between processes.
type processConfig struct {
	redis   config.Redis
	profile redisstore.Profile
	log     config.Log
	dev     bool
	ttl     time.Duration // 0 means the default
	runs    config.Runs
}

// newProcess connects to Redis, checks the installation and builds the engine. The caller owes a close.
func newProcess(ctx context.Context, cfg processConfig, logTo io.Writer) (*process, error) {
	p := &process{log: telemetry.NewLogger(logTo, cfg.log.Level, cfg.log.Format, isTerminal(logTo)), registry: prometheus.NewRegistry()}
	redis.SetLogger(redisLog{p.log}) // go-redis has one for the whole process
	var err error
	if p.metrics, err = telemetry.NewMetrics(p.registry); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if p.redis, err = connect(cfg.redis, cfg.profile); err != nil {
		return nil, err
	}
	if err := p.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.redis.Close())
	}
	return p, nil
}

// connect builds a Redis client. All connections of a process come from here.
func connect(cfg config.Redis, profile redisstore.Profile) (redis.UniversalClient, error) {
	client, err := redisstore.Connect(redisstore.Options{
		URL: string(cfg.URL), TLSCA: cfg.TLSCA, TLSCert: cfg.TLSCert, TLSKey: cfg.TLSKey, Profile: profile,
	})
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return client, nil
}

func (p *process) open(ctx context.Context, cfg processConfig) error {
	opening, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	batch := p.redis
	if cfg.profile == redisstore.Patient { // a worker, which settles many steps at once
		var err error
		if batch, err = redisstore.Batching(p.redis); err != nil {
			return err
		}
	}
	store, err := redisstore.Open(opening, p.redis, redisstore.Config{
		Prefix: cfg.redis.Prefix, StrictReplicas: cfg.redis.StrictReplicas(), Dev: cfg.dev, Now: time.Now, Batch: batch,
		Warn: func(text string) { p.log.WarnContext(ctx, "redis is not as it should be", "problem", text) },
	})
	if err != nil {
		return err
	}
	queue, err := asynqueue.NewQueue(batch, asynqueue.Options{Prefix: cfg.redis.Prefix, Now: time.Now})
	if err != nil {
		return err
	}
	p.engine, err = engine.New(store, queue, definition.NewSchemas(), engine.Config{
		TTL: cfg.ttl, Keep: keep(cfg.runs.Retention), KeepFailed: keep(cfg.runs.RetentionFailed), Dev: cfg.dev, Hooks: p.metrics.Hooks(), Log: p.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		p.registry.Register(collectors.NewGoCollector()),
		p.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// keep is a retention as the engine has it: there 0 is the default, here for ever.
func keep(configured time.Duration) time.Duration {
	if configured == 0 {
		return dag.Forever
	}
	return configured
}

// close ends the connections to Redis; everything that uses them has ended by then.
func (p *process) close() error { return p.redis.Close() }
