package enginetest

import (
	"context"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// The calls of a rig: what their replies are called, and what they answer when they are repeated.

func (r *rig) create(run dag.NewRun) (dag.Created, error) {
	r.t.Helper()
	v := verb[dag.Created]{
		name: "create", errors: true,
		reply: func(c dag.Created) string {
			if c.Replayed {
				return "DUP"
			}
			return "OK"
		},
		repeated: func(c dag.Created) dag.Created { return dag.Created{ID: c.ID, Replayed: c.Replayed} },
	}
	args := run
	args.Graph = nil
	return call(r, v, args, func(ctx context.Context, s Subject) (dag.Created, error) { return s.CreateRun(ctx, run) })
}

func (r *rig) begin(req dag.BeginRequest) dag.Begun {
	r.t.Helper()
	v := verb[dag.Begun]{name: "begin", reply: func(b dag.Begun) string { return string(b.Verdict) }}
	return must(call(r, v, req, func(ctx context.Context, s Subject) (dag.Begun, error) { return s.Begin(ctx, req) }))
}

func (r *rig) heartbeat(req dag.HeartbeatRequest) dag.Beat {
	r.t.Helper()
	v := verb[dag.Beat]{name: "heartbeat", reply: func(b dag.Beat) string {
		if b.Lost {
			return "LOST"
		}
		return "OK"
	}}
	return must(call(r, v, req, func(ctx context.Context, s Subject) (dag.Beat, error) { return s.Heartbeat(ctx, req) }))
}

// settling are the verbs that answer with Settled; then is the reply when one that was OK is repeated.
func settling(name string, then dag.Reply) verb[dag.Settled] {
	return verb[dag.Settled]{
		name:  name,
		reply: func(s dag.Settled) string { return string(s.Reply) },
		repeated: func(s dag.Settled) dag.Settled {
			if s.Reply == dag.ReplyOK {
				s.Reply, s.Sends = then, nil
			}
			return s
		},
	}
}

func (r *rig) complete(req dag.CompleteRequest) dag.Settled {
	r.t.Helper()
	args := []any{req.ClaimRef, len(req.Output)}
	return must(call(r, settling("complete", dag.ReplyAlready), args, func(ctx context.Context, s Subject) (dag.Settled, error) {
		return s.Complete(ctx, req)
	}))
}

func (r *rig) fail(req dag.FailRequest) dag.Settled {
	r.t.Helper()
	return must(call(r, settling("fail", dag.ReplyAlready), req, func(ctx context.Context, s Subject) (dag.Settled, error) {
		return s.Fail(ctx, req)
	}))
}

func (r *rig) release(ref dag.ClaimRef) dag.Settled {
	r.t.Helper()
	return must(call(r, settling("release", dag.ReplyAlready), ref, func(ctx context.Context, s Subject) (dag.Settled, error) {
		return s.Release(ctx, ref)
	}))
}

func (r *rig) reissue(req dag.ReissueRequest) dag.Settled {
	r.t.Helper()
	return must(call(r, settling("reissue", dag.ReplyRaced), req, func(ctx context.Context, s Subject) (dag.Settled, error) {
		return s.Reissue(ctx, req)
	}))
}

func (r *rig) expire(run string) dag.Expired {
	r.t.Helper()
	v := verb[dag.Expired]{
		name:  "expire",
		reply: func(a dag.Expired) string { return string(a.Reply) },
		repeated: func(a dag.Expired) dag.Expired {
			if a.Reply == dag.ReplyOK {
				a.Reply = dag.ReplyAlready
			}
			return a
		},
	}
	return must(call(r, v, run, func(ctx context.Context, s Subject) (dag.Expired, error) { return s.Expire(ctx, run) }))
}

func (r *rig) due(partition, limit int) dag.Due {
	r.t.Helper()
	return r.dueWithin(partition, dag.DueLimits{Entries: limit, Doubts: limit})
}

func (r *rig) dueWithin(partition int, limits dag.DueLimits) dag.Due {
	r.t.Helper()
	v := verb[dag.Due]{name: "due", reply: dueReply}
	return must(call(r, v, []any{partition, limits}, func(ctx context.Context, s Subject) (dag.Due, error) {
		return s.Due(ctx, partition, limits)
	}))
}

// dueReply names the rarest kind of work that is due.
func dueReply(due dag.Due) string {
	switch {
	case len(due.Purges) > 0:
		return "PURGES"
	case len(due.Doubts) > 0:
		return "DOUBTS"
	case len(due.Claims) > 0:
		return "CLAIMS"
	case len(due.Ends) > 0:
		return "ENDS"
	case len(due.Stale) > 0:
		return "STALE"
	case len(due.Sends) > 0:
		return "SENDS"
	}
	return "NOTHING"
}

// waiting is what Waiting returns: the clocks of a test are all the same.
type waiting struct {
	Partitions []int
	Clocks     int
	Now        time.Time
}

func (r *rig) waiting() waiting {
	r.t.Helper()
	v := verb[waiting]{name: "waiting", reply: func(waiting) string { return "OK" }}
	return must(call(r, v, "", func(ctx context.Context, s Subject) (w waiting, err error) {
		var clocks []time.Time
		w.Partitions, clocks, err = s.Waiting(ctx)
		if w.Clocks = len(clocks); w.Clocks > 0 {
			w.Now = clocks[0]
		}
		return w, err
	}))
}

// done is the verb whose only answer is that it happened.
func done(name string) verb[struct{}] {
	return verb[struct{}]{name: name, reply: func(struct{}) string { return "OK" }}
}

func (r *rig) handedOver(deliveries ...dag.Delivery) {
	r.t.Helper()
	must(call(r, done("handed_over"), deliveries, func(ctx context.Context, s Subject) (struct{}, error) {
		return struct{}{}, s.HandedOver(ctx, deliveries)
	}))
}

func (r *rig) later(d dag.Delivery, delay time.Duration) {
	r.t.Helper()
	must(call(r, done("later"), d, func(ctx context.Context, s Subject) (struct{}, error) {
		return struct{}{}, s.Later(ctx, d, delay)
	}))
}

// read compares what subjects return for something that changes nothing.
func read[A any](r *rig, name string, do func(context.Context, Subject) (A, error)) (A, error) {
	r.t.Helper()
	v := verb[A]{name: name, errors: true, reply: func(A) string { return "OK" }}
	return call(r, v, "", do)
}

// must drops the error of a verb that has none: [ask] ends the test when there is one.
func must[A any](value A, _ error) A { return value }
