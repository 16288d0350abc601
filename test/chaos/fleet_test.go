//go:build integration

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// The steps of ecommerce/process_order.
const (
	validateCart   = "validate_cart"
	processPayment = "process_payment"
	reserve        = "update_inventory"
	createOrder    = "create_order"
	confirm        = "send_confirmation"
)

const readyLimit = 30 * time.Second

// fleet is a shop with everything that it needs. Supervisors start its APIs and workers again when they end.
type fleet struct {
	dir           string
	redis         *mortal
	gateway       *demo.Process
	gateURL       string
	ledger        string // file
	mail          *demo.MailSink
	db            *checkout.Shop
	before        map[int64]int64 // units of each product
	apis, workers []*member
	client        *client
}

// newFleet starts a fleet and returns when all of it is ready. It ends with the test.
func newFleet(t *testing.T, p *profile) *fleet {
	t.Helper()
	f := &fleet{dir: keptDir(t, p)}
	dir := filepath.Join(f.dir, "redis")
	// Its file is rewritten early, so that a start does not take long, and so that some deaths fall into a rewrite.
	rewrite := []string{"--auto-aof-rewrite-min-size", "4mb", "--auto-aof-rewrite-percentage", "50"}
	server := redistest.Own(t, localredis.Options{Dir: dir, AppendFsync: p.fsync, ExtraArgs: rewrite})
	f.redis = &mortal{Server: server, dir: dir, loses: p.fsync == "everysec"}
	f.world(t, p)
	env := f.env(p)
	for i := range p.apis {
		f.apis = append(f.apis, f.member(t, p, "api", i, env))
	}
	for i := range p.workers {
		f.workers = append(f.workers, f.member(t, p, "worker", i, env))
	}
	urls := make([]string, len(f.apis))
	for i, m := range f.apis {
		urls[i] = m.url
	}
	f.client = newClient(urls, f.gateURL)
	t.Cleanup(f.client.http.CloseIdleConnections)
	f.supervise(t)
	return f
}

// keptDir is a directory that outlives a test that failed, which then says how it is repeated.
func keptDir(t *testing.T, p *profile) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stepwell-chaos-") //nolint:usetesting // kept after a failure
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs, ledger, database and Redis's file are in %s; repeat with\nSW_CHAOS_SEED=%d SW_CHAOS_ORDERS=%d SW_CHAOS_RATE=%g go test -tags=integration -v -run '%s' ./test/chaos",
				dir, p.seed, p.orders, p.rate, t.Name())
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// world starts what is outside: gateway, mail sink, database.
func (f *fleet) world(t *testing.T, p *profile) {
	t.Helper()
	addr := redistest.FreeAddr(t)
	f.gateURL, f.ledger = "http://"+addr, filepath.Join(f.dir, "gateway.jsonl")
	var err error
	f.gateway, err = demo.StartProcess("gateway", demo.Command{
		Binary: binary, LogDir: f.dir, Args: []string{"gateway", "--addr", addr, "--ledger", f.ledger, "--log-format", "json"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tell(t, f.gateway.Stop()) })
	if err := f.gateway.Ready(t.Context(), f.gateURL+"/healthz"); err != nil {
		t.Fatal(err)
	}
	if f.mail, err = demo.StartMailSink(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tell(t, f.mail.Close()) })
	if f.db, err = checkout.Open(t.Context(), f.database(), checkout.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tell(t, f.db.Close()) })
	if err := f.db.Restock(t.Context(), phoneCase, int64(p.orders)); err != nil {
		t.Fatal(err)
	}
	products, err := f.db.Stock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.before = map[int64]int64{}
	for _, product := range products {
		f.before[product.ID] = product.Stock
	}
}

func (f *fleet) database() string { return "sqlite:" + filepath.Join(f.dir, "shop.db") }

func tell(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// env is what all APIs and workers are told.
func (f *fleet) env(p *profile) []string {
	env := []string{
		"STEPWELL_SHOP_DATABASE=" + f.database(),
		"STEPWELL_SHOP_GATEWAY_URL=" + f.gateURL,
		"STEPWELL_SHOP_SMTP_ADDR=" + f.mail.Addr,
		"STEPWELL_WORKER_TTL=" + ttl.String(),
		"STEPWELL_WORKER_HEARTBEAT=" + heartbeat.String(),
		"STEPWELL_WORKER_GRACE=6s",
		"STEPWELL_LOG_FORMAT=json",
		"STEPWELL_WORKFLOWS_DIR=" + workflowsDir,
	}
	if p.role {
		env = append(env, envRole+"="+p.off)
	}
	return env
}

// workflowsDir holds the shipped definitions, seen from this package's directory.
const workflowsDir = "../../workflows"

// member prepares an API or a worker behind a proxy of its own.
func (f *fleet) member(t *testing.T, p *profile, what string, i int, env []string) *member {
	t.Helper()
	addr := redistest.FreeAddr(t)
	m := &member{name: fmt.Sprintf("%s %d", what, i+1), url: "http://" + addr}
	m.proxy = newProxy(t, m.name, f.redis.URL)
	setting := map[string]string{"api": "STEPWELL_API_ADDR=", "worker": "STEPWELL_WORKER_ADDR="}[what]
	m.command = demo.Command{
		Binary: binary, Args: []string{what}, LogDir: f.dir,
		Env: append([]string{setting + addr, "STEPWELL_REDIS_URL=" + m.proxy.url()}, env...),
	}
	if p.role {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		m.command.Binary = self
	}
	return m
}

func (f *fleet) members() []*member { return append(append([]*member{}, f.workers...), f.apis...) }

// supervise starts all members and waits until they are ready. At the end of the test they have to end in good order.
func (f *fleet) supervise(t *testing.T) {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	var g errgroup.Group
	for _, m := range f.members() {
		g.Go(func() error { return m.supervise(ctx) })
	}
	g.Go(func() error { return f.redis.watch(ctx) })
	t.Cleanup(func() { end(); tell(t, g.Wait()) })
	for _, m := range f.members() {
		if !eventually(t.Context(), readyLimit, func() bool { return f.client.ready(t.Context(), m.url) }) {
			t.Fatalf("%s is not ready; its log is in %s", m.name, f.dir)
		}
	}
}

// eventually polls until the condition holds; it tells whether it did in time.
func eventually(ctx context.Context, limit time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// died lists the processes that ended or were stopped, and what those said that ended by themselves.
func (f *fleet) died() (all []int, alone []string, err error) {
	for _, m := range f.members() {
		died, words, broken := m.obituary()
		all, alone, err = append(all, died...), append(alone, words...), errors.Join(err, broken)
	}
	return all, alone, err
}
