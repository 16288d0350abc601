//go:build integration

package badinput_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// endLimit is how soon a process that cannot start has to say so and end.
const endLimit = 10 * time.Second

// mistake is a way to start a process wrongly.
type mistake struct {
	name  string
	args  []string
	env   []string // on top of a good environment
	says  []string // all of them, on standard error
	code  int
	lines int // at most, of standard error; 0 means 3
}

// site is where processes are started: a directory and servers that mistakes can name.
type site struct {
	dir   string
	redis *localredis.Server
	busy  string // an address on which somebody listens
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), redis: redistest.Own(t, localredis.Options{})}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.busy = l.Addr().String()
	return s
}

// env is an environment in which every process starts.
func (s *site) env() []string {
	env := []string{
		"STEPWELL_REDIS_URL=" + s.redis.URL, "STEPWELL_API_ADDR=127.0.0.1:0", "STEPWELL_WORKFLOWS_DIR=../../workflows",
		"STEPWELL_SHOP_DATABASE=sqlite:" + filepath.Join(s.dir, "shop.db"), "STEPWELL_LOG_LEVEL=error",
	}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "STEPWELL_") {
			env = append(env, kv)
		}
	}
	return env
}

// file writes a file of the site and returns its path.
func (s *site) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(s.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused starts a process and checks how it ends.
func (s *site) refused(t *testing.T, m mistake) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), endLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, m.args...)
	cmd.Env = append(s.env(), m.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	said := stderr.String()
	if ctx.Err() != nil {
		t.Fatalf("still runs after %s; it said:\n%s", endLimit, said)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != m.code {
		t.Errorf("ended with %v, want exit code %d", err, m.code)
	}
	for _, want := range m.says {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q", want)
		}
	}
	for _, no := range []string{"panic", "goroutine ", ".go:", "%!"} {
		if strings.Contains(said, no) {
			t.Errorf("says %q to a user", no)
		}
	}
	limit := m.lines
	if limit == 0 {
		limit = 3
	}
	if n := strings.Count(said, "\n"); n > limit {
		t.Errorf("says it in %d lines, want at most %d", n, limit)
	}
	if stdout.Len() > 0 {
		t.Errorf("prints to standard output: %q", stdout.String())
	}
	if t.Failed() {
		t.Logf("it said:\n%.2000s", said)
	}
}

func (s *site) all(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s.refused(t, m)
		})
	}
}

// Exit codes.
const (
	failed  = 1
	misused = 2
)

func TestConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	typos := s.file(t, "typos.yaml", "redis:\n  ulr: redis://127.0.0.1:6379/0\nworker:\n  concurency: 5\n")
	words := s.file(t, "words.yaml", "worker:\n  concurrency: many\n")
	broken := s.file(t, "broken.yaml", "redis: [\n")
	s.all(t, []mistake{
		{
			name: "unknown keys, all at once", args: []string{"worker", "--config", typos}, code: misused,
			says: []string{"2 problems", "redis.ulr", "typos.yaml", "redis.url", "worker.concurency", "worker.concurrency"},
		},
		{
			name: "unknown key of the API", args: []string{"api", "--config", typos}, code: misused,
			says: []string{"redis.ulr", "typos.yaml", "nearest one is redis.url"},
		},
		{
			name: "wrong type in the file", args: []string{"worker", "--config", words}, code: misused,
			says: []string{"worker.concurrency", `"many"`, "words.yaml", "STEPWELL_WORKER_CONCURRENCY"},
		},
		{name: "file that is no YAML", args: []string{"api", "--config", broken}, code: misused, says: []string{"broken.yaml", "not a YAML file"}},
		{
			name: "file that is not there", args: []string{"api", "--config", "/nowhere/stepwell.yaml"}, code: misused,
			says: []string{"/nowhere/stepwell.yaml", "does not exist", "--config"},
		},
		{
			name: "bad duration", args: []string{"worker"}, env: []string{"STEPWELL_WORKER_GRACE=banana"}, code: misused,
			says: []string{"worker.grace", `"banana"`, "STEPWELL_WORKER_GRACE", "duration such as"},
		},
		{
			name: "runs kept for too short a time", args: []string{"worker", "--runs-retention", "5s"}, code: misused,
			says: []string{"runs.retention", `"5s"`, "--runs-retention", "0 to keep runs for ever", "STEPWELL_RUNS_RETENTION"},
		},
		{
			name: "buttons that are neither on nor off", args: []string{"api"}, env: []string{"STEPWELL_ASYNQMON_BUTTONS=yes please"}, code: misused,
			says: []string{"asynqmon.buttons", "true or false", "STEPWELL_ASYNQMON_BUTTONS"},
		},
		{
			name: "unknown variable", args: []string{"api"}, env: []string{"STEPWELL_API_ADR=127.0.0.1:1"}, code: misused,
			says: []string{"STEPWELL_API_ADR", "nearest one is STEPWELL_API_ADDR"},
		},
		{
			name: "password in a wrong URL", args: []string{"worker"}, env: []string{"STEPWELL_REDIS_URL=http://:hunter2@127.0.0.1"}, code: misused,
			says: []string{"redis.url", "redis://", "STEPWELL_REDIS_URL", "xxxxx"},
		},
		{name: "unknown flag", args: []string{"api", "--prot", "80"}, code: misused, says: []string{"--prot", "api --help"}},
		{name: "flag without a value", args: []string{"worker", "--worker-grace"}, code: misused, says: []string{"--worker-grace", "worker --help"}},
		{name: "unknown command", args: []string{"serve"}, code: misused, says: []string{`unknown command "serve"`, "--help"}},
		{name: "argument too many", args: []string{"api", "now"}, code: misused, says: []string{`"now"`, "--help"}},
		{
			name: "unknown kind of database", args: []string{"worker"}, env: []string{"STEPWELL_SHOP_DATABASE=mysql://127.0.0.1/shop"}, code: misused,
			says: []string{"shop.database", "sqlite:PATH", "postgres://", "STEPWELL_SHOP_DATABASE"},
		},
	})
}

func TestSurroundings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	evicting := redistest.Own(t, localredis.Options{ExtraArgs: []string{"--maxmemory-policy", "allkeys-lru"}})
	absent := []string{"STEPWELL_REDIS_URL=redis://127.0.0.1:1/0"}
	noRedis := []string{"127.0.0.1:1", "cannot be reached", "redis-server", "STEPWELL_REDIS_URL"}
	lru := []string{"STEPWELL_REDIS_URL=" + evicting.URL}
	policy := []string{"open the store: redis at " + strings.TrimSuffix(strings.TrimPrefix(evicting.URL, "redis://"), "/0") + " has maxmemory-policy allkeys-lru", "config set maxmemory-policy noeviction"}
	occupied := s.file(t, "occupied", "a file, not a directory")
	s.all(t, []mistake{
		{name: "API without Redis", args: []string{"api"}, env: absent, code: failed, says: noRedis},
		{name: "worker without Redis", args: []string{"worker"}, env: absent, code: failed, says: noRedis},
		{name: "API on a Redis that evicts", args: []string{"api"}, env: lru, code: failed, says: policy},
		{name: "worker on a Redis that evicts", args: []string{"worker"}, env: lru, code: failed, says: policy},
		{
			name: "API on a busy port", args: []string{"api", "--api-addr", s.busy}, code: failed,
			says: []string{s.busy, "in use", "--api-addr", "STEPWELL_API_ADDR"},
		},
		{
			name: "worker on a busy port", args: []string{"worker", "--worker-addr", s.busy}, code: failed,
			says: []string{s.busy, "in use", "--worker-addr", "STEPWELL_WORKER_ADDR"},
		},
		{
			name: "gateway on a busy port", args: []string{"gateway", "--addr", s.busy, "--ledger", filepath.Join(s.dir, "ledger.jsonl")}, code: failed,
			says: []string{s.busy, "in use", "--addr"},
		},
		{
			name: "database in no directory", args: []string{"worker"}, code: failed,
			env:  []string{"STEPWELL_SHOP_DATABASE=sqlite:" + filepath.Join(occupied, "shop.db")},
			says: []string{"shop database", occupied, "STEPWELL_SHOP_DATABASE"},
		},
		{
			name: "database that is none", args: []string{"worker"}, code: failed,
			env:  []string{"STEPWELL_SHOP_DATABASE=sqlite:" + s.file(t, "letter.txt", strings.Repeat("Dear database, ", 100))},
			says: []string{"shop's database", "letter.txt", "STEPWELL_SHOP_DATABASE"},
		},
		{
			name: "no directory of workflows", args: []string{"api"}, env: []string{"STEPWELL_WORKFLOWS_DIR=/nowhere"}, code: failed,
			says: []string{"/nowhere", "--workflows-dir", "STEPWELL_WORKFLOWS_DIR"},
		},
	})
}

func TestWorkflowFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const head = "namespace: shop\nname: bad\nversion: 1.0.0\nsteps:\n"
	var bomb strings.Builder
	bomb.WriteString(head + "  - {name: a, handler: h.a, config: {lol: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]")
	for c := 'b'; c <= 'i'; c++ {
		bomb.WriteString(", " + string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 9), ", ") + "]")
	}
	bomb.WriteString("}}\n")
	var mistakes []mistake
	for _, f := range []struct {
		name, content string
		says          []string
		lines         int
	}{
		{
			"cycle", head + "  - {name: a, handler: h.a, depends_on: [c]}\n  - {name: b, handler: h.b, depends_on: [a]}\n  - {name: c, handler: h.c, depends_on: [b]}\n",
			[]string{":5:42", "a → b → c → a", "remove one"},
			0,
		},
		{"self", head + "  - {name: a, handler: h.a, depends_on: [a]}\n", []string{":5:42", "depends on itself", "remove"}, 0},
		{"duplicate", head + "  - {name: a, handler: h.a}\n  - {name: a, handler: h.b}\n", []string{":6:12", `"a" is already the name`, "name of its own"}, 0},
		{"field", head + "  - {name: a, handler: h.a, dependson: [b]}\n", []string{":5:29", `unknown field "dependson"`, `"depends_on"`}, 0},
		{"parent", head + "  - {name: a, handler: h.a, depends_on: [vaildate]}\n  - {name: validate, handler: h.b}\n", []string{":5:42", `no step "vaildate"`, `"validate"`}, 0},
		{"duration", head + "  - {name: a, handler: h.a, timeout: 30}\n", []string{":5:38", "no unit", "30s"}, 0},
		{"syntax", head + "  - {name: a, handler: h.a\n", []string{":5:5", "not YAML"}, 0},
		{"bomb", bomb.String(), []string{":5:", "anchors and aliases are not supported", "write the value out"}, 220},
		{"retention", "retention: 7d\n" + head + "  - {name: a, handler: h.a}\n", []string{":1:12", `retention: "7d" is no duration`, "30s, 5m or 1h30m"}, 0},
		{"several", head + "  - {name: a, handler: h.a, timeout: 30}\n  - {name: B, handler: h.b, dependson: [a]}\n", []string{":5:38", ":6:", "dependson", "no unit"}, 12},
		{"empty", "", []string{"workflows/empty/bad.yaml"}, 0},
	} {
		path := s.file(t, "workflows/"+f.name+"/bad.yaml", f.content)
		mistakes = append(mistakes, mistake{
			name: f.name, args: []string{"api"}, env: []string{"STEPWELL_WORKFLOWS_DIR=" + filepath.Dir(path)}, code: failed,
			says: append(f.says, "bad.yaml"), lines: max(f.lines, 5),
		})
	}
	s.all(t, mistakes)
}
