package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/httpapi"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/internal/telemetry"
)

// registerLimit bounds the registration of the definitions at start.
const registerLimit = 15 * time.Second

// API runs the API process until ctx ends, then lets running requests finish.
func API(ctx context.Context, cfg config.API, logTo io.Writer) (err error) {
	files, err := loadWorkflows(cfg.Workflows.Dir)
	if err != nil {
		return err
	}
	p, err := newProcess(ctx, processConfig{redis: cfg.Redis, profile: redisstore.Quick, log: cfg.Log, dev: cfg.Dev, runs: cfg.Runs}, logTo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.register(ctx, files); err != nil {
		return err
	}
	if err := p.registry.Register(telemetry.NewQueueCollector(p.engine, p.log, time.Now)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	monitor, err := connect(cfg.Redis, redisstore.Quick)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, monitor.Close()) }()
	var pressed *engine.Engine // by asynqmon's buttons
	if cfg.Asynqmon.Buttons {
		pressed = p.engine
		p.log.WarnContext(ctx, "asynqmon has its buttons on; whoever reaches the API may press them", "path", "/asynqmon/")
	}
	deps := httpapi.Deps{
		Engine: p.engine, Metrics: telemetry.Handler(p.registry), Asynqmon: httpapi.NewAsynqmon(monitor, pressed), Log: p.log, Version: Version(), Now: time.Now,
	}
	if cfg.Shop.Enabled {
		deps.Extra = func(api huma.API) { checkout.Routes(api, orders{p.engine}) }
	}
	server, err := httpapi.New(deps)
	if err != nil {
		return err
	}
	return p.serve(ctx, server, cfg.HTTP.Addr)
}

// loadWorkflows reads the definitions. A directory that is not there is an error of its own, because an API without workflows starts nothing.
func loadWorkflows(dir string) ([]definition.File, error) {
	files, err := definition.LoadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("workflow definitions: there is no directory %s; make it or name another with --workflows-dir or STEPWELL_WORKFLOWS_DIR", dir)
	}
	return files, err
}

func (p *process) register(ctx context.Context, files []definition.File) error {
	ctx, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	for _, f := range files {
		if err := p.engine.Register(ctx, f.Workflow, f.Source); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		p.log.InfoContext(ctx, "workflow registered", "workflow", f.Workflow.FullName(), "version", f.Workflow.Version, "file", f.Path)
	}
	return nil
}

// serve runs the server, and as long as it drains also the loops.
func (p *process) serve(ctx context.Context, server *httpapi.Server, addr string) error {
	l, err := listen(ctx, addr, "--api-addr or STEPWELL_API_ADDR")
	if err != nil {
		return err
	}
	p.log.InfoContext(ctx, "api listens", "addr", l.Addr().String())
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var g errgroup.Group
	g.Go(func() error { return p.engine.Run(life) })
	err = server.Run(ctx, l)
	end()
	return errors.Join(err, g.Wait())
}
