package engine

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	// lookRate is how many steps in doubt an installation looks at in a second: a queue that lost 10,000 tasks is full again in 20 s, after the 120 s
	// until the last of them is looked at. A look costs one read of the queue and its share of a write.
	lookRate  = 500
	lookChunk = 100               // tasks that the queue is asked for in one call
	lookWidth = 16                // steps acted upon at once
	lookSoon  = 30 * time.Second  // until the next look at a step that has only begun to wait
	lookLate  = 120 * time.Second // at one that waits for long
)

// doubtsLimit is how many doubts to read of each partition, when so many have something waiting: a quarter more than an even share of the budget, so that
// the partitions that have more can use what others leave.
func (s *sweeper) doubtsLimit(partitions int) int {
	budget := s.portion(lookRate)
	return min(budget, budget*5/4/max(partitions, 1)+1)
}

// doubtsWithin picks what the budget of a round allows, from each partition in turn the one that waits for the longest.
func doubtsWithin(budget int, dues []dag.Due) []found {
	var picked []found
	for i := 0; ; i++ {
		left := false
		for p := range dues {
			if i >= len(dues[p].Doubts) {
				continue
			}
			if len(picked) == budget {
				return picked
			}
			left = true
			picked = append(picked, found{partition: p, now: dues[p].Now, doubt: dues[p].Doubts[i]})
		}
		if !left {
			return picked
		}
	}
}

// found is a doubt as a partition gave it.
type found struct {
	partition int
	now       time.Time // Redis
	doubt     dag.Doubt
}

// lookAt asks the queue for the tasks of steps in doubt and acts by the table. What stays as it is gets a time for the next look, in one call a
// partition.
func (s *sweeper) lookAt(ctx context.Context, doubts []found) {
	if len(doubts) == 0 {
		return
	}
	stays := make([]bool, len(doubts))
	looks := make([]dag.Look, len(doubts))
	within(ctx, func(ctx context.Context) {
		tasks := s.inspect(ctx, doubts)
		var g errgroup.Group
		g.SetLimit(min(s.width, lookWidth))
		for i := range doubts {
			g.Go(func() error {
				looks[i], stays[i] = s.look(ctx, &doubts[i], tasks[i])
				return nil
			})
		}
		_ = g.Wait() // no function returns an error
	})
	var again [dag.Partitions][]dag.Look
	for i, d := range doubts {
		if stays[i] {
			again[d.partition] = append(again[d.partition], looks[i])
		}
	}
	s.lookAgain(ctx, again)
}

// inspect asks the queue for the tasks of all doubts, a chunk of one queue at a time.
func (s *sweeper) inspect(ctx context.Context, doubts []found) []TaskInfo {
	tasks := make([]TaskInfo, len(doubts))
	byQueue := map[string][]int{}
	for i := range doubts {
		byQueue[doubts[i].doubt.Queue] = append(byQueue[doubts[i].doubt.Queue], i)
	}
	for queue, all := range byQueue {
		for chunk := range slices.Chunk(all, lookChunk) {
			deliveries := make([]dag.Delivery, len(chunk))
			for n, i := range chunk {
				deliveries[n] = doubts[i].doubt.Delivery
			}
			infos, err := s.queue.Inspect(ctx, queue, deliveries)
			if err != nil {
				s.cfg.Log.DebugContext(ctx, "queue not asked for tasks", "queue", queue, "tasks", len(chunk), "err", err)
			}
			for n, i := range chunk {
				tasks[i].State = TaskUnanswered
				if err == nil {
					tasks[i] = infos[n]
				}
			}
		}
	}
	return tasks
}

func (s *sweeper) lookAgain(ctx context.Context, again [dag.Partitions][]dag.Look) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(s.width)
	for p, looks := range again {
		if len(looks) == 0 {
			continue
		}
		g.Go(func() error {
			if err := s.store.LookAgain(ctx, looks); err != nil {
				s.cfg.Log.DebugContext(ctx, "looks not put off; they come again in the next round", "partition", p, "looks", len(looks), "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}

// look is one look; stays is false when the step got another state or epoch, which took its doubt along.
func (s *sweeper) look(ctx context.Context, f *found, task TaskInfo) (again dag.Look, stays bool) {
	d := &f.doubt
	action := judge(s.rulings, d, task, f.now)
	if h := s.cfg.Hooks.Looked; h != nil {
		h(d.State, task.State, action)
	}
	again = dag.Look{
		Delivery: d.Delivery,
		After:    lookAfter(f.now.Sub(d.Since)),
		// What is not known now leaves what was seen before as it is.
		Active: task.State == TaskActive || task.State == TaskUnanswered && !d.Seen.IsZero(),
	}
	switch action {
	case ActionReissue:
		return again, !s.reissueLost(ctx, d, task.State)
	case ActionBury:
		return again, !s.bury(ctx, d)
	case ActionAdopt:
		if err := s.queue.Adopt(ctx, d.Queue); err != nil {
			s.cfg.Log.DebugContext(ctx, "queue not made known again", "queue", d.Queue, "err", err)
			return again, true
		}
		s.cfg.Log.WarnContext(ctx, "queue made known again: its name was lost", "queue", d.Queue)
	case ActionLeave:
	}
	return again, true
}

// lookAfter is when to look again at a step that has waited for so long; one that is not due for a while yet has waited for less than nothing.
func lookAfter(waited time.Duration) time.Duration {
	if waited < 0 {
		waited = overdueAfter - waited
	}
	return min(max(waited, lookSoon), lookLate)
}

// reissueLost gives a step whose task will not come a new one; done is false when the step is not as it was seen, or Redis did not answer.
func (s *sweeper) reissueLost(ctx context.Context, d *dag.Doubt, task TaskState) (done bool) {
	settled, err := s.store.Reissue(ctx, dag.ReissueRequest{Run: d.Run, Step: d.Step, Def: d.Def, State: d.State, Epoch: d.Epoch})
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "step without a task not issued again; looked at again later", "run", d.Run, "step", d.Step, "err", err)
		return false
	}
	if settled.Reply != dag.ReplyOK {
		return false
	}
	s.cfg.Log.WarnContext(ctx, "step issued again: its task would not have come", "run", d.Run, "step", d.Step, "was", d.State, "task", task, "state", settled.Step)
	s.handOver(ctx, settled.Sends)
	s.runEnded(ctx, d.Run, d.Workflow, settled.Run)
	return true
}

// bury fails a step whose task a person archived; done as of reissueLost.
func (s *sweeper) bury(ctx context.Context, d *dag.Doubt) (done bool) {
	cause := dag.StepError{
		Code:    dag.CodeArchived,
		Message: "its task was archived in the queue's dashboard before the step was done; retry the step to run it",
	}
	settled, err := s.store.Bury(ctx, dag.BuryRequest{Delivery: d.Delivery, Def: d.Def, State: d.State, Error: cause})
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "step with an archived task not failed; looked at again later", "run", d.Run, "step", d.Step, "err", err)
		return false
	}
	if settled.Reply != dag.ReplyOK {
		return false
	}
	s.cfg.Log.WarnContext(ctx, "step failed: its task was archived in the queue's dashboard", "run", d.Run, "step", d.Step, "code", cause.Code)
	s.handOver(ctx, settled.Sends)
	s.runEnded(ctx, d.Run, d.Workflow, settled.Run)
	return true
}
