package enginetest_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

func sendOf(step string) dag.Send {
	return dag.Send{Delivery: dag.Delivery{Run: "r", Step: step, Epoch: 1}, Queue: "q"}
}

func TestFakeQueueInspect(t *testing.T) {
	t.Parallel()
	q := &enginetest.FakeQueue{}
	a := sendOf("a")
	want := func(info engine.TaskInfo) {
		t.Helper()
		got, err := q.Inspect(t.Context(), "q", []dag.Delivery{a.Delivery})
		if diff := cmp.Diff([]engine.TaskInfo{info}, got); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	}
	want(engine.TaskInfo{State: engine.TaskNone})
	for _, info := range []engine.TaskInfo{
		{State: engine.TaskRetry, Next: time.Unix(7, 0)},
		{State: engine.TaskScheduled, Next: time.Unix(8, 0)},
		{State: engine.TaskActive},
		{State: engine.TaskArchived, Verdict: true},
		{State: engine.TaskArchived},
		{State: engine.TaskCompleted},
		{State: engine.TaskZombie},
	} {
		q.Put(a, info)
		want(info)
		if err := q.Enqueue(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		want(info)
		if _, ok := q.Take(); ok {
			t.Fatalf("a task that is %s was taken", info.State)
		}
	}
	q.Put(a, engine.TaskInfo{State: engine.TaskPending})
	want(engine.TaskInfo{State: engine.TaskPending})
	if _, ok := q.Take(); !ok {
		t.Fatal("a pending task was not taken")
	}
	want(engine.TaskInfo{State: engine.TaskActive})
	if err := q.Delete(t.Context(), "q", a.Delivery); err != nil {
		t.Fatal(err)
	}
	want(engine.TaskInfo{State: engine.TaskActive})
	q.LoseQueue("q")
	want(engine.TaskInfo{State: engine.TaskNoQueue})
	if err := q.Adopt(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	want(engine.TaskInfo{State: engine.TaskActive})
	q.Put(a, engine.TaskInfo{State: engine.TaskNone})
	want(engine.TaskInfo{State: engine.TaskNone})
	if diff := cmp.Diff([]string{"q"}, q.Adopted()); diff != "" {
		t.Fatal(diff)
	}
	away := errors.New("away")
	q.Blind = func(dag.Delivery) error { return away }
	if _, err := q.Inspect(t.Context(), "q", []dag.Delivery{a.Delivery}); !errors.Is(err, away) {
		t.Fatal(err)
	}
}

func TestFakeQueueArchived(t *testing.T) {
	t.Parallel()
	q := &enginetest.FakeQueue{}
	var want []dag.Delivery
	for i := range enginetest.ArchivedPage + 2 {
		s := sendOf("step" + strconv.Itoa(10+i))
		q.Put(s, engine.TaskInfo{State: engine.TaskArchived})
		want = append(want, s.Delivery)
	}
	q.Put(sendOf("other"), engine.TaskInfo{State: engine.TaskRetry})
	var got []dag.Delivery
	for page, more := 1, true; more; page++ {
		var tasks []dag.Delivery
		var err error
		if tasks, more, err = q.Archived(t.Context(), "q", page); err != nil {
			t.Fatal(err)
		}
		got = append(got, tasks...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if tasks, more, err := q.Archived(t.Context(), "another", 1); len(tasks) > 0 || more || err != nil {
		t.Fatal(tasks, more, err)
	}
	infos, err := q.Queues(t.Context())
	if diff := cmp.Diff([]engine.QueueInfo{{Name: "q", Retry: 1, Archived: len(want)}}, infos); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
}
