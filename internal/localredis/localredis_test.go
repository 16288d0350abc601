//go:build unix

package localredis_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client connects for one try of at most half a second a command.
func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServerIsReadyAndDurable(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{})
	if s.Kind != localredis.Process || s.PID() == 0 || s.Version == "" || !strings.HasPrefix(s.URL, "redis://127.0.0.1:") {
		t.Errorf("kind %s, PID %d, version %s, URL %s", s.Kind, s.PID(), s.Version, s.URL)
	}
	c := client(t, s.URL)
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "bind": "127.0.0.1",
	} {
		got, err := c.ConfigGet(t.Context(), name).Result()
		must(t, err)
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestExtraArgsAndFsync(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{AppendFsync: "always", ExtraArgs: []string{"--maxmemory", "50mb"}})
	got, err := client(t, s.URL).ConfigGet(t.Context(), "*m*").Result()
	must(t, err)
	if got["maxmemory"] != "52428800" {
		t.Errorf("maxmemory %s", got["maxmemory"])
	}
	got, err = client(t, s.URL).ConfigGet(t.Context(), "appendfsync").Result()
	must(t, err)
	if got["appendfsync"] != "always" {
		t.Errorf("appendfsync %s", got["appendfsync"])
	}
}

func TestKillAndRestartKeepTheData(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{AppendFsync: "always"})
	c := client(t, s.URL)
	must(t, c.Set(t.Context(), "k", "v", 0).Err())
	pid := s.PID()
	must(t, s.Kill())
	if s.PID() != 0 {
		t.Error("it has a PID after the kill")
	}
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("it answers after the kill")
	}
	must(t, s.Restart(t.Context()))
	if got, err := c.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("after kill and restart: %q, %v", got, err)
	}
	if s.PID() == pid || s.PID() == 0 {
		t.Errorf("PID %d after %d", s.PID(), pid)
	}
	must(t, s.Restart(t.Context())) // of a running one
	if got, err := c.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("after restart: %q, %v", got, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{})
	c := client(t, s.URL)
	must(t, c.Ping(t.Context()).Err())
	must(t, s.Pause())
	err := c.Ping(t.Context()).Err()
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("a paused server: %v, want a time-out", err)
	}
	must(t, s.Resume())
	must(t, c.Ping(t.Context()).Err())
	must(t, s.Pause()) // and it can be closed while paused, by the clean-up
}

func TestCloseEndsTheProcessAndKeepsOrRemovesTheDirectory(t *testing.T) {
	t.Parallel()
	if localredis.Find() == "" {
		t.Skip("no real Redis")
	}
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "deep", "er")} {
		s, err := localredis.Start(t.Context(), localredis.Options{Dir: dir})
		must(t, err)
		got, err := client(t, s.URL).ConfigGet(t.Context(), "dir").Result()
		must(t, err)
		pid := s.PID()
		must(t, s.Close(t.Context()))
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", pid, err)
		}
		_, err = os.Stat(got["dir"])
		if kept := err == nil; kept != (dir != "") {
			t.Errorf("directory %s, given %q: %v", got["dir"], dir, err)
		}
		must(t, s.Close(t.Context())) // again
		if err := s.Restart(t.Context()); err == nil {
			t.Error("a closed server was restarted")
		}
	}
}

func TestCloseInAHurryKills(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, s.Close(ctx))
	if s.PID() != 0 {
		t.Error("it still runs")
	}
}

func TestRestartOnATakenPort(t *testing.T) {
	t.Parallel()
	s := redistest.Own(t, localredis.Options{})
	must(t, s.Kill())
	squatter, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL, "redis://"), "/0"))
	must(t, err)
	if err := s.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "taken by another process") {
		t.Errorf("restart on a taken port: %v", err)
	}
	must(t, squatter.Close())
	must(t, s.Restart(t.Context()))
	must(t, client(t, s.URL).Ping(t.Context()).Err())
}

func TestServersSideBySide(t *testing.T) {
	t.Parallel()
	a, b := redistest.Own(t, localredis.Options{}), redistest.Own(t, localredis.Options{})
	must(t, client(t, a.URL).Set(t.Context(), "k", "a", 0).Err())
	if err := client(t, b.URL).Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the second server sees the first one's key: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	if localredis.Find() == "" {
		t.Skip("no real Redis")
	}
	for name, tc := range map[string]struct {
		opts localredis.Options
		says string
	}{
		"fsync":        {localredis.Options{AppendFsync: "never"}, "always, everysec, no"},
		"argument":     {localredis.Options{ExtraArgs: []string{"--no-such-option", "1"}}, "no-such-option"},
		"URL":          {localredis.Options{URL: "redis://user:secret@:nonsense"}, "redis://[user"},
		"nobody there": {localredis.Options{URL: "redis://127.0.0.1:1/0"}, "unset STEPWELL_REDIS_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := localredis.Start(t.Context(), tc.opts)
			if err == nil {
				_ = s.Close(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want …%s…", err, tc.says)
			}
		})
	}
}

func TestExternalIsUsedAndLeftAlone(t *testing.T) {
	t.Parallel()
	own := redistest.Own(t, localredis.Options{})
	s, err := localredis.Start(t.Context(), localredis.Options{URL: own.URL, RequireReal: true})
	must(t, err)
	if s.Kind != localredis.External || s.URL != own.URL || s.Version != own.Version || s.PID() != 0 {
		t.Errorf("kind %s, URL %s, version %s, PID %d", s.Kind, s.URL, s.Version, s.PID())
	}
	for _, verb := range []func() error{s.Kill, s.Pause, s.Resume, func() error { return s.Restart(t.Context()) }} {
		if err := verb(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want ErrUnsupported", err)
		}
	}
	must(t, s.Close(t.Context()))
	must(t, client(t, own.URL).Ping(t.Context()).Err())
}

func TestClusterURLIsPassedOn(t *testing.T) {
	t.Parallel()
	const url = "redis+cluster://127.0.0.1:1,127.0.0.1:2"
	s, err := localredis.Start(t.Context(), localredis.Options{URL: url})
	must(t, err)
	if s.URL != url {
		t.Errorf("URL %s", s.URL)
	}
}

func TestEmbedded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := localredis.Start(t.Context(), localredis.Options{RequireReal: true}); err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("required and absent: %v", err)
	}
	var warnings []string
	s, err := localredis.Start(t.Context(), localredis.Options{Warn: func(w string) { warnings = append(warnings, w) }})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close(context.WithoutCancel(t.Context()))) })
	if s.Kind != localredis.Embedded || s.PID() != 0 {
		t.Errorf("kind %s, PID %d", s.Kind, s.PID())
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "NOT DURABLE") {
		t.Errorf("warnings %q", warnings)
	}
	if err := s.Kill(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("kill: %v", err)
	}
	expires(t, client(t, s.URL))
}

// expires asserts that a key with a short life ends by itself.
func expires(t *testing.T, c *redis.Client) {
	t.Helper()
	must(t, c.Set(t.Context(), "short", "v", 50*time.Millisecond).Err())
	must(t, c.Set(t.Context(), "long", "v", time.Hour).Err())
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !errors.Is(c.Get(t.Context(), "short").Err(), redis.Nil) {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the key does not expire")
		}
	}
	must(t, c.Get(t.Context(), "long").Err())
}
