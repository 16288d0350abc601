package gatewaysim

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	defaultHoldLimit  = 60 * time.Second
	defaultRetryAfter = 30 * time.Second
	drainLimit        = 10 * time.Second // for calls that are under way when Run ends
)

// Config is what a gateway needs. Only LedgerPath is required.
type Config struct {
	LedgerPath string           // file, made if it is not there; its directory must be
	APIKey     string           // callers send Authorization: Bearer APIKey; empty = anyone may call
	Seed       uint64           // luck of unknown tokens
	HoldLimit  time.Duration    // longest wait of test_hold_…; 0 = 60 s
	RetryAfter time.Duration    // told with rate_limited, rounded up to whole seconds; 0 = 30 s
	Now        func() time.Time // nil = time.Now
	Logger     *slog.Logger     // nil = silent
}

// Gateway is the simulator. Close it after use.
type Gateway struct {
	apiKey     string
	seed       uint64
	holdLimit  time.Duration
	retryAfter int // seconds
	clock      func() time.Time
	log        *slog.Logger
	handler    http.Handler

	stopping chan struct{}  // closed when no hold may wait any longer
	waiting  sync.WaitGroup // goroutines of holds

	mu      sync.Mutex // guards all below
	stopped bool       // stopping is closed
	file    *file
	books   *books
	holds   map[string]*hold
}

// New opens the ledger, takes over what it says, and makes a gateway that can serve. Errors say what to mend.
func New(cfg Config) (*Gateway, error) {
	if cfg.LedgerPath == "" {
		return nil, errors.New("gateway: LedgerPath is empty: name the file that keeps the ledger")
	}
	if cfg.HoldLimit < 0 || cfg.RetryAfter < 0 {
		return nil, fmt.Errorf("gateway: HoldLimit %s and RetryAfter %s must not be negative", cfg.HoldLimit, cfg.RetryAfter)
	}
	g := &Gateway{
		apiKey: cfg.APIKey, seed: cfg.Seed, holdLimit: cfg.HoldLimit, clock: cfg.Now, log: cfg.Logger,
		stopping: make(chan struct{}), books: newBooks(), holds: map[string]*hold{},
	}
	if g.holdLimit == 0 {
		g.holdLimit = defaultHoldLimit
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = defaultRetryAfter
	}
	g.retryAfter = int((cfg.RetryAfter + time.Second - 1) / time.Second)
	if g.clock == nil {
		g.clock = time.Now //nolint:forbidigo // the one place where the default clock is wired
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if g.file, err = openLedger(cfg.LedgerPath, g.books); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.handler = g.routes()
	return g, nil
}

// ServeHTTP answers one request. A server around it needs a write time-out above the hold limit.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// Run serves on l until ctx ends. Then held charges are made at once, calls under way are answered (for at most 10 s), and Run returns nil.
// It closes l. The gateway stays open for Close.
func (g *Gateway) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      g.holdLimit + 15*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() {
		defer close(served)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			served <- fmt.Errorf("gateway: serve on %s: %w", l.Addr(), err)
		}
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	g.endHolds()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	err := srv.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("gateway: calls were still under way %s after the end: %w", drainLimit, errors.Join(err, srv.Close()))
	}
	return errors.Join(err, <-served)
}

// Close makes the held charges, waits for them and closes the ledger. Calls that come later are answered 500.
func (g *Gateway) Close() error {
	g.endHolds()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.file.close(); err != nil {
		return fmt.Errorf("gateway: close ledger: %w", err)
	}
	return nil
}

// endHolds lets every hold charge now and waits for them; no new one can begin.
func (g *Gateway) endHolds() {
	g.mu.Lock() // a hold that is about to begin does so before, or sees that the gateway stops
	if !g.stopped {
		g.stopped = true
		close(g.stopping)
	}
	g.mu.Unlock()
	g.waiting.Wait()
}

// now is what gets written: UTC, milliseconds.
func (g *Gateway) now() time.Time { return g.clock().UTC().Truncate(time.Millisecond) }

func (g *Gateway) routes() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/v1/charges":     {http.MethodPost: g.postCharge, http.MethodGet: g.getCharges},
		"/v1/refunds":     {http.MethodPost: g.postRefund, http.MethodGet: g.getRefunds},
		"/v1/sim/release": {http.MethodPost: g.postRelease},
		"/v1/sim/calls":   {http.MethodGet: g.getCalls},
		"/healthz":        {http.MethodGet: g.getHealth},
	} {
		var allowed []string
		for method, handle := range methods {
			if path != "/healthz" {
				handle = g.authenticated(handle)
			}
			mux.HandleFunc(method+" "+path, handle)
			allowed = append(allowed, method)
		}
		mux.HandleFunc(path, notAllowed(allowed))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeFailure(w, &failure{
			Status: http.StatusNotFound, Type: typeInvalid, Code: "not_found",
			Message: "There is nothing at " + r.URL.Path + ". Charges are at /v1/charges, refunds at /v1/refunds.",
		})
	})
	return mux
}

func notAllowed(allowed []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeFailure(w, &failure{
			Status: http.StatusMethodNotAllowed, Type: typeInvalid, Code: "method_not_allowed",
			Message: r.Method + " is not possible here. Use " + strings.Join(allowed, " or ") + ".",
		})
	}
}

func (g *Gateway) authenticated(next http.HandlerFunc) http.HandlerFunc {
	if g.apiKey == "" {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		if subtle.ConstantTimeCompare([]byte(given), []byte("Bearer "+g.apiKey)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeFailure(w, &failure{
				Status: http.StatusUnauthorized, Type: typeAuthentication, Code: "authentication_failed", Param: "Authorization",
				Message: "The API key is missing or wrong. Send Authorization: Bearer and the key that the gateway was started with.",
			})
			return
		}
		next(w, r)
	}
}

func (g *Gateway) getHealth(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	broken := g.file.broken
	g.mu.Unlock()
	if broken != nil {
		writeFailure(w, &failure{Status: http.StatusServiceUnavailable, Type: typeAPI, Code: "ledger_unavailable", Message: broken.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
