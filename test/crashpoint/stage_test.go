//go:build integration

package crashpoint_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/gatewaysim"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// phoneCase is the product that all orders are for, and plenty how many there are of it.
const (
	phoneCase = 8
	plenty    = 1_000_000
)

// stage is the world around the processes: one Redis, one shop, one gateway and one mail server for all cases, which keep apart by their prefixes
// and runs, and the server by which processes talk to their directors.
type stage struct {
	dir    string
	binary string // the role's
	redis  *localredis.Server
	client redis.UniversalClient
	graphs map[string]*dag.Graph // of the flows

	gateway, ledger string // URL and file
	mails           *demo.MailSink
	shop            *checkout.Shop
	stock           map[int64]int64 // on the shelves at first, by product
	directors       string          // URL

	mu     sync.Mutex
	actors map[string]*actor // by number
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), redis: redistest.Own(t, localredis.Options{}), actors: map[string]*actor{}, graphs: map[string]*dag.Graph{}}
	s.binary = buildRoles(t, s.dir)
	var err error
	if s.client, err = redisstore.Connect(redisstore.Options{URL: s.redis.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	all, err := flows()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		if s.graphs[w.FullName()], err = dag.Compile(w); err != nil {
			t.Fatal(err)
		}
	}
	s.openShop(t)
	if s.mails, err = demo.StartMailSink(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.mails.Close(); err != nil {
			t.Error(err)
		}
	})
	s.openGateway(t)
	s.openDirectors(t)
	return s
}

// buildRoles compiles this test binary once more, without the race detector, which would cost the many processes most of their time.
func buildRoles(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "roles")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags=integration", "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the roles: %v\n%s", err, out)
	}
	return path
}

func (s *stage) dsn() string { return "sqlite:" + filepath.Join(s.dir, "shop.db") }

func (s *stage) openShop(t *testing.T) {
	t.Helper()
	var err error
	if s.shop, err = checkout.Open(t.Context(), s.dsn(), checkout.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.shelves(context.WithoutCancel(t.Context())), s.shop.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.shop.Restock(t.Context(), phoneCase, plenty); err != nil {
		t.Fatal(err)
	}
	products, err := s.shop.Stock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.stock = map[int64]int64{}
	for _, p := range products {
		s.stock[p.ID] = p.Stock
	}
}

func (s *stage) openGateway(t *testing.T) {
	t.Helper()
	s.ledger = filepath.Join(s.dir, "gateway.jsonl")
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: s.ledger})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	s.gateway = "http://" + l.Addr().String()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- g.Run(ctx, l) }()
	t.Cleanup(func() {
		end()
		if err := errors.Join(<-served, g.Close()); err != nil {
			t.Error(err)
		}
	})
}

func (s *stage) openDirectors(t *testing.T) {
	t.Helper()
	l := listen(t)
	s.directors = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{actor}/{what}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		a := s.actors[r.PathValue("actor")]
		s.mu.Unlock()
		if a != nil {
			a.serve(w, r)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		err := server.Close()
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// part says which process to start.
type part struct {
	role, redis, prefix, flow string
	off                       []string
	delay                     time.Duration // from its being ready to the start of the run
	director                  *director
}

// actor is a process on the stage, and what it told so far.
type actor struct {
	part
	process *demo.Process
	started chan string   // the run that its start was answered with
	ended   chan struct{} // closed when a run has ended in it
	once    sync.Once
}

// enter starts a process. The caller owes a Kill.
func (s *stage) enter(p part) (*actor, error) {
	a := &actor{part: p, started: make(chan string, 1), ended: make(chan struct{})}
	s.mu.Lock()
	name := strconv.Itoa(len(s.actors))
	s.actors[name] = a
	s.mu.Unlock()
	proc, err := demo.StartProcess(name+" "+p.role, demo.Command{Binary: s.binary, LogDir: s.dir, Env: []string{
		envRole + "=" + p.role, envRedis + "=" + p.redis, envPrefix + "=" + p.prefix, envStage + "=" + s.directors + "/" + name,
		envGateway + "=" + s.gateway, envMail + "=" + s.mails.Addr, envShop + "=" + s.dsn(), envFlow + "=" + p.flow, envOff + "=" + strings.Join(p.off, ","),
		"GOMAXPROCS=2",
	}})
	if err != nil {
		return nil, err
	}
	a.process = proc
	return a, nil
}

// serve hears what the process tells.
func (a *actor) serve(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("what") {
	case "ready":
		select {
		case <-time.After(a.delay):
		case <-r.Context().Done():
			return
		}
		a.director.setOpen(true)
	case "started":
		a.started <- r.FormValue("run")
	case "ended":
		a.once.Do(func() { close(a.ended) })
	case "outside":
		a.director.outside(w, r)
	}
}
