package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// readyTimeout bounds a readiness probe; orchestrators usually wait 1 s.
const readyTimeout = 900 * time.Millisecond

// routes fills the router and returns the API on it.
func (s *Server) routes(router chi.Router) huma.API {
	router.Use(middleware.GetHead)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		newProblem(http.StatusNotFound, "not_found", "there is nothing at this path; /docs lists what there is").write(w, r)
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		allowed := allowedMethods(router, r.URL.Path)
		w.Header().Set("Allow", allowed)
		newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not know "+r.Method+"; use "+allowed).write(w, r)
	})
	router.Get("/openapi.json", s.serveOpenAPI)
	router.Get("/", http.RedirectHandler("/docs", http.StatusTemporaryRedirect).ServeHTTP)
	docRoutes(router)
	if s.deps.Metrics != nil {
		router.Method(http.MethodGet, "/metrics", s.deps.Metrics)
	}
	if s.deps.Asynqmon != nil {
		router.Mount(asynqmonPath, framed(s.deps.Asynqmon))
		router.Get(asynqmonPath, http.RedirectHandler(asynqmonPath+"/", http.StatusTemporaryRedirect).ServeHTTP)
	}
	api := humachi.New(router, s.config())
	s.runRoutes(api)
	s.verbRoutes(api)
	s.workflowRoutes(api)
	s.deadLetterRoutes(api)
	s.systemRoutes(api)
	return api
}

func (s *Server) config() huma.Config {
	c := huma.DefaultConfig("Stepwell", s.deps.Version)
	c.Info.Description = "Runs multi-step workflows that survive crashes. Times are RFC 3339 with milliseconds, durations are text such as 1m30s. Errors are problems (RFC 9457) with a stable code."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // served by this package
	c.CreateHooks = nil                                   // would add $schema to every body
	c.Transformers = []huma.Transformer{addRequestID}
	c.Tags = []*huma.Tag{
		{Name: "runs", Description: "Start and watch runs, and tell them what to do."},
		{Name: "workflows", Description: "What can be run."},
		{Name: "dead letters", Description: "Failed steps that wait for a person."},
		{Name: "system", Description: "Probes and the state of the installation."},
	}
	return c
}

// addRequestID completes the problems that huma writes. They may be shared, so a copy is changed.
func addRequestID(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*Problem)
	if !ok || p.RequestID != "" {
		return v, nil
	}
	withID := *p
	withID.RequestID = requestOf(ctx.Context()).id
	return &withID, nil
}

func allowedMethods(router chi.Router, path string) string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if router.Match(chi.NewRouteContext(), m, path) || m == http.MethodHead && slices.Contains(out, http.MethodGet) {
			out = append(out, m)
		}
	}
	return strings.Join(out, ", ")
}

// framed keeps other sites from showing a page in a frame and having it clicked.
func framed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.openapi) // nobody is left to tell
}

type (
	probeOutput struct {
		Body struct {
			Status string `json:"status" example:"ok"`
		}
	}
	statusOutput struct{ Body statusBody }
)

func (s *Server) systemRoutes(api huma.API) {
	live := operation(http.MethodGet, "/healthz", "system", "healthz", "Is the process alive?")
	live.Description = "Says nothing of Redis: a restart would not help."
	live.Errors = nil
	huma.Register(api, live, func(context.Context, *struct{}) (*probeOutput, error) { return probe("ok"), nil })

	ready := operation(http.MethodGet, "/readyz", "system", "readyz", "Can the process serve?")
	ready.Description = "503 while Redis cannot be asked and while the process ends."
	ready.Errors = []int{http.StatusServiceUnavailable}
	huma.Register(api, ready, s.ready)

	huma.Register(api, operation(http.MethodGet, "/v1/status", "system", "get-status", "See the installation"), s.status)
}

func probe(status string) *probeOutput {
	out := &probeOutput{}
	out.Body.Status = status
	return out
}

func (s *Server) ready(ctx context.Context, _ *struct{}) (*probeOutput, error) {
	if s.draining.Load() {
		return nil, newProblem(http.StatusServiceUnavailable, "draining", "the process is ending")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if _, err := s.engine.Store().Info(ctx); err != nil {
		return nil, err
	}
	return probe("ready"), nil
}

func (s *Server) status(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	status, err := s.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &statusOutput{Body: statusOf(s.deps.Version, &status)}, nil
}
