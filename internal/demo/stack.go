package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/workflows"
)

// Options say what a [Stack] is made of.
type Options struct {
	// Binary is the stepwell executable; its subcommands api, worker and gateway become the processes.
	Binary string
	// Dir holds everything that the stack writes; it is made if needed and kept.
	Dir string
	// RedisURL is a Redis to use; "" finds or embeds one.
	RedisURL string
	// RequireRealRedis makes the absence of a real Redis an error.
	RequireRealRedis bool
	// APIAddr is where the API listens; "" is a free port of the loopback interface.
	APIAddr string
	// Prefix of all Redis keys; "" means sw.
	Prefix string
	// Database of the shop; "" is a SQLite file in Dir.
	Database string
	// Warn is told what a person should know, for example that Redis is not durable. Nil discards.
	Warn func(string)
}

// Stack is everything that the shop needs, as real processes on this machine: Redis, payment gateway, mail sink, API and workers. Its methods
// may be called from several goroutines.
type Stack struct {
	Redis    *localredis.Server
	Mail     *MailSink
	API      *Process
	Gateway  *Process
	APIURL   string
	GateURL  string
	Database string
	Ledger   string // file of the gateway's books
	Dir      string

	opts Options

	mu      sync.Mutex
	workers []*Worker
	started int // workers so far, for names
}

// Worker is a worker process with its probes.
type Worker struct {
	*Process
	URL string
}

// StartStack starts a stack without workers and returns when it answers. The caller owes a Close, also after an error that comes with a stack.
func StartStack(ctx context.Context, opts Options) (*Stack, error) {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	if opts.Prefix == "" {
		opts.Prefix = "sw"
	}
	s := &Stack{opts: opts, Dir: opts.Dir, Ledger: filepath.Join(opts.Dir, "gateway.jsonl"), Database: opts.Database}
	if s.Database == "" {
		s.Database = "sqlite:" + filepath.Join(opts.Dir, "shop.db")
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if err := s.writeWorkflows(); err != nil {
		return err
	}
	var err error
	s.Redis, err = localredis.Start(ctx, localredis.Options{
		URL: s.opts.RedisURL, Dir: filepath.Join(s.Dir, "redis"), RequireReal: s.opts.RequireRealRedis, Warn: s.opts.Warn,
	})
	if err != nil {
		return err
	}
	if s.Mail, err = StartMailSink(ctx); err != nil {
		return err
	}
	if err := s.startGateway(ctx); err != nil {
		return err
	}
	return s.StartAPI(ctx)
}

// writeWorkflows lays the shipped definitions into the stack's directory, so that it runs wherever the binary is called from.
func (s *Stack) writeWorkflows() error {
	dir := filepath.Join(s.Dir, "workflows")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("directory of the stack: %w", err)
	}
	err := fs.WalkDir(workflows.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := workflows.Files.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o600)
	})
	if err != nil {
		return fmt.Errorf("write the workflow definitions: %w", err)
	}
	return nil
}

func (s *Stack) command(args []string, env ...string) Command {
	return Command{Binary: s.opts.Binary, Args: args, Env: env, LogDir: s.Dir}
}

func (s *Stack) startGateway(ctx context.Context) error {
	addr, err := localredis.FreeAddr(ctx)
	if err != nil {
		return err
	}
	args := []string{"gateway", "--addr", addr, "--ledger", s.Ledger, "--log-format", "json"}
	s.GateURL = "http://" + addr
	if s.Gateway, err = StartProcess("gateway", s.command(args)); err != nil {
		return err
	}
	return s.Gateway.Ready(ctx, s.GateURL+"/healthz")
}

// Env is the environment that the stack's processes share, as KEY=value.
func (s *Stack) Env() []string {
	return []string{
		"STEPWELL_REDIS_URL=" + s.Redis.URL,
		"STEPWELL_REDIS_PREFIX=" + s.opts.Prefix,
		"STEPWELL_SHOP_DATABASE=" + s.Database,
		"STEPWELL_SHOP_GATEWAY_URL=" + s.GateURL,
		"STEPWELL_SHOP_SMTP_ADDR=" + s.Mail.Addr,
		"STEPWELL_LOG_FORMAT=json",
	}
}

// StartAPI starts the API, at the same address as before when it has run already.
func (s *Stack) StartAPI(ctx context.Context, env ...string) error {
	addr := s.opts.APIAddr
	if addr == "" {
		var err error
		if addr, err = localredis.FreeAddr(ctx); err != nil {
			return err
		}
		s.opts.APIAddr = addr
	}
	s.APIURL = "http://" + addr
	env = append(append(s.Env(), "STEPWELL_API_ADDR="+addr, "STEPWELL_WORKFLOWS_DIR="+filepath.Join(s.Dir, "workflows"), "STEPWELL_DEV="+s.dev()), env...)
	var err error
	if s.API, err = StartProcess("api", s.command([]string{"api"}, env...)); err != nil {
		return err
	}
	return s.API.Ready(ctx, s.APIURL+"/readyz")
}

// dev relaxes the refusals at start only for a Redis that cannot meet them.
func (s *Stack) dev() string {
	if s.Redis.Kind == localredis.Embedded {
		return "true"
	}
	return "false"
}

// StartWorker starts one more worker and returns when it is ready. env comes on top of what all processes share.
func (s *Stack) StartWorker(ctx context.Context, env ...string) (*Worker, error) {
	addr, err := localredis.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.started++
	name := fmt.Sprintf("worker %d", s.started)
	s.mu.Unlock()
	env = append(append(s.Env(), "STEPWELL_WORKER_ADDR="+addr, "STEPWELL_DEV="+s.dev()), env...)
	p, err := StartProcess(name, s.command([]string{"worker"}, env...))
	if err != nil {
		return nil, err
	}
	w := &Worker{Process: p, URL: "http://" + addr}
	s.mu.Lock()
	s.workers = append(s.workers, w)
	s.mu.Unlock()
	return w, w.Ready(ctx, w.URL+"/readyz")
}

// Workers returns the workers that have not ended.
func (s *Stack) Workers() []*Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*Worker
	for _, w := range s.workers {
		select {
		case <-w.Done():
		default:
			live = append(live, w)
		}
	}
	return live
}

// StopWorkers asks all workers to end, at the same time, and waits for them.
func (s *Stack) StopWorkers() error {
	live := s.Workers()
	errs := make([]error, len(live))
	var wg sync.WaitGroup
	for i, w := range live {
		wg.Go(func() { errs[i] = w.Stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close ends every process in the reverse order of their start. The directory stays.
func (s *Stack) Close(ctx context.Context) error {
	problems := []error{s.StopWorkers()}
	for _, p := range []*Process{s.API, s.Gateway} {
		if p == nil {
			continue
		}
		select {
		case <-p.Done():
		default:
			problems = append(problems, p.Stop())
		}
	}
	if s.Mail != nil {
		problems = append(problems, s.Mail.Close())
	}
	if s.Redis != nil {
		problems = append(problems, s.Redis.Close(ctx))
	}
	return errors.Join(problems...)
}
