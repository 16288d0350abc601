package telemetry

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Metrics are what this process did since it began.
type Metrics struct {
	runsStarted     *prometheus.CounterVec
	runsEnded       *prometheus.CounterVec
	attempts        *prometheus.CounterVec
	duration        *prometheus.HistogramVec
	deliveries      *prometheus.CounterVec
	handovers       *prometheus.CounterVec
	enqueueFailures *prometheus.CounterVec
	takeovers       *prometheus.CounterVec
	doubts          *prometheus.CounterVec
	operations      *prometheus.CounterVec
	purged          prometheus.Counter
	mismatches      prometheus.Counter
	sweepLag        prometheus.Gauge
	sweepDuration   prometheus.Histogram
	abandoned       prometheus.Gauge
}

// NewMetrics registers the process's metrics. The error says which one is registered already.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "stepwell", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		runsStarted:     counter("runs_started_total", "Runs that this process created.", "workflow"),
		runsEnded:       counter("runs_ended_total", "Runs that ended by a call of this process.", "workflow", "state"),
		attempts:        counter("step_attempts_total", "Attempts whose outcome this process committed, by the state that the step came to.", "workflow", "step", "state"),
		deliveries:      counter("deliveries_total", "Deliveries of steps to this process, by what the queue was told: the call and its answer.", "answer"),
		handovers:       counter("handovers_total", "Deliveries that the queue accepted: fast at once, swept by the sweeper.", "path"),
		enqueueFailures: counter("enqueue_failures_total", "Deliveries that the queue refused; the sweeper tries again.", "queue"),
		takeovers:       counter("takeovers_total", "Steps taken over from silent workers; crash tells whether it counted as one.", "crash"),
		doubts:          counter("doubts_total", "Looks at steps whose task may be lost, by where the step stood, where its task was and what was done.", "step", "task", "action"),
		operations:      counter("operations_total", "Operators' requests that this process carried out.", "verb"),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "stepwell", Name: "purged_runs_total", Help: "Runs that this process removed at the end of their retention.",
		}),
		mismatches: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "stepwell", Name: "audit_mismatches_total", Help: "Runs whose counts or indexes an audit of this process found to be wrong.",
		}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "stepwell", Name: "step_duration_seconds", Help: "Time from the begin of an attempt to its committed outcome.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"workflow", "step"}),
		sweepLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "stepwell", Name: "sweep_lag_seconds", Help: "Age of the oldest entry that was due in this process's last sweep.",
		}),
		sweepDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "stepwell", Name: "sweep_duration_seconds", Help: "Time of one round of this process's sweeper.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10},
		}),
		abandoned: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "stepwell", Name: "abandoned_handlers", Help: "Handlers that go on after their timeout because they ignore their context.",
		}),
	}
	for _, c := range []prometheus.Collector{
		m.runsStarted, m.runsEnded, m.attempts, m.duration, m.deliveries, m.handovers, m.enqueueFailures, m.takeovers,
		m.doubts, m.operations, m.purged, m.mismatches, m.sweepLag, m.sweepDuration, m.abandoned,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metric: %w", err)
		}
	}
	return m, nil
}

// Hooks feed the metrics.
func (m *Metrics) Hooks() engine.Hooks {
	return engine.Hooks{
		RunStarted: func(workflow string) { m.runsStarted.WithLabelValues(workflow).Inc() },
		RunEnded:   func(workflow string, state dag.RunState) { m.runsEnded.WithLabelValues(workflow, string(state)).Inc() },
		StepSettled: func(claim *dag.Claim, state dag.StepState, took time.Duration) {
			m.attempts.WithLabelValues(claim.Workflow, claim.Step, string(state)).Inc()
			m.duration.WithLabelValues(claim.Workflow, claim.Step).Observe(took.Seconds())
		},
		StepTaken: func(_ dag.DeadClaim, crash bool) {
			label := "false"
			if crash {
				label = "true"
			}
			m.takeovers.WithLabelValues(label).Inc()
		},
		HandedOver: func(_ dag.Send, swept bool) {
			path := "fast"
			if swept {
				path = "swept"
			}
			m.handovers.WithLabelValues(path).Inc()
		},
		EnqueueFailed: func(send dag.Send, _ error) { m.enqueueFailures.WithLabelValues(send.Queue).Inc() },
		Swept: func(lag, took time.Duration) {
			m.sweepLag.Set(lag.Seconds())
			m.sweepDuration.Observe(took.Seconds())
		},
		Looked: func(step dag.StepState, task engine.TaskState, action engine.Action) {
			m.doubts.WithLabelValues(string(step), string(task), string(action)).Inc()
		},
		Purged:   func(runs int) { m.purged.Add(float64(runs)) },
		Mismatch: func(dag.Mismatch) { m.mismatches.Inc() },
		Operated: func(verb string) { m.operations.WithLabelValues(verb).Inc() },
	}
}

// Answers makes the counters of all answers that a delivery can have exist from the start, so that the first of a kind is seen as a rise.
func (m *Metrics) Answers(all []string) {
	for _, answer := range all {
		m.deliveries.WithLabelValues(answer)
	}
}

// Answered counts a delivery.
func (m *Metrics) Answered(answer string) { m.deliveries.WithLabelValues(answer).Inc() }

// Abandoned sets the number of handlers that were left behind at their timeout and still run.
func (m *Metrics) Abandoned(n int) { m.abandoned.Set(float64(n)) }

// Handler serves what was gathered. A collector that fails costs its own metrics only.
func Handler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
