package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
)

// fault is what happens to one call of a process.
type fault int

const (
	passes    fault = iota
	refused         // it does not arrive
	replyLost       // it is carried out, and nobody hears of it
)

// process is a worker, an API and a sweeper in one.
type process struct {
	w      *world
	id     string // of the worker
	engine *engine.Engine
	sweep  func(context.Context)
	slots  []*slot
	alone  *slot // the only one that may run

	alive    bool
	leaving  bool      // SIGTERM has come
	cut      bool      // from store and queue
	wakes    time.Time // stopped until then
	announce time.Time // the last time
	skew     time.Duration

	mu      sync.Mutex
	planned map[string]fault // for the next call of a method
}

func (w *world) newProcess() *process {
	w.made++
	p := &process{w: w, id: "worker-" + strconv.Itoa(w.made), alive: true, planned: map[string]fault{}}
	link := &enginetest.Faulty{Store: w.broken(w.store), Hook: func(method string) enginetest.Fault {
		return enginetest.Fault(p.fault(method)) // the same three
	}}
	var err error
	p.engine, err = engine.New(link, port{p}, anything{}, engine.Config{
		Hooks: w.hooks(), Now: func() time.Time { return w.now.Add(p.skew) },
		Random: func() float64 { return 0.5 }, NewULID: w.ulid,
	})
	if err != nil {
		panic(fmt.Sprintf("engine of a process: %v", err)) // the configuration above is wrong
	}
	p.sweep = p.engine.Sweep()
	return p
}

// anything is a schema check that finds nothing wrong.
type anything struct{}

func (anything) Check(_, _ json.RawMessage) error { return nil }

// works tells whether the process does anything at the moment.
func (p *process) works() bool { return p.alive && !p.w.now.Before(p.wakes) }

// plan lets the next call of a method go wrong.
func (p *process) plan(method string, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planned[method] = f
}

func (p *process) fault(method string) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive || p.cut {
		return refused
	}
	f := p.planned[method]
	delete(p.planned, method)
	return f
}

// stage is how far a slot is.
type stage int

const (
	beginning  stage = iota // begin has not been answered
	handling                // the handler runs
	committing              // the outcome has not been answered
)

// slot runs one delivery of a task.
type slot struct {
	task  *task
	stage stage
	nonce string
	alone bool
	claim dag.Claim

	rests     time.Time // nothing is asked before
	beat      time.Time // the last heartbeat
	lost      bool      // the claim
	cancelled bool      // the run

	call string // the outcome, with what it is called with
	err  dag.StepError
}

func (p *process) deliver(t *task) {
	p.w.nonces++
	p.slots = append(p.slots, &slot{task: t, nonce: fmt.Sprintf("n%d", p.w.nonces)})
}

func (p *process) drop(s *slot) {
	p.slots = slices.DeleteFunc(p.slots, func(other *slot) bool { return other == s })
	if p.alone == s {
		p.alone = nil
	}
}

// goOn takes a slot one stage further, with a fault in the call that this takes. how decides what the handler does.
func (p *process) goOn(s *slot, f fault, how int) {
	if p.w.now.Before(s.rests) {
		return
	}
	switch s.stage {
	case beginning:
		p.begin(s, f)
	case handling:
		p.finish(s, how)
	case committing:
		p.commit(s, f)
	}
}

func (p *process) begin(s *slot, f fault) {
	switch {
	case p.leaving:
		p.conclude(s, callNone, wordShutdown, "", 0)
		return
	case p.alone != nil && p.alone != s:
		p.conclude(s, callNone, wordCrowded, "", 0)
		return
	}
	d := s.task.send.Delivery
	p.plan("Begin", f)
	begun, err := p.engine.Begin(context.Background(), dag.BeginRequest{Delivery: d, Def: s.task.send.Def, Nonce: s.nonce, Worker: p.id, Alone: s.alone})
	switch {
	case err != nil && p.cut && f == passes:
		p.conclude(s, callNone, wordNotSent, "", 0)
	case err != nil: // asked again with the same nonce, for as long as the process lives
	case begun.Verdict == dag.VerdictAlone && !p.busyBeside(s):
		s.alone, p.alone = true, s
	case begun.Verdict != dag.VerdictRun:
		p.conclude(s, callBegin, string(begun.Verdict), "", begun.Wait)
	default:
		s.stage, s.claim, s.beat = handling, begun.Claim, p.w.now
		p.w.handlerBegins(&s.claim)
	}
}

// busyBeside tells whether another slot holds a claim.
func (p *process) busyBeside(s *slot) bool {
	return slices.ContainsFunc(p.slots, func(other *slot) bool { return other != s && other.stage != beginning })
}

// finish is the end of the handler.
func (p *process) finish(s *slot, how int) {
	s.stage = committing
	switch {
	case s.lost, s.cancelled:
		s.call, s.err = callFail, dag.StepError{Code: dag.CodeError, Message: "context cancelled", Retryable: true}
	case p.leaving && how%2 == 0:
		s.call = callRelease
	case how%100 < 70:
		s.call = callComplete
	case how%100 < 92:
		s.call, s.err = callFail, dag.StepError{Code: "SLOW", Message: "later", Retryable: true}
	default:
		s.call, s.err = callFail, dag.StepError{Code: "NO", Message: "never", Refused: how%3 == 0}
	}
}

func (p *process) commit(s *slot, f fault) {
	ctx := context.Background()
	var settled dag.Settled
	var err error
	switch s.call {
	case callComplete:
		p.plan("Complete", f)
		settled, err = p.engine.Complete(ctx, &s.claim, json.RawMessage(strconv.Quote(s.claim.Step)), time.Second)
	case callFail:
		p.plan("Fail", f)
		settled, err = p.engine.Fail(ctx, &s.claim, s.err, 0, time.Second)
	default:
		p.plan("Release", f)
		settled, err = p.engine.Release(ctx, &s.claim, time.Second)
	}
	p.engine.Quiesce()
	if err != nil {
		return // sent again until it is answered
	}
	if settled.Reply == dag.ReplyOK && p.w.dead[s.nonce] {
		p.w.wrong("attempt %s of step %s of run %s was taken over, and its %s was accepted", s.nonce, s.claim.Step, s.claim.Run, s.call)
	}
	if settled.Reply == dag.ReplyFenced {
		p.heartbeat(s)
	}
	var state dag.StepState
	if s.call == callFail && settled.Reply != dag.ReplyFenced {
		state = settled.Step
	}
	p.conclude(s, s.call, string(settled.Reply), state, settled.Delay)
}

// conclude tells the queue, and the slot is free.
func (p *process) conclude(s *slot, call, word string, state dag.StepState, wait time.Duration) {
	order, marked := p.w.decide(call, word, state, wait)
	p.w.queue.tell(s.task, order, marked)
	p.drop(s)
}

func (p *process) heartbeat(s *slot) {
	s.beat = p.w.now
	beat, err := p.engine.Heartbeat(context.Background(), s.claim.ClaimRef, p.leaving)
	if err != nil {
		return
	}
	s.lost = s.lost || beat.Lost
	s.cancelled = s.cancelled || beat.Run == dag.RunCancelling || beat.Run == dag.RunCancelled
}

// second is what the process does by itself each second.
func (p *process) second() {
	if !p.works() {
		return
	}
	if p.w.now.Sub(p.announce) >= engine.DefaultHeartbeat {
		p.announce = p.w.now
		p.putWorker(false)
	}
	for _, s := range p.slots {
		if s.stage != beginning && p.w.now.Sub(s.beat) >= engine.DefaultHeartbeat {
			p.heartbeat(s)
		}
	}
	if p.w.off != offSweeper {
		p.sweep(context.Background())
	}
}

func (p *process) putWorker(left bool) {
	if p.cut {
		return
	}
	info := dag.WorkerInfo{ID: p.id, Queues: []string{queueName}, Handlers: []string{handlerName}, TTL: engine.DefaultTTL}
	if err := p.w.store.PutWorker(context.Background(), info, left); err != nil {
		panic(fmt.Sprintf("announce a worker: %v", err)) // the memory never fails
	}
}

// dies ends the process as SIGKILL does. What it had fetched stays active in the queue.
func (p *process) dies() {
	p.alive = false
	for _, t := range p.w.queue.in(engine.TaskActive) {
		if t.owner == p {
			t.owner = nil
		}
	}
	p.slots = nil
}

// exits ends the process as SIGTERM does once the handlers have returned or the grace is over.
func (p *process) exits() {
	for _, s := range slices.Clone(p.slots) {
		if s.stage == beginning {
			p.conclude(s, callNone, wordShutdown, "", 0)
		}
	}
	for _, s := range p.slots { // left behind
		p.heartbeat(s)
	}
	p.putWorker(true)
	p.dies()
}

func (p *process) String() string {
	var held []string
	for _, s := range p.slots {
		held = append(held, fmt.Sprintf("%s(%d)", s.task.send.TaskID(), s.stage))
	}
	return fmt.Sprintf("%s alive=%t leaving=%t cut=%t wakes=%s [%s]", p.id, p.alive, p.leaving, p.cut, p.wakes.Format(time.TimeOnly), strings.Join(held, " "))
}
