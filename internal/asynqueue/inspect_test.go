package asynqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

const (
	ghostRun = "run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA" // is in no store: its tasks are answered with NORUN
	ghostDef = "0123456789abcdef0123456789abcdef"
)

// batching gives the plant a queue on a batching client, as workers have it.
func (p *plant) batching() {
	p.t.Helper()
	batch, err := redisstore.Batching(p.client)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.queue, err = asynqueue.NewQueue(batch, asynqueue.Options{Prefix: p.prefix}); err != nil {
		p.t.Fatal(err)
	}
}

func ghost(step string) dag.Send {
	return dag.Send{Delivery: dag.Delivery{Run: ghostRun, Step: step, Epoch: 1}, Def: ghostDef, Handler: "shop.ok", Queue: "shop"}
}

// put enqueues a task of a ghost with options of asynq that ours never has.
func (p *plant) put(s dag.Send, opts ...asynq.Option) {
	p.t.Helper()
	payload, err := tasks.Payload{Run: s.Run, Step: s.Step, Epoch: s.Epoch, Def: s.Def}.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	client := asynq.NewClientFromRedisClient(p.client)
	opts = append(opts, asynq.TaskID(s.TaskID()), asynq.Queue(asynqueue.QueueName(p.prefix, s.Queue)))
	if _, err := client.EnqueueContext(p.t.Context(), asynq.NewTask(tasks.TypeOf(s.Handler), payload), opts...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) look(queue string, d dag.Delivery) engine.TaskInfo {
	p.t.Helper()
	infos, err := p.queue.Inspect(p.t.Context(), queue, []dag.Delivery{d})
	if err != nil || len(infos) != 1 {
		p.t.Fatal(infos, err)
	}
	return infos[0]
}

func (p *plant) waitFor(d dag.Delivery, want engine.TaskState) engine.TaskInfo {
	p.t.Helper()
	var info engine.TaskInfo
	p.wait(string(want)+" task of step "+d.Step, func() bool {
		info = p.look("shop", d)
		return info.State == want
	})
	return info
}

func (p *plant) hash(d dag.Delivery) string {
	return "asynq:{" + asynqueue.QueueName(p.prefix, "shop") + "}:t:" + d.TaskID()
}

func TestInspectTellsEveryStateOfATask(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"plain", "batching"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, redistest.URL(t))
			if client == "batching" {
				p.batching()
			}
			inspectWithoutWorker(p)
			inspectWithWorker(p)
		})
	}
}

// inspectWithoutWorker looks at the tasks that wait.
func inspectWithoutWorker(p *plant) {
	t, ctx, name := p.t, p.t.Context(), asynqueue.QueueName(p.prefix, "shop")
	t.Helper()
	pending, lost, none := ghost("pending"), ghost("lost"), ghost("none")
	if got := p.look("shop", none.Delivery); got.State != engine.TaskNoQueue {
		t.Errorf("of a queue that was never used: %+v", got)
	}
	for _, s := range []dag.Send{pending, lost} {
		if err := p.queue.Enqueue(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.look("shop", pending.Delivery); got != (engine.TaskInfo{State: engine.TaskPending}) {
		t.Errorf("a task that waits: %+v", got)
	}
	if got := p.look("shop", none.Delivery); got != (engine.TaskInfo{State: engine.TaskNone}) {
		t.Errorf("a task that never was: %+v", got)
	}
	if err := p.client.SRem(ctx, "asynq:queues", name).Err(); err != nil {
		t.Fatal(err)
	}
	if got := p.look("shop", pending.Delivery); got.State != engine.TaskNoQueue {
		t.Errorf("a task of a queue whose name was lost: %+v", got)
	}
	if err := p.queue.Adopt(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if got := p.look("shop", pending.Delivery); got.State != engine.TaskPending {
		t.Errorf("a task of an adopted queue: %+v", got)
	}
	later := ghost("later")
	p.put(later, asynq.ProcessIn(time.Hour))
	if got := p.look("shop", later.Delivery); got.State != engine.TaskScheduled || time.Until(got.Next) < 59*time.Minute {
		t.Errorf("a task for later: %+v", got)
	}
	grouped := ghost("grouped")
	p.put(grouped, asynq.Group("g"))
	if got := p.look("shop", grouped.Delivery); got.State != engine.TaskNone {
		t.Errorf("a task that becomes part of another: %+v", got)
	}
	if err := p.inspect.ArchiveTask(name, pending.TaskID()); err != nil {
		t.Fatal(err)
	}
	if got := p.look("shop", pending.Delivery); got != (engine.TaskInfo{State: engine.TaskArchived}) {
		t.Errorf("a task that a person archived: %+v", got)
	}
	if err := p.client.Del(ctx, p.hash(lost.Delivery)).Err(); err != nil {
		t.Fatal(err)
	}
	if got := p.look("shop", lost.Delivery); got.State != engine.TaskNone {
		t.Errorf("a task whose hash was lost while it waited: %+v", got)
	}
}

// inspectWithWorker looks at the tasks that were delivered.
func inspectWithWorker(p *plant) {
	t := p.t
	t.Helper()
	kept := ghost("kept")
	p.put(kept, asynq.Retention(time.Hour))
	reg := tasks.NewRegistry()
	tasks.Handle(reg, "shop.ok", func(context.Context, *tasks.Step) (int, error) { return 1, nil })
	tasks.Handle(reg, "shop.again", func(context.Context, *tasks.Step) (int, error) { return 0, errors.New("not yet") })
	tasks.Handle(reg, "shop.never", func(context.Context, *tasks.Step) (int, error) { return 0, tasks.Permanent("NO", errors.New("never")) })
	release := make(chan struct{})
	tasks.Handle(reg, "shop.held", func(context.Context, *tasks.Step) (int, error) { <-release; return 1, nil })
	stop := p.work(reg, asynqueue.WorkerOptions{})
	defer stop()
	defer close(release)
	run := p.start(&dag.Workflow{Namespace: "shop", Name: "states", Version: "1.0.0", Steps: []dag.Step{
		{Name: "again", Handler: "shop.again", Retry: dag.RetryPolicy{BaseDelay: time.Hour, MaxDelay: 2 * time.Hour}},
		{Name: "never", Handler: "shop.never"},
		{Name: "held", Handler: "shop.held"},
	}})
	at := func(step string) dag.Delivery { return dag.Delivery{Run: run, Step: step, Epoch: 1} }
	p.waitFor(at("held"), engine.TaskActive)
	if got := p.waitFor(at("again"), engine.TaskRetry); time.Until(got.Next) < 50*time.Minute {
		t.Errorf("a task that is tried again comes at %s", got.Next)
	}
	if got := p.waitFor(at("never"), engine.TaskArchived); !got.Verdict {
		t.Error("the task of a failed step is archived without our verdict")
	}
	p.waitFor(kept.Delivery, engine.TaskCompleted)
	p.waitFor(ghost("lost").Delivery, engine.TaskZombie)
	if err := p.inspect.ArchiveTask(asynqueue.QueueName(p.prefix, "shop"), at("again").TaskID()); err != nil {
		t.Fatal(err)
	}
	if got := p.look("shop", at("again")); got != (engine.TaskInfo{State: engine.TaskArchived}) {
		t.Errorf("a retrying task that a person archived: %+v", got)
	}
}

func TestInspectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.queue.Inspect(ctx, "shop", []dag.Delivery{ghost("any").Delivery}); !errors.Is(err, engine.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("inspect after the end: %v", err)
	}
	if _, _, err := p.queue.Archived(ctx, "shop", 1); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("archived after the end: %v", err)
	}
	if err := p.queue.Adopt(ctx, "shop"); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("adopt after the end: %v", err)
	}
	if err := p.queue.Delete(ctx, "shop", ghost("any").Delivery); !errors.Is(err, context.Canceled) {
		t.Errorf("delete after the end: %v", err)
	}
	if _, err := p.queue.Queues(ctx); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("queues after the end: %v", err)
	}
}

func TestArchivedPagesStepsOnly(t *testing.T) {
	t.Parallel()
	p := newPlant(t, redistest.URL(t))
	ctx, name := t.Context(), asynqueue.QueueName(p.prefix, "shop")
	if steps, more, err := p.queue.Archived(ctx, "shop", 1); err != nil || more || len(steps) > 0 {
		t.Fatalf("a queue that was never used: %d, %v, %v", len(steps), more, err)
	}
	var want []string
	for i := range 150 {
		s := ghost("s" + strconv.Itoa(i))
		p.put(s)
		want = append(want, s.TaskID())
	}
	foreign := asynq.NewClientFromRedisClient(p.client)
	if _, err := foreign.EnqueueContext(ctx, asynq.NewTask("email:send", []byte("hi")), asynq.Queue(name)); err != nil {
		t.Fatal(err)
	}
	copied, err := tasks.Payload{Run: ghostRun, Step: "copy", Epoch: 1, Def: ghostDef}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.EnqueueContext(ctx, asynq.NewTask("step:shop.ok", copied), asynq.Queue(name)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.inspect.ArchiveAllPendingTasks(name); err != nil || n != 152 {
		t.Fatalf("%d archived, %v", n, err)
	}
	if err := p.client.Del(ctx, p.hash(ghost("s77").Delivery)).Err(); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(id string) bool { return id == ghost("s77").TaskID() })
	var got []string
	page, more := 1, true
	for ; more; page++ {
		var steps []dag.Delivery
		if steps, more, err = p.queue.Archived(ctx, "shop", page); err != nil {
			t.Fatal(err)
		}
		for _, d := range steps {
			got = append(got, d.TaskID())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || page != 4 {
		t.Errorf("after %d pages (-want +got):\n%s", page-1, diff)
	}
}

func TestEachDeliveryIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	rows := asynqueue.Answers()
	if !slices.IsSorted(rows) || len(slices.Compact(slices.Clone(rows))) != asynqueue.Rows()+1 {
		t.Errorf("%d names of answers for %d rows and the unexpected", len(rows), asynqueue.Rows())
	}
	inBubble(t, func(r *rig) {
		tasks.Handle(r.reg, "shop.x", func(_ context.Context, s *tasks.Step) (int, error) {
			if s.Attempt() == 1 {
				return 0, errors.New("once")
			}
			return 1, nil
		})
		send := ghost("gone")
		send.Handler = "shop.x"
		if err := r.deliver(send); err != nil {
			r.t.Error(err)
		}
		send.Handler = "shop.unknown"
		err := r.deliver(send)
		if got := asynqueue.OrderOf(err); got != (asynqueue.Order{Act: asynqueue.Later, Delay: 15 * time.Second}) {
			r.t.Errorf("order without a handler: %+v", got)
		}
		r.start(one("shop.x"))
		send = r.next()
		order := asynqueue.OrderOf(r.deliver(send))
		if order.Act != asynqueue.Retry || order.Delay < 900*time.Millisecond {
			r.t.Errorf("order after a failure: %+v", order)
		}
		sleep(order.Delay)
		for range 2 {
			if err := r.deliver(send); err != nil {
				r.t.Error(err)
			}
		}
		r.RetryDelay(asynq.ErrLeaseExpired)
		want := []string{"begin NORUN", "NO_HANDLER", "fail OK retrying", "complete OK", "begin DONE", "LEASE_EXPIRED"}
		if diff := cmp.Diff(want, r.answers); diff != "" {
			r.t.Errorf("answers (-want +got):\n%s", diff)
		}
		for _, a := range r.answers {
			if !slices.Contains(rows, a) {
				r.t.Errorf("%q is not among the answers", a)
			}
		}
		line := fmt.Sprintf(`"msg":"step begun","run":"%s","step":"only","attempt":2,"workflow":"shop/one","worker":"%s","correlation_id":"c-7"`, send.Run, r.ID())
		if !strings.Contains(r.log.String(), line) {
			r.t.Errorf("the log lacks %s:\n%s", line, r.log.String())
		}
	})
}
