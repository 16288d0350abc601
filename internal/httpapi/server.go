package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// Limits of a connection. A client that is slower than this is cut off.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second  // of a whole request; at 512 KiB that is 17 KiB/s
	writeTimeout      = 60 * time.Second  // from the end of the header to the end of the answer
	idleTimeout       = 120 * time.Second // longer than that of usual load balancers, which must be the first to close
	requestTimeout    = 30 * time.Second  // of a call to the engine; ends before writeTimeout
	maxHeaderBytes    = 64 << 10
)

// DefaultGrace is how long [Server.Run] waits for running requests when its context ends.
const DefaultGrace = 20 * time.Second

// Deps are what a [Server] is made of.
type Deps struct {
	Engine *engine.Engine // required
	// Metrics serves /metrics, Asynqmon everything below /asynqmon/ (see [NewAsynqmon]); nil leaves them out.
	Metrics, Asynqmon http.Handler
	// Extra adds routes of others to the API and its document; nil adds none.
	Extra func(huma.API)
	// Log gets failures and, on level debug, every request; nil discards.
	Log *slog.Logger
	// Version is that of the program.
	Version string
	// Now is the local clock, for the log; nil means time.Now.
	Now func() time.Time
	// Grace is how long Run waits for running requests in the end; 0 means [DefaultGrace].
	Grace time.Duration
}

// Server is the API.
type Server struct {
	deps     Deps
	engine   *engine.Engine
	log      *slog.Logger
	handler  http.Handler
	openapi  []byte
	draining atomic.Bool
}

// New returns a Server, which is an [http.Handler]. Nothing listens until [Server.Run].
func New(deps Deps) (*Server, error) {
	if deps.Engine == nil {
		return nil, errors.New("httpapi: an engine is required")
	}
	if deps.Grace < 0 {
		return nil, fmt.Errorf("%w: httpapi: grace %s must not be negative", dag.ErrInvalid, deps.Grace)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now //nolint:forbidigo // the default
	}
	deps.Grace = cmp.Or(deps.Grace, DefaultGrace)
	deps.Version = cmp.Or(deps.Version, "dev")
	setHuma()
	s := &Server{deps: deps, engine: deps.Engine, log: deps.Log}
	router := chi.NewRouter()
	api := s.routes(router)
	if deps.Extra != nil {
		deps.Extra(api)
	}
	var err error
	if s.openapi, err = api.OpenAPI().MarshalJSON(); err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	s.handler = s.wrap(router)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// OpenAPI is the API's document, OpenAPI 3.1 in JSON.
func (s *Server) OpenAPI() []byte { return s.openapi }

// Run serves ln until ctx ends, then waits up to the grace time for running requests. It closes ln. It returns nil after a clean end.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }, // running requests are to end by themselves
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.deps.Grace) // ctx itself stays what BaseContext reads
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		_ = server.Close() // cuts off what did not end in time
	}
	served := <-failed
	if err == nil && !errors.Is(served, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), served)
	}
	if err != nil {
		return fmt.Errorf("end HTTP on %s: requests were still running after %s: %w", ln.Addr(), s.deps.Grace, err)
	}
	return nil
}
