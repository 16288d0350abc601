package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	statusTTL     = 5 * time.Second // asynq samples the memory of each queue for an answer
	statusTimeout = 4 * time.Second // below the usual timeout of a scrape, 10 s
)

// Source is asked for the state of the installation; [engine.Engine] is one.
type Source interface {
	Status(ctx context.Context) (engine.Status, error)
}

// QueueCollector shows the queues, runs and dead letters of the installation. It is a [prometheus.Collector].
type QueueCollector struct {
	source Source
	log    *slog.Logger
	now    func() time.Time

	size, enqueued, latency, processed, failed, paused, memory            *prometheus.Desc
	up, runs, deadLetters, agendaLag, stepsRunning, workers, unservedSecs *prometheus.Desc

	mu     sync.Mutex
	status engine.Status
	ok     bool
	asked  time.Time
}

// NewQueueCollector returns a collector over source. now is the local clock.
func NewQueueCollector(source Source, log *slog.Logger, now func() time.Time) *QueueCollector {
	asynq := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("asynq_"+name, help, labels, nil)
	}
	stepwell := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stepwell_"+name, help, labels, nil)
	}
	return &QueueCollector{
		source: source, log: log, now: now,

		size:      asynq("queue_size", "Tasks in a queue, of every state but completed.", "queue"),
		enqueued:  asynq("tasks_enqueued_total", "Tasks in a queue now, by state.", "queue", "state"),
		latency:   asynq("queue_latency_seconds", "Age of the oldest pending task.", "queue"),
		processed: asynq("tasks_processed_total", "Tasks processed, failed ones included.", "queue"),
		failed:    asynq("tasks_failed_total", "Tasks whose processing failed.", "queue"),
		paused:    asynq("queue_paused_total", "1 for a paused queue, else 0.", "queue"),
		memory:    asynq("queue_memory_usage_approx_bytes", "Memory of a queue in Redis, sampled.", "queue"),

		up:           stepwell("redis_up", "1 when Redis could be asked for what the other metrics show."),
		runs:         stepwell("runs", "Runs that are kept, by state.", "state"),
		deadLetters:  stepwell("dead_letters", "Failed steps that wait for a person."),
		agendaLag:    stepwell("agenda_lag_seconds", "Age of the oldest agenda entry that is due."),
		stepsRunning: stepwell("steps_running", "Steps that workers hold."),
		workers:      stepwell("workers", "Workers that are alive."),
		unservedSecs: stepwell("unserved_seconds", "Since when no worker serves a queue, or lacks a handler on it that a workflow needs.", "queue", "handler"),
	}
}

// Describe implements [prometheus.Collector].
func (c *QueueCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.size, c.enqueued, c.latency, c.processed, c.failed, c.paused, c.memory,
		c.up, c.runs, c.deadLetters, c.agendaLag, c.stepsRunning, c.workers, c.unservedSecs,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *QueueCollector) Collect(out chan<- prometheus.Metric) {
	s, ok := c.ask()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if !ok {
		gauge(c.up, 0)
		return
	}
	gauge(c.up, 1)
	for _, q := range s.Queues {
		c.queue(q, out, gauge)
	}
	for _, state := range dag.AllRunStates() {
		gauge(c.runs, float64(s.Stats.Runs[state]), string(state))
	}
	gauge(c.deadLetters, float64(s.Stats.DeadLetters))
	gauge(c.agendaLag, s.Stats.Lag.Seconds())
	gauge(c.stepsRunning, float64(s.Stats.Running))
	gauge(c.workers, float64(len(s.Workers)))
	for _, u := range s.Unserved {
		gauge(c.unservedSecs, max(c.now().Sub(u.Since).Seconds(), 0), u.Queue, u.Handler)
	}
}

func (c *QueueCollector) queue(q engine.QueueInfo, out chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	gauge(c.size, float64(q.Pending+q.Active+q.Scheduled+q.Retry+q.Archived), q.Name)
	for state, n := range map[string]int{
		"pending": q.Pending, "active": q.Active, "scheduled": q.Scheduled, "retry": q.Retry, "archived": q.Archived, "completed": q.Completed,
	} {
		gauge(c.enqueued, float64(n), q.Name, state)
	}
	gauge(c.latency, q.Latency.Seconds(), q.Name)
	gauge(c.memory, float64(q.MemoryBytes), q.Name)
	paused := 0.0
	if q.Paused {
		paused = 1
	}
	gauge(c.paused, paused, q.Name)
	out <- prometheus.MustNewConstMetric(c.processed, prometheus.CounterValue, float64(q.ProcessedTotal), q.Name)
	out <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(q.FailedTotal), q.Name)
}

// ask returns the status, at most [statusTTL] old. Scrapes that come meanwhile wait for the one that asks.
func (c *QueueCollector) ask() (engine.Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.asked.IsZero() || now.Sub(c.asked) >= statusTTL {
		ctx, cancel := context.WithTimeout(context.Background(), statusTimeout) // the Collector interface carries none
		defer cancel()
		s, err := c.source.Status(ctx)
		if err != nil {
			c.log.WarnContext(ctx, "metrics of the installation not gathered", "err", err)
		}
		c.status, c.ok, c.asked = s, err == nil, now
	}
	return c.status, c.ok
}
