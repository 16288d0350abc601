package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	patience  = 60 * time.Second // without the end of any run, the rest counts as lost
	settling  = 20 * time.Second // for what follows the last handler
	lookEvery = 5 * time.Millisecond
)

// session is one system at work under a prefix of its own.
type session struct {
	name      string
	server    *server
	at        site
	chain     chain
	inspector *asynq.Inspector // on the bench's own client
	ends      chan end
	started   int             // runs, all of the session
	seen      map[string]bool // runs whose last handler returned
	stall     time.Duration   // without the end of any run, after which the rest counts as lost
	extra     int             // tasks beyond one for each step
	repeated  int             // returns of a last handler beyond the first of its run
	stop      context.CancelFunc
	worker    chan error
}

// openSession makes a session at a URL of Redis; its worker is not started yet. At most capacity runs may end unseen.
func openSession(ctx context.Context, sys system, srv *server, url string, concurrency, capacity int) (*session, error) {
	s := &session{name: sys.name, server: srv, inspector: asynq.NewInspectorFromRedisClient(srv.admin), ends: make(chan end, capacity), seen: map[string]bool{}, stall: patience}
	s.at = site{
		url: url, prefix: "b" + strings.ToLower(rand.Text())[:11], concurrency: concurrency,
		ended: func(run string) { s.ends <- end{run: run, at: time.Now()} },
	}
	var err error
	if s.chain, err = sys.open(ctx, s.at); err != nil {
		return nil, fmt.Errorf("open %s: %w", sys.name, err)
	}
	return s, nil
}

// begin starts the worker and runs what makes the first run of each partition slower than others.
func (s *session) begin(ctx context.Context) error {
	s.work(ctx)
	keys := make([]string, dag.Partitions)
	for found, i := 0, 0; found < len(keys); i++ {
		key := strconv.Itoa(i)
		if p := dag.PartitionOf("bench", "linear", key); keys[p] == "" {
			keys[p] = key
			found++
		}
	}
	if _, err := s.burst(ctx, len(keys), s.at.concurrency, func(i int) string { return keys[i] }); err != nil {
		return fmt.Errorf("first runs: %w", err)
	}
	return s.drained(ctx)
}

// work starts the worker. Close ends it.
func (s *session) work(ctx context.Context) {
	working, stop := context.WithCancel(ctx)
	s.stop, s.worker = stop, make(chan error, 1)
	go func() { s.worker <- s.chain.Work(working) }()
}

func noKey(int) string { return "" }

// burst starts n runs as fast as they can be started, with at most window of them open at a time, and waits until all have ended. It returns
// their names and the time from the first start to the last end.
func (s *session) burst(ctx context.Context, n, window int, key func(i int) string) (batch, error) {
	b := batch{runs: make([]string, n), began: time.Now()}
	slots := make(chan struct{}, window)
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for range min(s.at.concurrency, n) {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				select {
				case slots <- struct{}{}:
				case <-gctx.Done():
					return gctx.Err()
				}
				run, err := s.chain.Start(gctx, key(i))
				if err != nil {
					return fmt.Errorf("start run %d: %w", i, err)
				}
				b.runs[i] = run
			}
			return nil
		})
	}
	g.Go(func() error { return s.collect(gctx, &b, n, func() { <-slots }) })
	err := g.Wait()
	s.started += n
	return b, err
}

// batch is a number of runs that have been started together.
type batch struct {
	runs  []string
	began time.Time
	last  time.Time
}

func (b *batch) took() time.Duration { return b.last.Sub(b.began) }

// collect takes the ends of n runs.
func (s *session) collect(ctx context.Context, b *batch, n int, each func()) error {
	timer := time.NewTimer(s.stall)
	defer timer.Stop()
	for left := n; left > 0; {
		select {
		case e := <-s.ends:
			timer.Reset(s.stall)
			if s.seen[e.run] {
				s.repeated++
				continue
			}
			s.seen[e.run] = true
			left--
			b.last = e.at
			each()
		case err := <-s.worker:
			s.worker <- err
			return errors.Join(errors.New("the worker ended"), err)
		case <-timer.C:
			return fmt.Errorf("%s: %d of %d runs did not end: nothing has for %s", s.name, left, n, s.stall)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// drained waits until asynq has nothing left of the runs so far, the acknowledgement of the last task included, and has processed a task for
// each step. More are possible: Stepwell's sweeper hands a step over again that waits in a backlog for more than a second, and when it runs
// in between, the second task finds it done. It asks on the bench's own connection.
func (s *session) drained(ctx context.Context) error {
	want := s.started * steps
	var last *asynq.QueueInfo
	return poll(ctx, func() (bool, error) {
		info, err := s.inspector.GetQueueInfo(s.at.queue())
		if err != nil {
			return false, fmt.Errorf("look at the queue of %s: %w", s.name, err)
		}
		last = info
		if info.FailedTotal > 0 {
			return false, fmt.Errorf("%s: %d tasks failed", s.name, info.FailedTotal)
		}
		s.extra = info.ProcessedTotal - want
		return info.Size == 0 && info.Active == 0 && s.extra >= 0, nil
	}, func() string {
		return fmt.Sprintf("%s: its queue has %d tasks, %d active, and processed %d of %d", s.name, last.Size, last.Active, last.ProcessedTotal, want)
	})
}

// verify reads every run back until it has succeeded.
func (s *session) verify(ctx context.Context, runs []string) error {
	var g errgroup.Group
	g.SetLimit(s.at.concurrency)
	for _, run := range runs {
		g.Go(func() error {
			return poll(ctx, func() (bool, error) { return s.chain.Succeeded(ctx, run) },
				func() string { return fmt.Sprintf("%s: run %s has not succeeded", s.name, run) })
		})
	}
	return g.Wait()
}

// poll asks until the answer is yes.
func poll(ctx context.Context, ask func() (bool, error), what func() string) error {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what(), ctx.Err())
		}
	}
}

// latency is one run on an idle system.
type latency struct {
	handler   time.Duration // from the call of start to the return of the last handler
	committed time.Duration // to a read that says that the run has succeeded
}

// idle runs n runs, one at a time.
func (s *session) idle(ctx context.Context, n int) ([]latency, error) {
	out := make([]latency, 0, n)
	for range n {
		pause := time.NewTimer(pollEvery + mathrand.N(2*pollEvery)) //nolint:gosec // a pause is no secret
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		b := batch{began: time.Now()}
		run, err := s.chain.Start(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
		s.started++
		if err := s.collect(ctx, &b, 1, func() {}); err != nil {
			return nil, err
		}
		for yes := false; !yes; {
			if yes, err = s.chain.Succeeded(ctx, run); err != nil {
				return nil, err
			}
		}
		out = append(out, latency{handler: b.took(), committed: time.Since(b.began)})
	}
	return out, s.drained(ctx)
}

// Close ends the worker, and deletes what the session left in Redis.
func (s *session) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // what was opened is closed, also when the bench was interrupted
	var err error
	if s.stop != nil {
		s.stop()
		err = <-s.worker
	}
	return errors.Join(err, s.chain.Close(ctx), s.server.sweep(ctx, s.at.prefix, s.at.queue()))
}
