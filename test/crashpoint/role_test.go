//go:build integration

package crashpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/checkout"
	"github.com/stepwell/stepwell/internal/definition"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
	"github.com/stepwell/stepwell/workflows"
)

// The environment of a role.
const (
	envRole    = "SW_ROLE"    // victim, or survivor, whose outside calls are nobody's business
	envRedis   = "SW_REDIS"   // URL
	envPrefix  = "SW_PREFIX"  // of keys and queues
	envStage   = "SW_STAGE"   // URL of the role's director
	envGateway = "SW_GATEWAY" // URL
	envMail    = "SW_MAIL"    // address
	envShop    = "SW_SHOP"    // database
	envFlow    = "SW_FLOW"    // workflow to start
	envOff     = "SW_OFF"     // protections that are off, separated by commas
)

const (
	roleVictim   = "victim"
	roleSurvivor = "survivor"
)

// The protections that a role can do without.
const (
	offSweeper = "sweeper" // no loops run
	offKey     = "key"     // the payment's key is another in each attempt, and nobody asks the gateway first
)

const (
	roleTTL         = 1500 * time.Millisecond // of claims, so that a take-over takes no 20 s
	roleHeartbeat   = 100 * time.Millisecond
	roleConcurrency = 4
	roleQueue       = "ecommerce"
	roleKey         = "the one" // idempotency key of the run
)

// The workflows of the two runs.
const (
	flowLinear  = "ecommerce/process_order"
	flowDiamond = "ecommerce/diamond"
)

// flows returns both workflows: the one that is shipped, and a diamond of the same handlers.
func flows() ([]*dag.Workflow, error) {
	raw, err := workflows.Files.ReadFile(flowLinear + ".yaml")
	if err != nil {
		return nil, err
	}
	linear, err := definition.Parse(flowLinear+".yaml", raw)
	if err != nil {
		return nil, err
	}
	diamond := &dag.Workflow{Namespace: "ecommerce", Name: "diamond", Version: "1.0.0", Timeout: linear.Timeout, Defaults: linear.Defaults}
	for _, s := range linear.Steps {
		switch s.Name {
		case "update_inventory":
			s.DependsOn = []string{"validate_cart"}
		case "create_order":
			s.DependsOn = []string{"process_payment", "update_inventory"}
		case "send_confirmation":
			continue
		}
		diamond.Steps = append(diamond.Steps, s)
	}
	return []*dag.Workflow{linear, diamond}, nil
}

// role is a process that is an API and a worker in one, each with connections of its own.
type role struct {
	off    []string
	stage  stageClient
	log    *slog.Logger
	api    *engine.Engine
	work   *engine.Engine
	conn   redis.UniversalClient // of the worker
	closed []io.Closer
}

// playRole is what the process does: it starts one run and works until it is killed.
func playRole(name string) (err error) {
	ctx := context.Background() // the root of this process, which ends by being killed
	r := &role{log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), stage: stageClient{url: os.Getenv(envStage), quiet: name != roleVictim}}
	if off := os.Getenv(envOff); off != "" {
		r.off = strings.Split(off, ",")
	}
	defer func() {
		for _, c := range r.closed {
			err = errors.Join(err, c.Close())
		}
	}()
	if _, r.api, err = r.connect(ctx, redisstore.Quick); err != nil {
		return err
	}
	if r.conn, r.work, err = r.connect(ctx, redisstore.Patient); err != nil {
		return err
	}
	all, err := flows()
	if err != nil {
		return err
	}
	for _, w := range all {
		if err := supervised(ctx, func() error { return r.api.Register(ctx, w, "") }); err != nil {
			return err
		}
	}
	return r.play(ctx)
}

func (r *role) lacks(protection string) bool { return slices.Contains(r.off, protection) }

// connect makes an engine on a connection of its own, as the product's processes do.
func (r *role) connect(ctx context.Context, profile redisstore.Profile) (redis.UniversalClient, *engine.Engine, error) {
	conn, err := redisstore.Connect(redisstore.Options{URL: os.Getenv(envRedis), Profile: profile})
	if err != nil {
		return nil, nil, err
	}
	r.closed = append(r.closed, conn)
	batch := conn
	if profile == redisstore.Patient {
		if batch, err = redisstore.Batching(conn); err != nil {
			return nil, nil, err
		}
	}
	var store *redisstore.Store
	err = supervised(ctx, func() error {
		store, err = redisstore.Open(ctx, conn, redisstore.Config{Prefix: os.Getenv(envPrefix), Batch: batch})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	queue, err := asynqueue.NewQueue(batch, asynqueue.Options{Prefix: os.Getenv(envPrefix)})
	if err != nil {
		return nil, nil, err
	}
	hooks := engine.Hooks{RunEnded: func(string, dag.RunState) { go r.stage.tell(ctx, "ended", nil) }}
	e, err := engine.New(store, queue, definition.NewSchemas(), engine.Config{TTL: roleTTL, Hooks: hooks, Log: r.log})
	return conn, e, err
}

// supervised does what a supervisor would: a process that could not reach Redis in time at its start ends, and is started again.
func supervised(ctx context.Context, start func() error) error {
	for {
		if err := start(); !errors.Is(err, engine.ErrUnavailable) {
			return err
		}
		pause(ctx)
	}
}

func (r *role) play(ctx context.Context) error {
	reg, err := r.handlers(ctx)
	if err != nil {
		return err
	}
	worker, err := asynqueue.NewWorker(r.work, reg, asynqueue.WorkerOptions{
		Client: r.conn, Prefix: os.Getenv(envPrefix), Queues: map[string]int{roleQueue: 1},
		Concurrency: roleConcurrency, Heartbeat: roleHeartbeat, Log: r.log,
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	if !r.lacks(offSweeper) {
		g.Go(func() error { return r.api.Run(ctx) })
		g.Go(func() error { return r.work.Run(ctx) })
	}
	g.Go(func() error { return r.start(ctx, worker.ID()) })
	return g.Wait()
}

// start waits until the worker is there, then starts the run, again and again with the same key until it is accepted.
func (r *role) start(ctx context.Context, worker string) error {
	for present := false; !present; {
		live, _, err := r.work.Store().Workers(ctx)
		if err != nil && !errors.Is(err, engine.ErrUnavailable) {
			return err
		}
		present = slices.ContainsFunc(live, func(w dag.WorkerInfo) bool { return w.ID == worker })
		pause(ctx)
	}
	r.stage.tell(ctx, "ready", nil)
	for {
		started, err := r.api.Start(ctx, engine.StartRequest{Workflow: os.Getenv(envFlow), Input: []byte(orderInput), Key: roleKey})
		if err == nil {
			r.stage.tell(ctx, "started", url.Values{"run": {started.Run.ID}})
			return nil
		}
		r.log.WarnContext(ctx, "start not answered; repeated", "err", err)
		pause(ctx)
	}
}

// pause lets a moment go by before something is asked again.
func pause(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

// orderInput is an order of one phone case.
const orderInput = `{"cart_items":[{"product_id":8,"quantity":1}],
	"payment_info":{"method":"credit_card","amount":23.26,"currency":"USD","token":"test_success_visa"},
	"customer_info":{"email":"ada@example.com","name":"Ada Lovelace"}}`

// handlers are those of the shop. The victim's tell the stage of each call that they make.
func (r *role) handlers(ctx context.Context) (*tasks.Registry, error) {
	shop, err := checkout.Open(ctx, os.Getenv(envShop), checkout.Config{})
	if err != nil {
		return nil, err
	}
	r.closed = append(r.closed, shop)
	gateway, err := checkout.NewPaymentClient(os.Getenv(envGateway), checkout.PaymentConfig{})
	if err != nil {
		return nil, err
	}
	mailer, err := checkout.NewSMTPMailer(os.Getenv(envMail), "shop@example.com")
	if err != nil {
		return nil, err
	}
	reg := tasks.NewRegistry()
	o := &outsideWorld{stage: r.stage, shop: shop, gateway: gateway, mailer: mailer, keyless: r.lacks(offKey)}
	checkout.Register(reg, checkout.Deps{Store: o, Gateway: o, Mailer: o})
	return reg, nil
}

// stageClient tells a role's director what the role does. A director that is gone hears nothing, and that is no error.
type stageClient struct {
	url   string
	quiet bool // only of the start
}

func (s stageClient) tell(ctx context.Context, what string, about url.Values) (answer string) {
	if s.quiet && what == "outside" {
		return ""
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/"+what+"?"+about.Encode(), http.NoBody)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(raw)
}

// outsideWorld is the shop's, with the director asked before and after each call.
type outsideWorld struct {
	stage   stageClient
	shop    checkout.Store
	gateway checkout.Gateway
	mailer  checkout.Mailer
	keyless bool
}

// around makes a call whose point is name.
func around[T any](ctx context.Context, o *outsideWorld, name string, call func() (T, error)) (T, error) {
	var none T
	if o.stage.tell(ctx, "outside", url.Values{"call": {name}}) == refused {
		return none, errors.New("the call was refused")
	}
	v, err := call()
	if o.stage.tell(ctx, "outside", url.Values{"call": {name}, "done": {"1"}}) == lost {
		return none, errors.New("the answer of the call was lost")
	}
	return v, err
}

func (o *outsideWorld) Products(ctx context.Context, ids []int64) (map[int64]checkout.Product, error) {
	return around(ctx, o, "database read", func() (map[int64]checkout.Product, error) { return o.shop.Products(ctx, ids) })
}

func (o *outsideWorld) Reserve(ctx context.Context, run, key string, wants []checkout.Want) ([]checkout.Reservation, error) {
	return around(ctx, o, "database reserve", func() ([]checkout.Reservation, error) { return o.shop.Reserve(ctx, run, key, wants) })
}

func (o *outsideWorld) PlaceOrder(ctx context.Context, order checkout.Order) (checkout.Order, error) {
	return around(ctx, o, "database order", func() (checkout.Order, error) { return o.shop.PlaceOrder(ctx, order) })
}

func (o *outsideWorld) Lookup(ctx context.Context, key string) (c checkout.Charge, ok bool, err error) {
	if o.keyless {
		return c, false, nil
	}
	return o.gateway.Lookup(ctx, key) // only an attempt after a fault asks
}

func (o *outsideWorld) Charge(ctx context.Context, r checkout.ChargeRequest) (checkout.Charge, error) {
	if o.keyless {
		r.Key = fmt.Sprintf("%s:%d", r.Key, time.Now().UnixNano())
	}
	return around(ctx, o, "gateway charge", func() (checkout.Charge, error) { return o.gateway.Charge(ctx, r) })
}

func (o *outsideWorld) Send(ctx context.Context, key string, c checkout.Confirmation) (string, error) {
	return around(ctx, o, "mail", func() (string, error) { return o.mailer.Send(ctx, key, c) })
}
