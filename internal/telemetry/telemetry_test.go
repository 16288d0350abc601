package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/telemetry"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		level, format string
		terminal      bool
		want          string
		debug         bool
	}{
		{"info", "auto", true, "msg=hello", false},
		{"info", "auto", false, `"msg":"hello"`, false},
		{"debug", "text", false, "msg=hello", true},
		{"DEBUG", "json", true, `"msg":"hello"`, true},
		{"nonsense", "", false, `"msg":"hello"`, false},
	} {
		var b bytes.Buffer
		log := telemetry.NewLogger(&b, c.level, c.format, c.terminal)
		log.Info("hello")
		if !strings.Contains(b.String(), c.want) {
			t.Errorf("%+v wrote %q", c, b.String())
		}
		if got := log.Enabled(t.Context(), slog.LevelDebug); got != c.debug {
			t.Errorf("%+v: debug enabled %v", c, got)
		}
	}
	for _, level := range []string{"warn", "error"} {
		if telemetry.NewLogger(&bytes.Buffer{}, level, "json", false).Enabled(t.Context(), slog.LevelInfo) {
			t.Errorf("level %s lets info through", level)
		}
	}
}

type source struct {
	status engine.Status
	err    error
	asked  int
}

func (s *source) Status(context.Context) (engine.Status, error) {
	s.asked++
	return s.status, s.err
}

func scrape(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	telemetry.Handler(reg).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestMetricsCountWhatHooksTell(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m, err := telemetry.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Hooks()
	h.RunStarted("shop/order")
	h.RunEnded("shop/order", dag.RunSucceeded)
	claim := &dag.Claim{ClaimRef: dag.ClaimRef{Run: "run_00_SECRET", Step: "pay"}, Workflow: "shop/order"}
	h.StepSettled(claim, dag.StepRetrying, 20*time.Millisecond)
	h.StepSettled(claim, dag.StepSucceeded, 30*time.Millisecond)
	h.StepTaken(dag.DeadClaim{}, true)
	h.StepTaken(dag.DeadClaim{}, false)
	h.HandedOver(dag.Send{}, false)
	h.HandedOver(dag.Send{}, true)
	h.EnqueueFailed(dag.Send{Queue: "shop"}, errors.New("away"))
	h.Swept(3*time.Second, time.Millisecond)
	h.Looked(dag.StepQueued, engine.TaskNone, engine.ActionReissue)
	h.Looked(dag.StepQueued, engine.TaskPending, engine.ActionLeave)
	h.Purged(3)
	h.Purged(4)
	h.Mismatch(dag.Mismatch{Run: "run_00_SECRET", What: "active is 2"})
	h.Operated("cancel")
	m.Answers([]string{"begin BUSY", "begin DONE"})
	m.Answered("begin DONE")
	m.Abandoned(2)
	m.Abandoned(1)
	got := scrape(t, reg)
	for _, line := range []string{
		`stepwell_runs_started_total{workflow="shop/order"} 1`,
		`stepwell_deliveries_total{answer="begin BUSY"} 0`,
		`stepwell_deliveries_total{answer="begin DONE"} 1`,
		`stepwell_runs_ended_total{state="succeeded",workflow="shop/order"} 1`,
		`stepwell_step_attempts_total{state="retrying",step="pay",workflow="shop/order"} 1`,
		`stepwell_step_attempts_total{state="succeeded",step="pay",workflow="shop/order"} 1`,
		`stepwell_step_duration_seconds_bucket{step="pay",workflow="shop/order",le="0.025"} 1`,
		`stepwell_step_duration_seconds_count{step="pay",workflow="shop/order"} 2`,
		`stepwell_takeovers_total{crash="true"} 1`,
		`stepwell_takeovers_total{crash="false"} 1`,
		`stepwell_handovers_total{path="fast"} 1`,
		`stepwell_handovers_total{path="swept"} 1`,
		`stepwell_enqueue_failures_total{queue="shop"} 1`,
		`stepwell_doubts_total{action="reissue",step="queued",task="none"} 1`,
		`stepwell_doubts_total{action="leave",step="queued",task="pending"} 1`,
		`stepwell_purged_runs_total 7`,
		`stepwell_audit_mismatches_total 1`,
		`stepwell_operations_total{verb="cancel"} 1`,
		`stepwell_sweep_lag_seconds 3`,
		`stepwell_abandoned_handlers 1`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("lacks %s", line)
		}
	}
	if strings.Contains(got, "run_00_SECRET") {
		t.Error("a run's ID is in a label")
	}
	if _, err := telemetry.NewMetrics(reg); err == nil {
		t.Error("registering twice went unnoticed")
	}
}

func TestQueueCollector(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	src := &source{status: engine.Status{
		Stats: dag.StoreStats{Runs: map[dag.RunState]int64{dag.RunRunning: 4}, Running: 2, DeadLetters: 7, Lag: 1500 * time.Millisecond},
		Queues: []engine.QueueInfo{
			{Name: "shop", Pending: 3, Active: 1, Retry: 2, Archived: 5, Completed: 9, ProcessedTotal: 40, FailedTotal: 6, Latency: 250 * time.Millisecond, MemoryBytes: 1024},
			{Name: "idle", Paused: true},
		},
		Workers:  []dag.WorkerInfo{{ID: "w"}},
		Unserved: []engine.UnservedSince{{Unserved: engine.Unserved{Queue: "shop", Handler: "pay"}, Since: now.Add(-time.Minute)}},
	}}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(telemetry.NewQueueCollector(src, slog.New(slog.DiscardHandler), func() time.Time { return now }))
	got := scrape(t, reg)
	for _, line := range []string{
		`asynq_queue_size{queue="shop"} 11`,
		`asynq_tasks_enqueued_total{queue="shop",state="pending"} 3`,
		`asynq_tasks_enqueued_total{queue="shop",state="completed"} 9`,
		`asynq_queue_latency_seconds{queue="shop"} 0.25`,
		`asynq_tasks_processed_total{queue="shop"} 40`,
		`asynq_tasks_failed_total{queue="shop"} 6`,
		`asynq_queue_paused_total{queue="idle"} 1`,
		`asynq_queue_paused_total{queue="shop"} 0`,
		`asynq_queue_memory_usage_approx_bytes{queue="shop"} 1024`,
		`stepwell_redis_up 1`,
		`stepwell_runs{state="running"} 4`,
		`stepwell_runs{state="failed"} 0`,
		`stepwell_dead_letters 7`,
		`stepwell_agenda_lag_seconds 1.5`,
		`stepwell_steps_running 2`,
		`stepwell_workers 1`,
		`stepwell_unserved_seconds{handler="pay",queue="shop"} 60`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("lacks %s", line)
		}
	}

	scrape(t, reg)
	if src.asked != 1 {
		t.Errorf("asked %d times within 5 s, want once", src.asked)
	}
	now = now.Add(5 * time.Second)
	src.err = engine.ErrUnavailable
	got = scrape(t, reg)
	if src.asked != 2 || !strings.Contains(got, "stepwell_redis_up 0\n") || strings.Contains(got, "asynq_queue_size") {
		t.Errorf("asked %d times, and without Redis got:\n%s", src.asked, got)
	}
}
