package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// cutter is a proxy that throws away every second reply of a script and the connection with it, after the server has sent it.
type cutter struct {
	listener net.Listener
	target   string
	on       atomic.Bool
	replies  atomic.Int64
	cuts     atomic.Int64
	wg       sync.WaitGroup
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, target: target}
	c.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	var pending atomic.Bool // a script was called on this connection
	c.wg.Go(func() {
		defer server.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			pending.Store(bytes.Contains(buffer[:n], []byte("evalsha")))
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if c.on.Load() && pending.Load() && c.replies.Add(1)%2 == 1 {
			c.cuts.Add(1)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestLostRepliesAreSentAgain tells the same story twice, once with every call's reply lost: go-redis sends the call again, and the state must
// be the same. The control without retries sees the error.
func TestLostRepliesAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := client.(*redis.Client).Options().Addr
			want := newSubject(t, client, redistest.Prefix(t))
			tell(t, want)
			proxy := newCutter(t, addr)
			got := newSubject(t, connect(t, "redis://"+proxy.listener.Addr().String()), redistest.Prefix(t))
			proxy.on.Store(true)
			tell(t, got)
			proxy.on.Store(false)
			if proxy.cuts.Load() < 25 {
				t.Errorf("only %d replies were lost", proxy.cuts.Load())
			}
			compare(t, want, got)

			once := redis.NewClient(&redis.Options{Addr: proxy.listener.Addr().String(), MaxRetries: -1})
			t.Cleanup(func() { _ = once.Close() })
			control := newSubject(t, once, redistest.Prefix(t))
			proxy.on.Store(true)
			if _, err := control.Expire(t.Context(), runExpired); !errors.Is(err, engine.ErrUnavailable) {
				t.Errorf("without retries: %v, want ErrUnavailable", err)
			}
			proxy.on.Store(false)
		})
	}
}

func compare(t *testing.T, want, got *subject) {
	t.Helper()
	a, err := want.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := got.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Normalize()
	b.Normalize()
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("states (-direct +lost replies):\n%s", diff)
	}
}

// TestForgottenScriptsAreLoadedAgain flushes the scripts before every call of the story. The control is a bare EVALSHA, which fails.
func TestForgottenScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	client := connect(t, "redis://"+redistest.Mini(t).Addr())
	s := newSubject(t, client, redistest.Prefix(t))
	client.AddHook(flusher{client: connect(t, "redis://"+client.(*redis.Client).Options().Addr), armed: &atomic.Bool{}})
	tell(t, s)
	if _, _, err := s.Waiting(t.Context()); err != nil {
		t.Error(err)
	}
	err := client.EvalSha(t.Context(), "ffffffffffffffffffffffffffffffffffffffff", nil).Err()
	if !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("%v, want NOSCRIPT", err)
	}
}

// flusher makes the server forget all scripts before every EVALSHA that does not follow a load.
type flusher struct {
	client redis.UniversalClient
	armed  *atomic.Bool
}

func (f flusher) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f flusher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.before(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (f flusher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		f.before(ctx, cmds[0])
		return next(ctx, cmds)
	}
}

func (f flusher) before(ctx context.Context, cmd redis.Cmder) {
	switch {
	case cmd.Name() == "script":
		f.armed.Store(false)
	case strings.EqualFold(cmd.Name(), "evalsha"):
		if f.armed.Swap(true) {
			f.client.ScriptFlush(ctx)
		}
	}
}

func TestErrorsAreMapped(t *testing.T) {
	t.Parallel()
	s := newSubject(t, connect(t, redistest.URL(t)), redistest.Prefix(t))
	tell(t, s)
	t.Run("wrong type", func(t *testing.T) {
		t.Parallel()
		const id = "run_11_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
		key := redisstore.Key(s.prefix, "steps", 0x11, id)
		if err := s.client.Set(t.Context(), redisstore.Key(s.prefix, "steps", 0x11, id), "text", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.client.HSet(t.Context(), redisstore.Key(s.prefix, "run", 0x11, id), "state", "running").Err(); err != nil {
			t.Fatal(err)
		}
		_, err := s.Release(t.Context(), dag.ClaimRef{Run: id, Step: "check", Nonce: "n"})
		if err == nil || errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "key "+key+" is a string and must be a hash") {
			t.Errorf("%v, want one that names %s", err, key)
		}
	})
	t.Run("wrong type behind a dead letter of no run", func(t *testing.T) {
		t.Parallel()
		const gone, broken = "run_12_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA", "run_13_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA"
		client := connect(t, redistest.URL(t))
		s := newSubject(t, client, redistest.Prefix(t))
		key := redisstore.Key(s.prefix, "steps", 0x13, broken)
		for p, id := range map[int]string{0x12: gone, 0x13: broken} {
			letter := redis.Z{Score: float64(0x20 - p), Member: id + ":check"}
			if err := client.ZAdd(t.Context(), redisstore.Key(s.prefix, "dlq", p, id), letter).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Set(t.Context(), key, "text", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeadLetters(t.Context(), dag.DeadLetterQuery{Limit: 10}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("%v, want WRONGTYPE", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Expire(ctx, runExpired)
		if !errors.Is(err, engine.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want ErrUnavailable and context.Canceled", err)
		}
	})
	t.Run("passing", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"LOADING x", "READONLY x", "CLUSTERDOWN x", "TRYAGAIN x", "MASTERDOWN x", "ERR max number of clients reached"} {
			if err := redisstore.MapError(redisError(text)); !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want ErrUnavailable with its cause", text, err)
			}
		}
		if err := redisstore.MapError(io.ErrUnexpectedEOF); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("lost connection: %v", err)
		}
		if err := redisstore.MapError(redisError("ERR syntax")); errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("syntax error: %v, must not be ErrUnavailable", err)
		}
	})
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// TestMemoryLimit fills a server of its own: new runs are refused, work goes on.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{ExtraArgs: []string{"--maxmemory-policy", "noeviction"}})
	client := connect(t, server.URL)
	s := newSubject(t, client, redistest.Prefix(t))
	st := tell(t, s)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := s.CreateRun(t.Context(), dag.NewRun{ID: "run_01_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA", Graph: st.graph, Timeout: time.Hour})
	if !errors.Is(err, engine.ErrMemory) {
		t.Errorf("create at the limit: %v, want ErrMemory", err)
	}
	beat, err := s.Heartbeat(t.Context(), dag.HeartbeatRequest{
		ClaimRef: dag.ClaimRef{Run: runRunning, Step: "check", Def: st.graph.Digest, Nonce: "n3"}, TTL: time.Minute,
	})
	if err != nil || beat.Lost {
		t.Errorf("heartbeat at the limit: %+v, %v", beat, err)
	}
	got, err := s.Complete(t.Context(), dag.CompleteRequest{
		ClaimRef: dag.ClaimRef{Run: runRunning, Step: "check", Def: st.graph.Digest, Nonce: "n3"}, Output: []byte("1"),
	})
	if err != nil || got.Reply != dag.ReplyOK {
		t.Errorf("complete at the limit: %+v, %v", got, err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTime(t.Context(), enginetest.Epoch()); err != nil {
		t.Fatal(err)
	}
}
