package redisstore_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestOpenAccepts(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		var warnings []string
		cfg := redisstore.Config{Prefix: redistest.Prefix(t), Warn: func(w string) { warnings = append(warnings, w) }}
		for range 2 { // the second finds what the first has written
			if _, err := redisstore.Open(t.Context(), client, cfg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(warnings) > 0 {
			t.Errorf("%s: warnings %q", name, warnings)
		}
		got, err := client.HGetAll(t.Context(), "{"+cfg.Prefix+"}:install").Result()
		if err != nil || got["schema"] != "1" || got["partitions"] != "64" || len(got) != 2 {
			t.Errorf("%s: installation %v, %v", name, got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.URL(t))
	late := func() time.Time { return time.Now().Add(time.Minute) }
	for name, c := range map[string]struct {
		cfg   redisstore.Config
		field string // of the installation, set to 7
		text  string
		dev   bool // a warning in dev
	}{
		"prefix":     {cfg: redisstore.Config{Prefix: "a b"}, text: "1 to 16 of a-z, 0-9 and -"},
		"long":       {cfg: redisstore.Config{Prefix: "abcdefghijklmnopq"}, text: "1 to 16 of a-z, 0-9 and -"},
		"clock":      {cfg: redisstore.Config{Now: late}, text: "set them by NTP", dev: true},
		"schema":     {field: "schema", text: "use the release that made it, or another redis.prefix"},
		"partitions": {field: "partitions", text: "says partitions 7, this release has 64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.cfg.Prefix == "" {
				c.cfg.Prefix = redistest.Prefix(t)
			}
			if c.field != "" {
				if err := client.HSet(t.Context(), "{"+c.cfg.Prefix+"}:install", c.field, "7").Err(); err != nil {
					t.Fatal(err)
				}
			}
			_, err := redisstore.Open(t.Context(), client, c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q", err, c.text)
			}
			var warnings []string
			c.cfg.Dev, c.cfg.Warn = true, func(w string) { warnings = append(warnings, w) }
			_, err = redisstore.Open(t.Context(), client, c.cfg)
			if warned := slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, c.text) }); (err == nil) != c.dev || warned != c.dev {
				t.Errorf("in dev: %v, warnings %q", err, warnings)
			}
		})
	}
}

func TestOpenRefusesAnEvictingServer(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{ExtraArgs: []string{"--maxmemory-policy", "allkeys-lru"}})
	client := connect(t, server.URL)
	_, err := redisstore.Open(t.Context(), client, redisstore.Config{})
	if err == nil || !strings.Contains(err.Error(), "config set maxmemory-policy noeviction") {
		t.Errorf("%v, want one that says what to set", err)
	}
	if errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("%v: the server is available", err)
	}
	if keys, err := client.DBSize(t.Context()).Result(); err != nil || keys != 0 {
		t.Errorf("%d keys after the refusal, %v", keys, err)
	}
	warned := false
	if _, err := redisstore.Open(t.Context(), client, redisstore.Config{Dev: true, Warn: func(string) { warned = true }}); err != nil || !warned {
		t.Errorf("in dev: %v, warned: %t", err, warned)
	}
}

func TestOpenAsksOnlyForWhatItMay(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, localredis.Options{})
	admin := connect(t, server.URL)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	client := connect(t, strings.Replace(server.URL, "redis://", "redis://app:pw@", 1))
	var warnings []string
	s, err := redisstore.Open(t.Context(), client, redisstore.Config{Warn: func(w string) { warnings = append(warnings, w) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], "denies INFO") || !strings.Contains(warnings[1], "see to it that it is noeviction") {
		t.Errorf("warnings: %q", warnings)
	}
	if m, err := s.MemoryUse(t.Context()); err != nil || m != (dag.Memory{}) {
		t.Errorf("memory %+v, %v, want nothing known", m, err)
	}
	info, err := s.Info(t.Context())
	if err != nil || info.Persistence != "unknown" {
		t.Errorf("info %+v, %v", info, err)
	}
	wrong := connect(t, strings.Replace(server.URL, "redis://", "redis://app:wrong@", 1))
	if _, err := redisstore.Open(t.Context(), wrong, redisstore.Config{}); err == nil || !strings.Contains(err.Error(), "refuses the user name or password") ||
		strings.Contains(err.Error(), ":wrong@") {
		t.Errorf("wrong password: %v", err)
	}
}

// TestOpenOnManagedRedis has a server without CONFIG, as several providers run it: INFO tells enough.
func TestOpenOnManagedRedis(t *testing.T) {
	t.Parallel()
	for policy, ok := range map[string]bool{"noeviction": true, "volatile-lru": false} {
		managed := redistest.Own(t, localredis.Options{ExtraArgs: []string{"--maxmemory-policy", policy, "--maxmemory", "50mb", "--rename-command", "CONFIG", ""}})
		client := connect(t, managed.URL)
		warn := func(w string) { t.Errorf("warning %q", w) }
		s, err := redisstore.Open(t.Context(), client, redisstore.Config{Warn: warn})
		if (err == nil) != ok || (err != nil && !strings.Contains(err.Error(), policy)) {
			t.Errorf("%s: %v", policy, err)
		}
		if !ok {
			continue
		}
		if m, err := s.MemoryUse(t.Context()); err != nil || m.Max != 50<<20 || m.Used < 100<<10 || m.Used > m.Max {
			t.Errorf("memory %+v, %v", m, err)
		}
	}
}

// TestOpenRefusesAnOldServer asks one that says it is Redis 6.2.
func TestOpenRefusesAnOldServer(t *testing.T) {
	t.Parallel()
	old, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.Close)
	for name, reply := range map[string]func(c *server.Peer){
		"PING": func(c *server.Peer) { c.WriteInline("PONG") },
		"INFO": func(c *server.Peer) { c.WriteBulk("redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\n") },
	} {
		if err := old.Register(name, func(c *server.Peer, _ string, _ []string) { reply(c) }); err != nil {
			t.Fatal(err)
		}
	}
	client := connect(t, "redis://"+old.Addr().String())
	_, err = redisstore.Open(t.Context(), client, redisstore.Config{Dev: true})
	if err == nil || !strings.Contains(err.Error(), "is version 6.2.14; 7.0 or later is needed") || errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestOpenRefusesAWrongClock has a server whose clock is ten minutes ahead of this machine's, and one that is behind.
func TestOpenRefusesAWrongClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		wrong := redistest.Mini(t)
		wrong.SetTime(time.Now().Add(off))
		_, err := redisstore.Open(t.Context(), connect(t, "redis://"+wrong.Addr()), redisstore.Config{})
		if err == nil || !strings.Contains(err.Error(), "set them by NTP") {
			t.Errorf("%s: %v", off, err)
		}
		if keys := wrong.Keys(); len(keys) != 0 {
			t.Errorf("keys after the refusal: %q", keys)
		}
	}
}

func TestOpenSaysWhatToStart(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close() // nobody listens there now
	client, err := redisstore.Connect(redisstore.Options{URL: "redis://me:secret@" + addr, Profile: redisstore.Quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	_, err = redisstore.Open(t.Context(), client, redisstore.Config{})
	if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "redis-server --appendonly yes") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		s := newSubject(t, client, redistest.Prefix(t))
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", name, info)
		if info.Mode != "standalone" || (name == "real") == (info.Version == "unknown") {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

// TestMemoryUse asks a cluster: the master that has least room counts, because a run goes to a certain one.
func TestMemoryUse(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 2, false, time.Minute)
	s, err := redisstore.Open(t.Context(), connect(t, cluster.URL), redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.MemoryUse(t.Context()); err != nil || m.Max != 0 {
		t.Errorf("without limits: %+v, %v", m, err)
	}
	for i, limit := range []string{"800mb", "100mb"} {
		if err := redistest.Client(t, cluster.Masters[i]).ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := s.MemoryUse(t.Context()); err != nil || m.Max != 100<<20 || m.Used < 100<<10 {
		t.Errorf("%+v, %v, want the master of 100 MB", m, err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	for name, client := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t, client, redistest.Prefix(t))
			w := storyWorkflow()
			reg := dag.Registration{Workflow: w, Digest: "aa", Source: "text with <angle> brackets"}
			for range 2 {
				if err := s.PutWorkflow(t.Context(), reg, false); err != nil {
					t.Fatal(err)
				}
			}
			reg.Digest = "bb"
			err := s.PutWorkflow(t.Context(), reg, false)
			if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "workflow shop/order version 1.0.0 is registered with another definition; raise the version") {
				t.Errorf("another digest: %v", err)
			}
			if err := s.PutWorkflow(t.Context(), reg, true); err != nil {
				t.Errorf("overwrite: %v", err)
			}
			all, err := s.Workflows(t.Context())
			if err != nil || len(all) != 1 || all[0].Digest != "bb" || all[0].Source != reg.Source || all[0].Workflow.FullName() != "shop/order" {
				t.Errorf("workflows %+v, %v", all, err)
			}
			checkWorkers(t, s)
		})
	}
}

// checkWorkers lets one worker sign off and another fall silent for more than an hour.
func checkWorkers(t *testing.T, s *subject) {
	t.Helper()
	start := time.Date(2030, time.January, 2, 3, 4, 5, 0, time.UTC)
	put := func(id string, left bool, at time.Time) {
		t.Helper()
		if err := s.SetTime(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if err := s.PutWorker(t.Context(), dag.WorkerInfo{ID: id, Queues: []string{"q"}, TTL: 20 * time.Second}, left); err != nil {
			t.Fatal(err)
		}
	}
	put("silent", false, start)
	put("leaver", false, start.Add(time.Minute))
	put("leaver", true, start.Add(2*time.Minute))
	put("worker", false, start.Add(61*time.Minute))
	workers, now, err := s.Workers(t.Context())
	if err != nil || !now.Equal(start.Add(61*time.Minute)) {
		t.Fatalf("now %s, %v", now, err)
	}
	alive := map[string]bool{}
	for _, w := range workers {
		alive[w.ID] = w.Alive(now)
	}
	if len(alive) != 2 || alive["leaver"] || !alive["worker"] {
		t.Errorf("workers %v, want leaver (gone) and worker (alive)", alive)
	}
	if n, err := s.client.HLen(t.Context(), "{"+s.prefix+"}:workers").Result(); err != nil || n != 2 {
		t.Errorf("%d workers are kept, %v; want 2", n, err)
	}
}
