package enginetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// script is a rig with one run in the middle of attention, for scenarios.
type script struct {
	*rig
	run   string
	graph *dag.Graph
	count int // of runs and nonces, to make new ones
}

const (
	ttl    = 20 * time.Second
	worker = "worker-1"
)

// compile builds a graph of steps written as "name" or "name<parent,parent". Each has three attempts.
func compile(t TB, name string, steps ...string) *dag.Graph {
	t.Helper()
	w := workflow(name, "1.0.0", steps...)
	g, err := dag.Compile(&w)
	if err != nil {
		t.Fatalf("compile %v: %v", steps, err)
	}
	return g
}

func workflow(name, version string, steps ...string) dag.Workflow {
	w := dag.Workflow{Namespace: "test", Name: name, Version: version}
	for _, text := range steps {
		step, parents, ok := strings.Cut(text, "<")
		s := dag.Step{Name: step, Handler: "test." + step, Queue: "q-" + step, Timeout: 15 * time.Second, Retry: dag.RetryPolicy{MaxAttempts: 3}}
		if ok {
			s.DependsOn = strings.Split(parents, ",")
		}
		w.Steps = append(w.Steps, s)
	}
	return w
}

// newRun is a request for a run of the graph with a new ID, in partition 5 without a key.
func (s *script) newRun(g *dag.Graph, change func(*dag.NewRun)) dag.NewRun {
	s.count++
	run := dag.NewRun{Graph: g, Input: json.RawMessage(`{"cart":[1.0,2]}`), Timeout: time.Hour, TraceParent: "00-trace"}
	if change != nil {
		change(&run)
	}
	partition := 5
	if run.Key != "" {
		partition = dag.PartitionOf(g.Namespace, g.Name, run.Key)
	}
	if run.ID == "" {
		run.ID = dag.NewRunID(partition, fmt.Sprintf("%026d", s.count))
	}
	return run
}

// start creates a run and makes it the one that the other methods are about.
func (s *script) start(g *dag.Graph, change func(*dag.NewRun)) dag.Created {
	s.t.Helper()
	if !slices.Contains(s.graphs, g) {
		s.graphs = append(s.graphs, g)
	}
	run := s.newRun(g, change)
	created, err := s.create(run)
	if err != nil || created.ID != run.ID || created.Replayed {
		s.t.Fatalf("create run: %+v, %v", created, err)
	}
	s.run, s.graph = created.ID, g
	return created
}

func (s *script) nonce() string {
	s.count++
	return "nonce-" + strconv.Itoa(s.count)
}

func (s *script) ref(step, nonce string) dag.ClaimRef {
	return dag.ClaimRef{Run: s.run, Step: step, Def: s.graph.Digest, Nonce: nonce}
}

// step is the step as the state has it.
func (s *script) step(name string) Fields { return s.state.Steps[s.run][name] }

func (s *script) epoch(step string) int { return int(s.step(step).number("epoch")) }

func (s *script) delivery(step string) dag.Delivery {
	return dag.Delivery{Run: s.run, Step: step, Epoch: s.epoch(step)}
}

// operator is a request about the run, or about a step of it.
func (s *script) operator(step string) dag.OperatorRequest {
	return dag.OperatorRequest{Run: s.run, Step: step, Nonce: s.nonce(), Actor: "ann", Reason: "the provider is back"}
}

// pauses pauses the run.
func (s *script) pauses() {
	s.t.Helper()
	if got := s.pause(s.operator("")); got.Reply != dag.ReplyOK {
		s.t.Fatalf("pause: %+v", got)
	}
}

// cancels cancels the run.
func (s *script) cancels() {
	s.t.Helper()
	if got := s.cancel(s.operator("")); got.Reply != dag.ReplyOK {
		s.t.Fatalf("cancel: %+v", got)
	}
}

// request asks to begin the present delivery of a step.
func (s *script) request(step, nonce string) dag.BeginRequest {
	return dag.BeginRequest{Delivery: s.delivery(step), Def: s.graph.Digest, Nonce: nonce, Worker: worker, TTL: ttl}
}

// claim begins a step and returns the claim.
func (s *script) claim(step string) dag.ClaimRef {
	s.t.Helper()
	req := s.request(step, s.nonce())
	req.Alone = true
	if got := s.begin(req); got.Verdict != dag.VerdictRun {
		s.t.Fatalf("begin %s: %s", step, got.Verdict)
	}
	return s.ref(step, req.Nonce)
}

// finish claims and completes a step, and returns the names of the steps that this made ready.
func (s *script) finish(step string) []string {
	s.t.Helper()
	got := s.complete(dag.CompleteRequest{ClaimRef: s.claim(step), Output: json.RawMessage(strconv.Quote(step))})
	s.wantOK("complete", got, dag.StepSucceeded)
	return names(got.Sends)
}

func names(sends []dag.Send) []string {
	list := []string{}
	for _, send := range sends {
		list = append(list, send.Step)
	}
	return list
}

// breaks claims and fails a step for good.
func (s *script) breaks(step string, refused bool) {
	s.t.Helper()
	cause := dag.StepError{Code: "NO", Message: "it is broken", Refused: refused}
	got := s.fail(dag.FailRequest{ClaimRef: s.claim(step), Error: cause})
	s.wantOK("fail", got, dag.StepFailed)
}

// stumbles claims a step and fails the attempt, with another to come after delay.
func (s *script) stumbles(step string, delay time.Duration) (dag.ClaimRef, dag.Settled) {
	s.t.Helper()
	ref := s.claim(step)
	got := s.fail(dag.FailRequest{ClaimRef: ref, Error: dag.StepError{Code: "SLOW", Message: "try later", Retryable: true}, Delay: delay})
	return ref, got
}

// asSeen asks to reissue the step as it is now.
func (s *script) asSeen(step string, crash bool, delay time.Duration) dag.ReissueRequest {
	f := s.step(step)
	return dag.ReissueRequest{
		Run: s.run, Step: step, Def: s.graph.Digest, State: f.step(), Epoch: s.epoch(step), Nonce: f["claim"], Crash: crash, Delay: delay,
	}
}

// archived asks to bury the step as it is now.
func (s *script) archived(step string) dag.BuryRequest {
	return dag.BuryRequest{
		Delivery: s.delivery(step), Def: s.graph.Digest, State: s.step(step).step(),
		Error: dag.StepError{Code: dag.CodeArchived, Message: "a person archived its task"},
	}
}

// look is a look at the task of the step's present delivery.
func (s *script) look(step string, after time.Duration, active bool) dag.Look {
	return dag.Look{Delivery: s.delivery(step), After: after, Active: active}
}

// send is a send of a step of the run.
func (s *script) send(step string, epoch int) dag.Send {
	return dag.Send{
		Delivery: dag.Delivery{Run: s.run, Step: step, Epoch: epoch}, Def: s.graph.Digest, Handler: "test." + step, Queue: "q-" + step,
		TraceParent: "00-trace",
	}
}

// lastLine is the last line of the run's log.
func (s *script) lastLine() string { return s.state.Logs[s.run][len(s.state.Logs[s.run])-1] }

// dies claims a step, lets the lease run out and declares the claim dead.
func (s *script) dies(step string) (dag.ClaimRef, dag.Settled) {
	s.t.Helper()
	ref := s.claim(step)
	s.advance(ttl)
	return ref, s.reissue(s.asSeen(step, true, 0))
}

func (s *script) wantOK(what string, got dag.Settled, step dag.StepState) {
	s.t.Helper()
	if got.Reply != dag.ReplyOK || got.Step != step {
		s.t.Fatalf("%s: %s, step %s; want OK, step %s", what, got.Reply, got.Step, step)
	}
}

// wantStep compares fields of a step, given as name, value, name, value.
func (s *script) wantStep(step string, pairs ...string) {
	s.t.Helper()
	s.wantFields("step "+step, s.step(step), pairs)
}

// wantRun compares fields of the run.
func (s *script) wantRun(pairs ...string) {
	s.t.Helper()
	s.wantFields("run", s.state.Runs[s.run], pairs)
}

func (s *script) wantFields(what string, got Fields, pairs []string) {
	s.t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if got[pair[0]] != pair[1] {
			s.t.Fatalf("%s: %s is %q, want %q", what, pair[0], got[pair[0]], pair[1])
		}
	}
}

// want compares anything.
func (s *script) want(what string, got, want any) {
	s.t.Helper()
	if diff := difference(want, got); diff != "" {
		s.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// at is a time of the script's clock in the form of the state.
func (s *script) at(d time.Duration) string { return number(s.now.Add(d).UnixMilli()) }

func (s *script) ms(d time.Duration) int64 { return s.now.Add(d).UnixMilli() }

// sendEntry is the agenda's entry for the present delivery of a step.
func (s *script) sendEntry(step string) string {
	return fmt.Sprintf("send:%s:%s:%d", s.run, step, s.epoch(step))
}

// events are the events of the run's log, with the step behind a space.
func (s *script) events() []string {
	list := []string{}
	for _, line := range s.state.Logs[s.run] {
		var parts []any
		if err := json.Unmarshal([]byte(line), &parts); err != nil {
			s.t.Fatalf("log line %s: %v", line, err)
		}
		text := make([]string, 0, 2)
		for _, p := range parts[1:min(len(parts), 3)] {
			text = append(text, fmt.Sprint(p))
		}
		list = append(list, strings.TrimSpace(strings.Join(text, " ")))
	}
	return list
}
