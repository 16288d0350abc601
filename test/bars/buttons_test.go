//go:build integration

package bars_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// consistent is the time within which whatever a person did in the queue's dashboard has come to a state that holds together.
const consistent = 180 * time.Second

// button is what a person presses in asynqmon on a step's task, which asynqmon carries out with asynq's Inspector as this test does.
type button struct {
	name  string
	input job
	// before is the state that the task is in when the button is pressed.
	before asynq.TaskState
	press  func(i *asynq.Inspector, queue, task string) error
	// after is where the run stands within 180 s: ended, or with its task in the queue again.
	after func(v *dag.RunView, task *asynq.TaskInfo) bool
	// mend is what then brings the run to its end; nil: nothing is needed but a worker.
	mend func(l *lab, run, queue string) error
	end  dag.RunState
}

func buttons() []button {
	ended := func(code string) func(*dag.RunView, *asynq.TaskInfo) bool {
		return func(v *dag.RunView, _ *asynq.TaskInfo) bool {
			e := v.Steps[0].Error
			return v.State == dag.RunFailed && e != nil && e.Code == code
		}
	}
	succeeds := func(v *dag.RunView, _ *asynq.TaskInfo) bool { return v.State == dag.RunSucceeded }
	again := func(v *dag.RunView, task *asynq.TaskInfo) bool {
		return v.Steps[0].Epoch > 1 && task != nil && task.State == asynq.TaskStatePending
	}
	retry := func(l *lab, run, _ string) error {
		_, err := l.client.Retry(context.Background(), run, stepwell.RetryOptions{Step: "s0", Actor: "ann", Reason: "a slip"})
		return err
	}
	run := func(i *asynq.Inspector, queue, task string) error { return i.RunTask(queue, task) }
	remove := func(i *asynq.Inspector, queue, task string) error { return i.DeleteTask(queue, task) }
	archive := func(i *asynq.Inspector, queue, task string) error { return i.ArchiveTask(queue, task) }
	pending, retrying, archived, active := asynq.TaskStatePending, asynq.TaskStateRetry, asynq.TaskStateArchived, asynq.TaskStateActive
	later := job{Do: doRetry, Millis: 150_000}
	return []button{
		{"archive a pending task", job{Do: doQuick}, pending, archive, ended(dag.CodeArchived), retry, dag.RunSucceeded},
		{"delete a pending task", job{Do: doQuick}, pending, remove, again, nil, dag.RunSucceeded},
		{"delete the queue of a pending task", job{Do: doQuick}, pending, func(i *asynq.Inspector, queue, _ string) error {
			return i.DeleteQueue(queue, true)
		}, again, nil, dag.RunSucceeded},
		{"pause the queue of a pending task", job{Do: doQuick}, pending, func(i *asynq.Inspector, queue, _ string) error {
			return i.PauseQueue(queue)
		}, func(v *dag.RunView, task *asynq.TaskInfo) bool {
			return v.State == dag.RunRunning && task != nil && task.State == asynq.TaskStatePending
		}, func(l *lab, _, queue string) error { return l.inspector.UnpauseQueue(queue) }, dag.RunSucceeded},
		{"run a retrying task", later, retrying, run, succeeds, nil, dag.RunSucceeded},
		{"archive a retrying task", later, retrying, archive, ended(dag.CodeArchived), retry, dag.RunSucceeded},
		{"delete a retrying task", later, retrying, remove, succeeds, nil, dag.RunSucceeded},
		{"run an archived task", job{Do: doFail}, archived, run, ended("BROKEN"), nil, dag.RunFailed},
		{"delete an archived task", job{Do: doFail}, archived, remove, ended("BROKEN"), nil, dag.RunFailed},
		{"cancel an active task", job{Do: doSleep, Millis: 20_000}, active, func(i *asynq.Inspector, _, task string) error {
			return i.CancelProcessing(task)
		}, succeeds, nil, dag.RunSucceeded},
	}
}

// TestEachButtonLeavesTheRunConsistent presses each button on each state that a step's task can be in. (A step's task is never scheduled, and none is kept
// when it is done.)
func TestEachButtonLeavesTheRunConsistent(t *testing.T) {
	t.Parallel()
	l := newLab(t, localredis.Options{})
	var served []string
	for i, b := range buttons() {
		queue := fmt.Sprintf("q%d", i)
		l.register(t, workflow(queue, queue, 1))
		if b.before != asynq.TaskStatePending {
			served = append(served, queue)
		}
	}
	l.process(t, "worker", "worker", strings.Join(served, ","), 10, defaultTTL)
	t.Run("", func(t *testing.T) { // waits for all of them
		for i, b := range buttons() {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				l.pressed(t, b, fmt.Sprintf("q%d", i))
			})
		}
	})
}

// pressed plays one button to the end of its run.
func (l *lab) pressed(t *testing.T, b button, queue string) {
	t.Helper()
	id := l.start(t, queue, b.input)[0]
	first := dag.Delivery{Run: id, Step: "s0", Epoch: 1}.TaskID()
	redistest.Await(t, 30*time.Second, "the task is "+b.before.String(), func(context.Context) (bool, string) {
		info, err := l.inspector.GetTaskInfo(queue, first)
		return err == nil && info.State == b.before, fmt.Sprint(info, err)
	})
	redistest.Await(t, 30*time.Second, "the hand-over was reported", func(ctx context.Context) (bool, string) {
		waits, err := l.raw.ZScore(ctx, fmt.Sprintf("{sw:%02x}:agenda", partitionOf(t, id)), "send:"+id+":s0:1").Result()
		return errors.Is(err, redis.Nil), fmt.Sprint(waits, err)
	})
	if err := b.press(l.inspector, queue, first); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	redistest.Await(t, consistent, "the run is consistent again", func(ctx context.Context) (bool, string) {
		v := l.view(ctx, id)
		if len(v.Steps) == 0 {
			return false, "no run"
		}
		info, _ := l.inspector.GetTaskInfo(queue, dag.Delivery{Run: id, Step: "s0", Epoch: v.Steps[0].Epoch}.TaskID()) // none is an answer
		return b.after(&v, info), describe(&v)
	})
	took := time.Since(began)
	if b.mend != nil {
		if err := b.mend(l, id, queue); err != nil {
			t.Fatal(err)
		}
	}
	if b.before == asynq.TaskStatePending {
		l.process(t, "worker", "worker-"+queue, queue, 1, defaultTTL)
	}
	v := l.all(t, time.Minute, "the run has ended", []string{id}, ended)[0]
	if v.State != b.end {
		t.Errorf("want %s: %s", b.end, describe(&v))
	}
	page, err := l.store.DeadLetters(t.Context(), dag.DeadLetterQuery{Workflow: "bars/" + queue, Limit: 10})
	if err != nil || (len(page.Letters) == 1) != (b.end == dag.RunFailed) {
		t.Errorf("%d dead letters of a run that %s, %v", len(page.Letters), v.State, err)
	}
	t.Logf("%s: consistent after %.0fs", b.name, took.Seconds())
}

func partitionOf(t *testing.T, run string) int {
	t.Helper()
	p, err := dag.RunPartition(run)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
