package localredis

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Kind tells what stands behind a Server.
type Kind string

// The kinds, in the order in which Start prefers them.
const (
	External Kind = "external" // somebody else's, by URL
	Process  Kind = "server"   // redis-server or valkey-server, started by us
	Embedded Kind = "embedded" // miniredis in this process
)

// Options say what to look for. The zero value finds or embeds a Redis.
type Options struct {
	URL         string   // use this Redis (STEPWELL_REDIS_URL); empty = one of our own
	Dir         string   // data directory of our own server, made if needed and kept; empty = a temporary one
	RequireReal bool     // an error instead of an embedded Redis (REQUIRE_REDIS=1)
	AppendFsync string   // always, everysec or no; empty = everysec
	ExtraArgs   []string // further arguments for our own server, such as "--maxmemory", "100mb"
	Env         []string // KEY=value, for our own server besides our environment
	// Sentinel is the configuration of a Sentinel, "sentinel monitor …" and so on; with it our own server is one, and AppendFsync has no meaning.
	Sentinel string
	Warn     func(string) // told when the Redis is not durable; nil = silent
}

// Server is a running Redis. Its methods may be called from several goroutines.
type Server struct {
	URL     string // redis://…
	Kind    Kind
	Version string // as the server reports it; empty if it was not asked (sentinel and cluster URLs, embedded)

	mu       sync.Mutex // one of the methods below at a time
	mini     *miniredis.Miniredis
	proc     *process
	launch   launch
	ownedDir bool
	closed   bool
}

// dialLimit bounds the first question to a Redis that somebody else runs.
const dialLimit = 5 * time.Second

// Start finds or starts a Redis and returns when it answers. ctx bounds the start, not the life of the server. The caller owes a Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if !slices.Contains([]string{"", "always", "everysec", "no"}, opts.AppendFsync) {
		return nil, fmt.Errorf("local redis: AppendFsync %q is none of always, everysec, no", opts.AppendFsync)
	}
	if opts.URL != "" {
		return external(ctx, opts.URL)
	}
	if binary := Find(); binary != "" {
		return startProcess(ctx, binary, opts)
	}
	if opts.RequireReal {
		return nil, errors.New("local redis: neither redis-server nor valkey-server is in PATH, and a real one is required (REQUIRE_REDIS=1): " + mend)
	}
	return embed(opts.Warn)
}

const mend = "install one (apt-get install redis-server, dnf install valkey, brew install redis) or set STEPWELL_REDIS_URL to one that runs"

// Find returns the path of the server that Start would run, empty if none is in PATH.
func Find() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// external asks a plain URL whether a Redis answers. Sentinel and cluster URLs are for the caller's own client to check.
func external(ctx context.Context, url string) (*Server, error) {
	s := &Server{URL: url, Kind: External}
	scheme, _, _ := strings.Cut(url, "://")
	if !slices.Contains([]string{"redis", "rediss", "unix"}, scheme) {
		return s, nil
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		// The parser's error may quote the URL and with it a password.
		return nil, errors.New("local redis: the given URL is not a Redis URL: write redis://[user:password@]host:port/db")
	}
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true // one try, no longer than ctx
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	who, err := ask(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("local redis: ask the Redis at %s (start it, or unset STEPWELL_REDIS_URL to get one): %w", o.Addr, err)
	}
	s.Version = who.version
	return s, nil
}

func embed(warn func(string)) (*Server, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // by itself time stands still in it
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("local redis: start the embedded one: %w", err)
	}
	if warn != nil {
		warn("no redis-server or valkey-server in PATH: using an embedded Redis, which is NOT DURABLE (all runs are lost when this process ends); " + mend)
	}
	return &Server{URL: "redis://" + m.Addr() + "/0", Kind: Embedded, mini: m}, nil
}

// PID is the process ID of a server of our own while it runs, else 0. It changes with Restart.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.proc.ended() {
		return 0
	}
	return s.proc.pid()
}

// Close ends a Redis that Start began and leaves an external one alone. When ctx ends before the server has, it is killed. Closing again does nothing.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.mini != nil {
		s.mini.Close()
	}
	if s.proc == nil {
		return nil
	}
	return errors.Join(s.proc.stop(ctx), s.launch.clean(s.ownedDir))
}

// Kill ends the server as kill -9 does and returns when it is gone. What is not in the append-only file is lost.
func (s *Server) Kill() error {
	return s.control("kill", func(p *process) error { return p.kill() })
}

// Pause stops the server from running without closing its connections; Resume lets it go on.
func (s *Server) Pause() error {
	return s.control("pause", func(p *process) error { return p.pause() })
}

// Resume ends a Pause.
func (s *Server) Resume() error {
	return s.control("resume", func(p *process) error { return p.resume() })
}

// Restart ends the server, if it still runs, in good order and starts it again on the same port and directory. It returns when the server answers.
func (s *Server) Restart(ctx context.Context) error {
	return s.control("restart", func(p *process) error {
		if err := p.stop(ctx); err != nil {
			return err
		}
		next, err := s.launch.again(ctx)
		if err != nil {
			return err
		}
		s.proc = next
		return nil
	})
}

// control does something to a server of our own. Other kinds answer errors.ErrUnsupported.
func (s *Server) control(verb string, do func(*process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return fmt.Errorf("local redis: %s a Redis of kind %s: %w", verb, s.Kind, errors.ErrUnsupported)
	}
	if s.closed {
		return fmt.Errorf("local redis: %s: it is closed", verb)
	}
	if err := do(s.proc); err != nil {
		return fmt.Errorf("local redis: %s: %w", verb, err)
	}
	return nil
}
