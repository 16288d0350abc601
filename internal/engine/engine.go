package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/stepwell/stepwell/pkg/dag"
)

// DefaultTTL is how long a claim and a worker's announcement hold without renewal. With a sweep each second a step whose worker was killed
// is taken over about 22 s later at most; asynq alone needs 60 to 120 s.
const DefaultTTL = 20 * time.Second

// DefaultHeartbeat is the time between two renewals; three of them may be lost before a claim is.
const DefaultHeartbeat = 5 * time.Second

// Config are the optional parts of an [Engine]. The zero value is ready to use.
type Config struct {
	// TTL of claims and worker announcements; 0 means [DefaultTTL]. Processes may differ: a
	// worker is judged by the TTL that it announced.
	TTL time.Duration
	// Keep and KeepFailed are how long a run is kept after its end, the second when it failed, unless its workflow says
	// otherwise; 0 means [dag.DefaultKeep] and [dag.DefaultKeepFailed], [dag.Forever] never removes.
	Keep, KeepFailed time.Duration
	// Dev lets a registration overwrite a version that has another definition.
	Dev bool
	// Hooks observe; nil funcs are off.
	Hooks Hooks
	// Log gets what an operator should know; nil discards.
	Log *slog.Logger
	// Now is the local clock, used only to decide when to look; nil means time.Now.
	Now func() time.Time
	// Random returns a number in [0,1) for jitter and for the partitions of runs without a key; nil means math/rand/v2.
	Random func() float64
	// NewULID returns a new ULID for a run's ID; nil means [ulid.Make].
	NewULID func() string
}

// Engine runs workflows on a store and a queue. It is safe for concurrent use.
type Engine struct {
	store   Store
	queue   Queue
	schemas Schemas
	cfg     Config

	graphs   graphCache
	versions versionCache
	presence presenceCache
	handed   handedBuffer
	handing  sync.WaitGroup // hand-overs beside their callers
	full     atomic.Bool    // new runs are refused: see admission.go

	unservedMu sync.Mutex
	unserved   map[Unserved]time.Time
}

// New returns an Engine. Nothing runs in the background until [Engine.Run].
func New(store Store, queue Queue, schemas Schemas, cfg Config) (*Engine, error) {
	if store == nil || queue == nil || schemas == nil {
		return nil, errors.New("engine: store, queue and schemas are required")
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.TTL < time.Second || cfg.TTL > time.Hour {
		return nil, fmt.Errorf("%w: engine: TTL %s, must be from 1s to 1h", dag.ErrInvalid, cfg.TTL)
	}
	if cfg.Keep < dag.Forever || cfg.KeepFailed < dag.Forever {
		return nil, fmt.Errorf("%w: engine: keep %s and %s, must not be negative", dag.ErrInvalid, cfg.Keep, cfg.KeepFailed)
	}
	cfg.Keep, cfg.KeepFailed = cmp.Or(cfg.Keep, dag.DefaultKeep), cmp.Or(cfg.KeepFailed, dag.DefaultKeepFailed)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default clock
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	if cfg.NewULID == nil {
		cfg.NewULID = func() string { return ulid.Make().String() }
	}
	return &Engine{store: store, queue: queue, schemas: schemas, cfg: cfg, unserved: map[Unserved]time.Time{}}, nil
}

// TTL is how long a claim holds without renewal.
func (e *Engine) TTL() time.Duration { return e.cfg.TTL }

// Store gives reads that need no use case: Run, Log, Graph, Output, DeadLetters, Stats, Workflows, Workers, Info.
func (e *Engine) Store() Store { return e.store }

// Queue gives the queue's own view.
func (e *Engine) Queue() Queue { return e.queue }
