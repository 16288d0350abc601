package localredis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	portTries  = 5
	startLimit = 20 * time.Second // loading an append-only file included
	pollEvery  = 10 * time.Millisecond
	askLimit   = 250 * time.Millisecond
	logName    = "redis.log"
)

// launch is how a server of our own is started; it stays the same over restarts.
type launch struct {
	binary string
	dir    string
	addr   string
	fsync  string
	conf   string // file of a Sentinel's configuration, which it rewrites itself; empty for a server with data
	extra  []string
	env    []string
}

func startProcess(ctx context.Context, binary string, opts Options) (*Server, error) {
	s := &Server{Kind: Process, launch: launch{binary: binary, dir: opts.Dir, fsync: opts.AppendFsync, extra: opts.ExtraArgs, env: opts.Env}}
	if s.launch.fsync == "" {
		s.launch.fsync = "everysec"
	}
	if err := s.makeDir(); err != nil {
		return nil, fmt.Errorf("local redis: make its directory: %w", err)
	}
	if opts.Sentinel != "" {
		s.launch.conf = filepath.Join(s.launch.dir, "sentinel.conf")
		if err := os.WriteFile(s.launch.conf, []byte(opts.Sentinel), 0o600); err != nil {
			return nil, fmt.Errorf("local redis: write a Sentinel's configuration: %w", errors.Join(err, s.launch.clean(s.ownedDir)))
		}
	}
	var err error
	for range portTries {
		if s.launch.addr, err = FreeAddr(ctx); err != nil {
			break
		}
		if s.proc, err = s.launch.start(ctx); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("local redis: start %s: %w", binary, errors.Join(err, s.launch.clean(s.ownedDir)))
	}
	s.URL = "redis://" + s.launch.addr + "/0"
	s.Version = s.proc.version
	return s, nil
}

func (s *Server) makeDir() (err error) {
	if s.launch.dir == "" {
		s.ownedDir = true
		s.launch.dir, err = os.MkdirTemp("", "stepwell-redis-")
		return err
	}
	if s.launch.dir, err = filepath.Abs(s.launch.dir); err != nil {
		return err
	}
	return os.MkdirAll(s.launch.dir, 0o700)
}

// clean removes the directory if Start made it.
func (l launch) clean(owned bool) error {
	if !owned {
		return nil
	}
	return os.RemoveAll(l.dir)
}

func (l launch) args() []string {
	host, port, _ := net.SplitHostPort(l.addr) // as FreeAddr joined them
	args := []string{"--bind", host, "--port", port, "--dir", l.dir, "--daemonize", "no"}
	if l.conf != "" {
		return append(append([]string{l.conf, "--sentinel"}, args...), l.extra...)
	}
	args = append(args, "--appendonly", "yes", "--appendfsync", l.fsync, "--save", "", "--maxmemory-policy", "noeviction")
	return append(args, l.extra...)
}

var errPortTaken = errors.New("its port was taken by another process")

// again starts the server on its old port. Where the system gives such ports to outgoing connections too, a client
// can have it for a moment; so a taken port is tried again.
func (l launch) again(ctx context.Context) (*process, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for try := 1; ; try++ {
		p, err := l.start(ctx)
		if try == portTries || !errors.Is(err, errPortTaken) {
			return p, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// start runs the server and waits until it answers with its own process ID: on a clash of ports somebody else would answer.
func (l launch) start(ctx context.Context) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	logStart := l.logSize()
	p, err := run(ctx, l.binary, l.args(), l.env, filepath.Join(l.dir, logName))
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := errors.New("no answer yet")
	for {
		who, err := l.ask(ctx)
		if err == nil && who.pid == p.pid() {
			p.version = who.version
			return p, nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-p.done:
			return nil, l.whyEnded(logStart)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("not ready on %s: %w, last answer: %w", l.addr, ctx.Err(), last), p.kill())
		}
	}
}

func (l launch) ask(ctx context.Context) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	// go-redis logs every refused connection to standard error; that nobody listens yet is no news here.
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return identity{}, err
	}
	if err := conn.Close(); err != nil {
		return identity{}, err
	}
	return ask(ctx, &redis.Options{
		Addr: l.addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DialTimeout: askLimit, ReadTimeout: askLimit,
		Protocol: 2, DisableIdentity: true, // no greeting: PING and INFO only
	})
}

func (l launch) logSize() int64 {
	info, err := os.Stat(filepath.Join(l.dir, logName))
	if err != nil {
		return 0
	}
	return info.Size()
}

// whyEnded tells from what the server said beyond that offset of its log.
func (l launch) whyEnded(from int64) error {
	text, err := os.ReadFile(filepath.Join(l.dir, logName))
	if err != nil || int64(len(text)) <= from {
		return errors.New("it ended at once and said nothing: check its arguments")
	}
	said := strings.TrimSpace(string(text[from:]))
	if strings.Contains(said, "Address already in use") {
		return errPortTaken
	}
	const tail = 600 // bytes: the last few lines
	return fmt.Errorf("it ended at once, it said: %s", said[max(0, len(said)-tail):])
}
