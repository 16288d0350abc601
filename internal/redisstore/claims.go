package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Begin implements [engine.Claims].
func (s *Store) Begin(ctx context.Context, req dag.BeginRequest) (dag.Begun, error) {
	at, err := placeOf(req.Run, req.Def)
	if err != nil {
		return dag.Begun{}, fmt.Errorf("begin: %w", err)
	}
	r, err := s.runBatched(ctx, s.call("begin", at, nil,
		req.Run, req.Step, req.Epoch, req.Nonce, req.Worker, req.TTL.Milliseconds(), flag(req.Alone), req.Def))
	if err != nil {
		return dag.Begun{}, fmt.Errorf("begin step %s of run %s: %w", req.Step, req.Run, err)
	}
	begun := dag.Begun{
		Verdict: word(r, dag.VerdictNoRun, dag.VerdictStale, dag.VerdictDone, dag.VerdictFailed, dag.VerdictBusy, dag.VerdictParked, dag.VerdictAlone, dag.VerdictRun),
		Wait:    r.duration(),
	}
	if begun.Verdict == dag.VerdictRun {
		begun.Claim, err = readClaim(r, &req)
	}
	if r.err != nil {
		err = r.err
	}
	if err != nil {
		return dag.Begun{}, fmt.Errorf("begin step %s of run %s: %w", req.Step, req.Run, err)
	}
	return begun, nil
}

// readClaim reads what follows RUN.
func readClaim(r *reply, req *dag.BeginRequest) (dag.Claim, error) {
	c := dag.Claim{
		ClaimRef: dag.ClaimRef{Run: req.Run, Step: req.Step, Def: req.Def, Nonce: req.Nonce},
		Epoch:    r.int(), Attempts: r.int(), Failures: r.int(), Crashes: r.int(), KeyGeneration: r.int(), Worker: r.text(),
	}
	frozen, err := parseStep(r.text(), req.Step, req.Def)
	if err != nil {
		return dag.Claim{}, err
	}
	c.Handler, c.Queue = frozen.Handler, frozen.Queue
	c.Timeout, c.Retry = time.Duration(frozen.Timeout)*time.Millisecond, frozen.policy()
	c.Config, c.Input = r.raw(), r.raw()
	c.Outputs = make(map[string]json.RawMessage, len(frozen.Parents))
	outputs := r.list()
	for _, parent := range frozen.Parents {
		if raw := outputs.raw(); raw != nil {
			c.Outputs[parent] = raw
		}
	}
	run := r.list()
	c.Workflow, c.Version = run.text(), run.text()
	if raw := run.raw(); raw != nil {
		if err := json.Unmarshal(raw, &c.Labels); err != nil {
			return dag.Claim{}, fmt.Errorf("labels: %w", err)
		}
	}
	c.CorrelationID, c.TraceParent = run.text(), run.text()
	if outputs.err != nil {
		return dag.Claim{}, outputs.err
	}
	return c, run.err
}

// Heartbeat implements [engine.Claims].
func (s *Store) Heartbeat(ctx context.Context, req dag.HeartbeatRequest) (dag.Beat, error) {
	at, err := placeOf(req.Run, req.Def)
	if err != nil {
		return dag.Beat{}, fmt.Errorf("heartbeat: %w", err)
	}
	r, err := s.run(ctx, s.call("heartbeat", at, nil, req.Run, req.Step, req.Nonce, req.TTL.Milliseconds(), flag(req.Leaving)))
	if err != nil {
		return dag.Beat{}, fmt.Errorf("heartbeat of step %s of run %s: %w", req.Step, req.Run, err)
	}
	const lost = "LOST"
	beat := dag.Beat{Lost: word(r, string(dag.ReplyOK), lost) == lost, Run: dag.RunState(r.text())}
	return beat, r.err
}

// Complete implements [engine.Claims].
func (s *Store) Complete(ctx context.Context, req dag.CompleteRequest) (dag.Settled, error) {
	return s.settle(ctx, "complete", &req.ClaimRef,
		[]dag.Reply{dag.ReplyOK, dag.ReplyAlready, dag.ReplyFenced, dag.ReplyTooBig}, string(req.Output), dag.MaxRunBytes)
}

// Fail implements [engine.Claims].
func (s *Store) Fail(ctx context.Context, req dag.FailRequest) (dag.Settled, error) {
	failure, err := marshal(req.Error)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("fail step %s of run %s: write the error: %w", req.Step, req.Run, err)
	}
	return s.settle(ctx, "fail", &req.ClaimRef,
		[]dag.Reply{dag.ReplyOK, dag.ReplyAlready, dag.ReplyFenced}, string(failure), req.Delay.Milliseconds())
}

// Release implements [engine.Claims].
func (s *Store) Release(ctx context.Context, ref dag.ClaimRef) (dag.Settled, error) {
	return s.settle(ctx, "release", &ref, []dag.Reply{dag.ReplyOK, dag.ReplyAlready, dag.ReplyFenced})
}

// settle calls a script that ends a claim.
func (s *Store) settle(ctx context.Context, verb string, ref *dag.ClaimRef, known []dag.Reply, args ...any) (dag.Settled, error) {
	at, err := placeOf(ref.Run, ref.Def)
	if err != nil {
		return dag.Settled{}, fmt.Errorf("%s: %w", verb, err)
	}
	r, err := s.runBatched(ctx, s.call(verb, at, nil, append([]any{ref.Run, ref.Step, ref.Nonce}, args...)...))
	if err != nil {
		return dag.Settled{}, fmt.Errorf("%s step %s of run %s: %w", verb, ref.Step, ref.Run, err)
	}
	return r.settled(ref.Run, ref.Def, known...)
}
