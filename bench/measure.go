package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// options say what to measure.
type options struct {
	Runs        int    `json:"runs"`        // of a burst
	Rounds      int    `json:"rounds"`      // measured
	Idle        int    `json:"idle"`        // runs for the latency, over all rounds
	Wire        int    `json:"wire"`        // runs through the relay
	Memory      int    `json:"memory"`      // runs for bytes a run
	Concurrency int    `json:"concurrency"` // of the worker, of the starters
	Fsync       string `json:"-"`
	URL         string `json:"-"`
}

// wireWindow is how many runs are open at a time while the wire is looked at. A backlog would add the reports of what was handed over long
// before it is begun, which a burst's own counts show.
const wireWindow = 1

// bench measures all systems on a Redis.
type bench struct {
	options
	server   *server
	progress io.Writer
	result   map[string]*figures
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, format+"\n", args...)
}

// run does the rounds, then wire and memory.
func (b *bench) run(ctx context.Context) error {
	b.result = map[string]*figures{}
	for _, sys := range systems() {
		b.result[sys.name] = &figures{}
	}
	for round := range b.Rounds + 1 { // the first one warms up
		for _, sys := range systems() {
			r, err := b.round(ctx, sys)
			if err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
			word := "warm-up"
			if round > 0 {
				word = fmt.Sprintf("round %d of %d", round, b.Rounds)
				b.result[sys.name].add(r)
			}
			b.say("%-14s %-13s %7.0f runs/s, idle p50 %5.1f ms", word, sys.name, r.rate(), millis(quantile(r.latencies(), 0.5)))
		}
	}
	for _, sys := range systems() {
		b.say("%-14s %s", "wire", sys.name)
		w, err := b.wire(ctx, sys)
		if err != nil {
			return fmt.Errorf("wire: %w", err)
		}
		b.say("%-14s %s", "memory", sys.name)
		m, err := b.memory(ctx, sys)
		if err != nil {
			return fmt.Errorf("memory: %w", err)
		}
		b.result[sys.name].Wire, b.result[sys.name].Memory = w, m
	}
	return nil
}

// round is a burst and some runs one at a time.
func (b *bench) round(ctx context.Context, sys system) (r roundResult, err error) {
	s, err := openSession(ctx, sys, b.server, b.server.URL, b.Concurrency, b.Runs)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if err := s.begin(ctx); err != nil {
		return r, err
	}
	if err := b.burst(ctx, s, &r); err != nil {
		return r, err
	}
	if r.idle, err = s.idle(ctx, (b.Idle+b.Rounds-1)/b.Rounds); err != nil {
		return r, err
	}
	r.Started, r.Ended, r.Repeated, r.Extra = s.started, len(s.seen), s.repeated, s.extra
	if r.Ended != r.Started || r.Repeated > 0 {
		return r, fmt.Errorf("%s: %d of %d runs ended, %d last handlers ran again", sys.name, r.Ended, r.Started, r.Repeated)
	}
	return r, nil
}

func (b *bench) burst(ctx context.Context, s *session, r *roundResult) error {
	cpu, err := processCPU()
	if err != nil {
		return err
	}
	before, err := b.server.counters(ctx)
	if err != nil {
		return err
	}
	done, err := s.burst(ctx, b.Runs, b.Runs, noKey)
	if err != nil {
		return err
	}
	after, err := b.server.counters(ctx)
	if err != nil {
		return err
	}
	used, err := processCPU()
	if err != nil {
		return err
	}
	delta := after.minus(before)
	r.Runs, r.Seconds = b.Runs, done.took().Seconds()
	r.ProcessCPU, r.RedisCPU = (used - cpu).Seconds(), delta.CPU.Seconds()
	r.NetIn, r.NetOut, r.Scripts, r.Commands, r.Connections = delta.NetIn, delta.NetOut, delta.Scripts, delta.Commands, delta.Connections
	if err := s.drained(ctx); err != nil {
		return err
	}
	return s.verify(ctx, done.runs)
}

// wire counts script calls and bytes by verb, with a relay between the clients and Redis.
func (b *bench) wire(ctx context.Context, sys system) (w wireResult, err error) {
	target, err := url.Parse(b.server.URL)
	if err != nil {
		return w, fmt.Errorf("address of the Redis: %w", err)
	}
	relay, err := newTap(ctx, target.Host)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, relay.Close()) }()
	target.Host = relay.addr()
	s, err := openSession(ctx, sys, b.server, target.String(), b.Concurrency, b.Wire)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if err := s.begin(ctx); err != nil {
		return w, err
	}
	before := relay.read()
	done, err := s.burst(ctx, b.Wire, wireWindow, noKey)
	if err != nil {
		return w, err
	}
	if err := s.drained(ctx); err != nil {
		return w, err
	}
	seen := relay.read().since(before)
	return wireOf(seen, b.Wire, done.took()), s.verify(ctx, done.runs)
}

// memory sums what runs occupy before their first step and after their last one.
func (b *bench) memory(ctx context.Context, sys system) (m memoryResult, err error) {
	s, err := openSession(ctx, sys, b.server, b.server.URL, b.Concurrency, b.Memory)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	empty, err := b.server.memory(ctx, s.at.prefix)
	if err != nil {
		return m, err
	}
	for range b.Memory {
		if _, err := s.chain.Start(ctx, ""); err != nil {
			return m, fmt.Errorf("start: %w", err)
		}
	}
	waiting, err := s.inspector.ListPendingTasks(s.at.queue())
	if err != nil {
		return m, fmt.Errorf("list tasks: %w", err)
	}
	for _, t := range waiting {
		m.PayloadBytes = max(m.PayloadBytes, len(t.Payload))
	}
	open, err := b.server.memory(ctx, s.at.prefix)
	if err != nil {
		return m, err
	}
	s.started = b.Memory
	if err := s.finish(ctx, b.Memory); err != nil {
		return m, err
	}
	finished, err := b.server.memory(ctx, s.at.prefix)
	if err != nil {
		return m, err
	}
	m.Open, m.OpenBytes = perRun(open, empty, b.Memory)
	m.Finished, m.FinishedBytes = perRun(finished, empty, b.Memory)
	m.DefinitionBytes = finished["def"] / int64(dag.Partitions)
	return m, nil
}

// finish starts the worker of a session whose runs wait, and waits for their end.
func (s *session) finish(ctx context.Context, n int) error {
	s.work(ctx)
	if err := s.collect(ctx, &batch{}, n, func() {}); err != nil {
		return err
	}
	return s.drained(ctx)
}

// perRun divides what was added since a moment by the number of runs. Definitions are once for each partition, whatever the number of runs.
func perRun(now, empty map[string]int64, runs int) (byKind map[string]float64, total float64) {
	byKind = map[string]float64{}
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if added := now[kind] - empty[kind]; kind != "def" && added != 0 {
			byKind[kind] = round3(float64(added) / float64(runs))
			total += byKind[kind]
		}
	}
	return byKind, round3(total)
}

func millis(seconds float64) float64 { return 1000 * seconds }

// roundResult is a round of one system.
type roundResult struct {
	Runs        int     `json:"runs"`
	Seconds     float64 `json:"seconds"`
	ProcessCPU  float64 `json:"process_cpu_seconds"` // of client, worker and bench
	RedisCPU    float64 `json:"redis_cpu_seconds"`
	NetIn       int64   `json:"redis_net_in_bytes"`
	NetOut      int64   `json:"redis_net_out_bytes"`
	Scripts     int64   `json:"script_calls"` // all of them, polling included
	Commands    int64   `json:"commands"`     // those inside scripts included
	Connections int64   `json:"new_connections"`
	Started     int     `json:"started"`     // in the whole session
	Ended       int     `json:"ended"`       // by the last handlers' count
	Repeated    int     `json:"repeated"`    // returns of a last handler beyond the first of its run
	Extra       int     `json:"extra_tasks"` // that asynq delivered beyond one for each step

	idle []latency
}

func (r *roundResult) rate() float64 { return float64(r.Runs) / r.Seconds }

// latencies are those that count, in seconds.
func (r *roundResult) latencies() []float64 {
	out := make([]float64, len(r.idle))
	for i, l := range r.idle {
		out[i] = l.committed.Seconds()
	}
	return out
}

// figures are those of one system.
type figures struct {
	Rounds []roundResult `json:"rounds"`
	Rate   spread        `json:"runs_per_second"`
	Idle   idleResult    `json:"idle"`
	Wire   wireResult    `json:"wire"`
	Memory memoryResult  `json:"memory"`

	idle []latency
}

// idleResult is the latency of a run on an idle system.
type idleResult struct {
	Runs         int     `json:"runs"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Min          float64 `json:"min_ms"`
	Max          float64 `json:"max_ms"`
	HandlerP50   float64 `json:"handler_p50_ms"` // to the return of the last handler
	P50OfRounds  spread  `json:"p50_of_rounds_ms"`
	roundMedians []float64
}

func (f *figures) add(r roundResult) {
	f.Rounds = append(f.Rounds, r)
	f.idle = append(f.idle, r.idle...)
	rates := make([]float64, len(f.Rounds))
	for i := range f.Rounds {
		rates[i] = round3(f.Rounds[i].rate())
	}
	f.Rate = spreadOf(rates)
	all, handler := make([]float64, len(f.idle)), make([]float64, len(f.idle))
	for i, l := range f.idle {
		all[i], handler[i] = ms(l.committed), ms(l.handler)
	}
	medians := append(f.Idle.roundMedians, round3(millis(quantile(r.latencies(), 0.5))))
	f.Idle = idleResult{
		Runs: len(all), P50: round3(quantile(all, 0.5)), P99: round3(quantile(all, 0.99)), Min: slices.Min(all), Max: slices.Max(all),
		HandlerP50: round3(quantile(handler, 0.5)), P50OfRounds: spreadOf(medians), roundMedians: medians,
	}
}

func ms(d time.Duration) float64 { return round3(millis(d.Seconds())) }

// wireResult is what the relay saw.
type wireResult struct {
	Runs           int                `json:"runs"`
	Seconds        float64            `json:"seconds"`
	NewConnections int                `json:"new_connections"`
	ScriptCalls    float64            `json:"script_calls_per_step"`
	Bytes          float64            `json:"bytes_per_step"` // both directions
	Verbs          map[string]traffic `json:"verbs"`          // of the runs
	Background     map[string]traffic `json:"background"`     // also there without any run
}

// wireOf splits what was seen into the runs' own and the rest. A dequeue that found nothing belongs to the rest, with its share of the bytes.
func wireOf(seen reading, runs int, took time.Duration) wireResult {
	w := wireResult{Runs: runs, Seconds: took.Seconds(), NewConnections: seen.Connections, Verbs: map[string]traffic{}, Background: map[string]traffic{}}
	calls, bytes := 0, int64(0)
	for verb, t := range seen.Verbs {
		if isBackground(verb) {
			w.Background[verb] = t
			continue
		}
		if verb == verbDequeue && t.Empty > 0 {
			empty := traffic{Calls: t.Empty, Empty: t.Empty, Sent: t.Sent * int64(t.Empty) / int64(t.Calls), Got: nullBytes * int64(t.Empty), Script: true}
			w.Background[verb+", nothing there"] = empty
			t = t.minus(empty)
			t.Empty = 0
		}
		w.Verbs[verb] = t
		bytes += t.Sent + t.Got
		if t.Script {
			calls += t.Calls
		}
	}
	w.ScriptCalls = round3(float64(calls) / float64(runs*steps))
	w.Bytes = round3(float64(bytes) / float64(runs*steps))
	return w
}

// nullBytes is the length of "nothing" on the wire (RESP3).
const nullBytes = 3

// isBackground tells the verbs that processes use whether there are runs or not.
func isBackground(verb string) bool {
	switch verb {
	case "due", "share", "audit", "put_worker", "workers", verbForward, verbServer, // sweeper, announcements, asynq's look at its retry set and its heartbeat
		"hello", "client", "ping", "script", // connections
		"subscribe", "psubscribe", "zadd", "zrangebyscore", "zremrangebyscore", "setex", "expire", "time", "info": // asynq's own loops
		return true
	}
	return false
}

// memoryResult is what a run occupies in Redis.
type memoryResult struct {
	OpenBytes       float64            `json:"open_run_bytes"`     // created, its first step waits for a worker
	FinishedBytes   float64            `json:"finished_run_bytes"` // succeeded, kept for its retention
	DefinitionBytes int64              `json:"definition_bytes"`   // once for each partition
	PayloadBytes    int                `json:"payload_bytes"`      // of the first step's task
	Open            map[string]float64 `json:"open_by_key"`
	Finished        map[string]float64 `json:"finished_by_key"`
}
