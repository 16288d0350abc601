package engine

import (
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	auditEvery   = time.Hour // from the begin of a pass to that of the next
	auditRate    = 100       // runs a second an installation: 360,000 in the hour of a pass
	archiveLooks = 300       // looks into one queue's archive a pass; asynq keeps 10,000 tasks there, a hundred a look
)

// auditPass is a walk over all runs of a share, and over the archives of the queues, a page a round.
type auditPass struct {
	began   time.Time // local
	running bool

	done       [dag.Partitions]bool
	cursors    [dag.Partitions]string
	runs       int
	mismatches int

	listed bool     // the queues below were asked for
	queues []string // whose archives are still to be looked at; page and looks are of the first
	page   int
	looks  int
}

// audit is a round's part of a pass.
func (s *sweeper) audit(ctx context.Context) {
	if now := s.cfg.Now(); s.pass.began.IsZero() || !s.pass.running && now.Sub(s.pass.began) >= auditEvery {
		s.pass = auditPass{began: now, running: true}
	}
	if !s.pass.running {
		return
	}
	within(ctx, func(ctx context.Context) {
		runs, tasks := s.auditRuns(ctx), s.auditArchives(ctx)
		s.pass.running = runs || tasks
	})
	if !s.pass.running {
		s.cfg.Log.InfoContext(ctx, "audit done", "runs", s.pass.runs, "mismatches", s.pass.mismatches)
	}
}

// auditRuns checks a page of runs; more is false when the share has no more of them.
func (s *sweeper) auditRuns(ctx context.Context) (more bool) {
	p := 0
	for p < dag.Partitions && (s.pass.done[p] || !s.owns(p)) {
		p++
	}
	if p == dag.Partitions {
		return false
	}
	page, err := s.store.Audit(ctx, p, s.pass.cursors[p], max(s.portion(auditRate), 1))
	if err != nil {
		s.pass.done[p] = true
		s.cfg.Log.WarnContext(ctx, "partition not audited to its end; the next pass begins it again", "partition", p, "err", err)
		return true
	}
	s.pass.runs += page.Runs
	s.pass.cursors[p], s.pass.done[p] = page.Next, page.Next == ""
	for _, m := range page.Mismatches {
		s.pass.mismatches++
		s.cfg.Log.WarnContext(ctx, "audit: a run disagrees with its counts or indexes", "run", m.Run, "what", m.What)
		if h := s.cfg.Hooks.Mismatch; h != nil {
			h(m)
		}
	}
	return true
}

// auditArchives removes archived tasks that stand for no failed step; more is false when no archive is left to look at. One sweeper of all does it,
// that which has the first group.
func (s *sweeper) auditArchives(ctx context.Context) (more bool) {
	a := &s.pass
	if !s.groups[0] {
		return false
	}
	if !a.listed {
		infos, err := s.queue.Queues(ctx)
		if err != nil {
			s.cfg.Log.DebugContext(ctx, "archives of the queues not audited", "err", err)
		}
		ours := s.queuesInUse(ctx)
		for _, q := range infos {
			if q.Archived > 0 && ours[q.Name] {
				a.queues = append(a.queues, q.Name)
			}
		}
		a.listed, a.page = true, 1
	}
	if len(a.queues) == 0 {
		return false
	}
	if s.auditArchive(ctx, a.queues[0]) {
		return true
	}
	a.queues, a.page, a.looks = a.queues[1:], 1, 0
	return len(a.queues) > 0
}

// auditArchive looks at a page of a queue's archive; more is false when that was the last.
func (s *sweeper) auditArchive(ctx context.Context, queue string) (more bool) {
	a := &s.pass
	tasks, more, err := s.queue.Archived(ctx, queue, a.page)
	if err != nil {
		s.cfg.Log.DebugContext(ctx, "archive not audited; the next pass begins it again", "queue", queue, "err", err)
		return false
	}
	removed := s.dropArchived(ctx, queue, tasks)
	if removed == 0 {
		a.page++ // else the next ones have moved up to this page
	}
	a.looks++
	return more && a.looks < archiveLooks
}

// dropArchived deletes those of the tasks that stand for no failed step, and returns how many. A step that still waits for its archived task is for the
// doubts to bury, and one that runs is its worker's.
func (s *sweeper) dropArchived(ctx context.Context, queue string, tasks []dag.Delivery) (removed int) {
	if len(tasks) == 0 {
		return 0
	}
	steps, err := s.store.StepsAt(ctx, tasks)
	if err != nil {
		s.cfg.Log.DebugContext(ctx, "steps of archived tasks not looked up", "queue", queue, "err", err)
		return 0
	}
	for _, at := range steps {
		if at.At == at.Epoch && (at.State == dag.StepFailed || at.State.Active()) {
			continue
		}
		if err := s.queue.Delete(ctx, queue, at.Delivery); err != nil {
			s.cfg.Log.DebugContext(ctx, "archived task not deleted", "run", at.Run, "step", at.Step, "err", err)
			continue
		}
		removed++
	}
	return removed
}

// queuesInUse are the queues of registered workflows. Another installation may share the server, and its queues the list of all: what is archived there
// is none of ours. Queues that no registered version uses any more keep their archives, which asynq itself bounds.
func (s *sweeper) queuesInUse(ctx context.Context) map[string]bool {
	needed, err := s.needs(ctx)
	if err != nil {
		s.cfg.Log.DebugContext(ctx, "archives of the queues not audited", "err", err)
	}
	ours := map[string]bool{}
	for _, n := range needed {
		ours[n.Queue] = true
	}
	return ours
}
