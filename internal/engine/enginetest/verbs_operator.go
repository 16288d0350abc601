package enginetest

import (
	"context"
	"slices"

	"github.com/stepwell/stepwell/pkg/dag"
)

// operate makes an operator's call. Carried out, it is remembered.
func (r *rig) operate(name string, req dag.OperatorRequest, do func(Subject, context.Context, dag.OperatorRequest) (dag.Operated, error)) dag.Operated {
	r.t.Helper()
	v := verb[dag.Operated]{
		name:  name,
		reply: func(a dag.Operated) string { return string(a.Reply) },
		repeated: func(a dag.Operated) dag.Operated {
			if a.Reply == dag.ReplyOK {
				return dag.Operated{Reply: dag.ReplyAlready, Run: a.Run}
			}
			return a
		},
	}
	args := []any{req.Run, req.Step, req.Nonce, len(req.Output)}
	return must(call(r, v, args, func(ctx context.Context, s Subject) (dag.Operated, error) { return do(s, ctx, req) }))
}

func (r *rig) retry(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("retry", req, Subject.Retry)
}

func (r *rig) skip(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("skip", req, Subject.Skip)
}

func (r *rig) resolve(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("resolve", req, Subject.Resolve)
}

func (r *rig) cancel(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("cancel", req, Subject.Cancel)
}

func (r *rig) pause(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("pause", req, Subject.Pause)
}

func (r *rig) resume(req dag.OperatorRequest) dag.Operated {
	r.t.Helper()
	return r.operate("resume", req, Subject.Resume)
}

func (r *rig) bury(req dag.BuryRequest) dag.Settled {
	r.t.Helper()
	return must(call(r, settling("bury", dag.ReplyRaced), req, func(ctx context.Context, s Subject) (dag.Settled, error) {
		return s.Bury(ctx, req)
	}))
}

func (r *rig) lookAgain(looks ...dag.Look) {
	r.t.Helper()
	must(call(r, done("look_again"), looks, func(ctx context.Context, s Subject) (struct{}, error) {
		return struct{}{}, s.LookAgain(ctx, looks)
	}))
}

func (r *rig) purge(runs ...string) int {
	r.t.Helper()
	v := verb[int]{
		name: "purge",
		reply: func(n int) string {
			if n > 0 {
				return "OK"
			}
			return "NOTHING"
		},
		repeated: func(int) int { return 0 },
	}
	return must(call(r, v, runs, func(ctx context.Context, s Subject) (int, error) { return s.Purge(ctx, runs) }))
}

func (r *rig) stepsAt(deliveries ...dag.Delivery) []dag.StepAt {
	r.t.Helper()
	v := verb[[]dag.StepAt]{name: "steps_at", reply: func([]dag.StepAt) string { return "OK" }}
	return must(call(r, v, deliveries, func(ctx context.Context, s Subject) ([]dag.StepAt, error) { return s.StepsAt(ctx, deliveries) }))
}

func (r *rig) share(id string, left bool) []int {
	r.t.Helper()
	info := dag.SweeperInfo{ID: id, TTL: ttl, Left: left}
	v := verb[[]int]{name: "share", reply: func(groups []int) string {
		if len(groups) > 0 {
			return "OK"
		}
		return "NOTHING"
	}}
	return must(call(r, v, info, func(ctx context.Context, s Subject) ([]int, error) { return s.Share(ctx, info) }))
}

// audit reads all pages. Cursors are each store's own.
func (r *rig) audit(partition, limit int) dag.AuditPage {
	r.t.Helper()
	v := verb[dag.AuditPage]{name: "audit", reply: func(dag.AuditPage) string { return "OK" }}
	return must(call(r, v, []int{partition, limit}, func(ctx context.Context, s Subject) (all dag.AuditPage, err error) {
		for {
			page, err := s.Audit(ctx, partition, all.Next, limit)
			if err != nil {
				return all, err
			}
			if page.Runs > limit {
				r.t.Fatalf("%d runs on a page of %d", page.Runs, limit)
			}
			all.Runs, all.Mismatches, all.Next = all.Runs+page.Runs, slices.Concat(all.Mismatches, page.Mismatches), page.Next
			if all.Next == "" {
				return all, nil
			}
		}
	}))
}
