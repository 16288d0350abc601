package asynqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine/enginetest"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// inBubble runs a test of the wrapper with time of its own.
func inBubble(t *testing.T, test func(r *rig)) {
	t.Helper()
	client := idle(t)
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		test(newRig(t, client))
	})
}

// sleep lets time pass in a bubble, where it takes none.
func sleep(d time.Duration) { <-time.After(d) }

func TestHandlersSeeInputParentsAndAncestors(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		tasks.Handle(r.reg, "shop.a", func(_ context.Context, s *tasks.Step) (map[string]any, error) {
			in, err := tasks.Input[map[string]json.Number](s)
			s.Log().Info("from the handler")
			return map[string]any{"n": in["n"], "key": s.EffectKey()}, err
		})
		tasks.Handle(r.reg, "shop.b", func(ctx context.Context, s *tasks.Step) (string, error) {
			a, err := tasks.Output[map[string]any](ctx, s, "a")
			return a["key"].(string) + "+b", err
		})
		tasks.Handle(r.reg, "shop.c", func(ctx context.Context, s *tasks.Step) ([]any, error) {
			a, err := tasks.Output[map[string]any](ctx, s, "a") // not a parent
			if err != nil {
				return nil, err
			}
			_, unknown := tasks.Output[any](ctx, s, "c")
			return []any{a["n"], errors.Is(unknown, tasks.ErrNoOutput)}, nil
		})
		run := r.start(&dag.Workflow{Namespace: "shop", Name: "three", Version: "1.0.0", Steps: []dag.Step{
			{Name: "a", Handler: "shop.a"},
			{Name: "b", Handler: "shop.b", DependsOn: []string{"a"}},
			{Name: "c", Handler: "shop.c", DependsOn: []string{"b"}},
		}})
		for range 3 {
			if err := r.deliver(r.next()); err != nil {
				r.t.Fatal(err)
			}
		}
		view := r.view(run)
		if view.State != dag.RunSucceeded {
			r.t.Fatalf("run is %s", view.State)
		}
		got := []string{string(view.Steps[0].Output), string(view.Steps[1].Output), string(view.Steps[2].Output)}
		want := []string{`{"key":"` + run + `:a","n":1.0}`, `"` + run + `:a+b"`, `[1,true]`}
		if diff := cmp.Diff(want, got); diff != "" {
			r.t.Errorf("outputs (-want +got):\n%s", diff)
		}
		line := r.log.String()
		line = line[:strings.Index(line, "from the handler")]
		if log := r.log.String()[len(line):]; !strings.Contains(log[:strings.Index(log, "\n")],
			`"run":"`+run+`","step":"a","attempt":1,"workflow":"shop/three","worker":"`+r.ID()+`","correlation_id":"c-7"`) {
			r.t.Errorf("the handler's log line lacks its attributes: %s", log)
		}
	})
}

func TestWhatAHandlerReturnsDecides(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		handler tasks.Handler
		told    string
		delay   time.Duration // without the rounding's
		state   dag.StepState
		err     *dag.StepError
		output  string
	}{
		"plain error": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { return nil, boom },
			told:    "retry", delay: time.Second, state: dag.StepRetrying, err: &dag.StepError{Code: "ERROR", Message: "boom", Retryable: true},
		},
		"retry after": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) {
				return nil, tasks.RetryAfter(boom, 40*time.Second)
			},
			told: "retry", delay: 40 * time.Second, state: dag.StepRetrying, err: &dag.StepError{Code: "ERROR", Message: "boom", Retryable: true},
		},
		"permanent": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { return nil, tasks.Permanent("BAD", boom) },
			told:    "archive", state: dag.StepFailed, err: &dag.StepError{Code: "BAD", Message: "boom"},
		},
		"refused": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { return nil, tasks.Refused("NO", boom) },
			told:    "archive", state: dag.StepFailed, err: &dag.StepError{Code: "NO", Message: "boom", Refused: true},
		},
		"panic": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { panic("at the disco") },
			told:    "retry", delay: time.Second, state: dag.StepRetrying, err: &dag.StepError{Code: "PANIC", Message: "panic: at the disco", Retryable: true, Stack: "process_test.go"},
		},
		"end of the goroutine": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { runtime.Goexit(); return nil, nil },
			told:    "retry", delay: time.Second, state: dag.StepRetrying,
			err: &dag.StepError{Code: "PANIC", Message: "the handler ended its goroutine (runtime.Goexit)", Retryable: true, Stack: "process_test.go"},
		},
		"no output": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { return nil, nil },
			told:    "drop", state: dag.StepSucceeded, output: "null",
		},
		"no JSON": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) { return json.RawMessage(`{"a":`), nil },
			told:    "archive", state: dag.StepFailed, err: &dag.StepError{Code: "INVALID_OUTPUT", Message: "output: invalid JSON: unexpected end of JSON input (at byte 5)"},
		},
		"too large": {
			handler: func(context.Context, *tasks.Step) (json.RawMessage, error) {
				return json.RawMessage(`"` + strings.Repeat("x", dag.MaxOutputBytes) + `"`), nil
			},
			told: "archive", state: dag.StepFailed,
			err: &dag.StepError{Code: "OUTPUT_TOO_LARGE", Message: "output of 262146 bytes, at most 262144 are allowed; keep large data elsewhere and return where it is"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(r *rig) {
				r.reg.Add("shop.x", c.handler)
				run := r.start(one("shop.x"))
				err := r.deliver(r.next())
				if got := told(err); got != c.told {
					r.t.Errorf("asynq is told to %s (%v), want %s", got, err, c.told)
				}
				if c.told == "retry" && r.RetryDelay(err) != c.delay+999*time.Millisecond {
					r.t.Errorf("delay %s, want %s and 999 ms", r.RetryDelay(err), c.delay)
				}
				step := r.step(run)
				if step.Error != nil && c.err != nil && strings.Contains(step.Error.Stack, c.err.Stack) {
					step.Error.Stack = c.err.Stack
				}
				if diff := cmp.Diff(c.err, step.Error); diff != "" {
					r.t.Errorf("error (-want +got):\n%s", diff)
				}
				if step.State != c.state || string(step.Output) != c.output {
					r.t.Errorf("step is %s with output %q, want %s with %q", step.State, step.Output, c.state, c.output)
				}
			})
		})
	}
}

func TestRunAboveItsLimitFailsTheStep(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		big := json.RawMessage(`"` + strings.Repeat("x", dag.MaxOutputBytes-2) + `"`)
		r.reg.Add("shop.big", func(context.Context, *tasks.Step) (json.RawMessage, error) { return big, nil })
		w := &dag.Workflow{Namespace: "shop", Name: "many", Version: "1.0.0"}
		for i := range dag.MaxRunBytes/dag.MaxOutputBytes + 1 {
			w.Steps = append(w.Steps, dag.Step{Name: "s" + string(rune('a'+i)), Handler: "shop.big"})
		}
		run := r.start(w)
		var archived, refused int
		for range w.Steps {
			if err := r.deliver(r.next()); errors.Is(err, asynq.SkipRetry) {
				archived++
			}
		}
		for _, s := range r.view(run).Steps {
			if s.Error != nil && s.Error.Code == dag.CodeOutputTooLarge {
				refused++
			}
		}
		if archived != 2 || refused != 2 { // 15 outputs and the input fit
			r.t.Errorf("%d tasks archived, %d steps failed with OUTPUT_TOO_LARGE; want 2 each", archived, refused)
		}
	})
}

func TestTimeoutOfAHandlerThatListens(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.slow", func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, asynqueue.ErrTimeout) {
				t.Errorf("cause %v, want ErrTimeout", cause)
			}
			return nil, ctx.Err()
		})
		w := one("shop.slow")
		w.Steps[0].Timeout = 15 * time.Second
		run := r.start(w)
		if err := r.deliver(r.next()); told(err) != "retry" {
			r.t.Fatalf("asynq is told %v", err)
		}
		want := &dag.StepError{Code: "TIMEOUT", Message: "did not return within 15s: context deadline exceeded", Retryable: true}
		if diff := cmp.Diff(want, r.step(run).Error); diff != "" {
			r.t.Errorf("error (-want +got):\n%s", diff)
		}
		if took := time.Since(r.began); took != 15*time.Second {
			r.t.Errorf("took %s", took)
		}
		if len(r.abandoned) != 0 {
			r.t.Error("a handler that returned counts as left behind")
		}
	})
}

func TestHandlerThatIgnoresItsContextIsLeftBehind(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		wake := make(chan struct{})
		r.reg.Add("shop.deaf", func(context.Context, *tasks.Step) (json.RawMessage, error) {
			<-wake
			return json.RawMessage(`"late"`), nil
		})
		w := one("shop.deaf")
		w.Steps[0].Timeout = 15 * time.Second
		run := r.start(w)
		if err := r.deliver(r.next()); told(err) != "retry" {
			r.t.Fatalf("asynq is told %v", err)
		}
		if took := time.Since(r.began); took != 16*time.Second {
			r.t.Errorf("given up after %s, want 16s", took)
		}
		close(wake)
		synctest.Wait()
		if diff := cmp.Diff([]int{1, 0}, r.abandoned); diff != "" {
			r.t.Errorf("gauge (-want +got):\n%s", diff)
		}
		step := r.step(run)
		if step.State != dag.StepRetrying || step.Error.Message != "did not return within 15s" {
			r.t.Errorf("step is %s with %v, want retrying: the late result is dropped", step.State, step.Error)
		}
	})
}

func TestLostClaimEndsTheContextAndNothingIsCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, asynqueue.ErrLost) {
				t.Errorf("cause %v, want ErrLost", cause)
			}
			return json.RawMessage(`"for nothing"`), nil
		})
		run := r.start(one("shop.x"))
		answer := r.deliverInBackground(r.next())
		synctest.Wait()
		r.takeOver(run, true)
		if crashes := r.step(run).Crashes; crashes != 1 {
			r.t.Fatalf("%d crashes after the takeover", crashes)
		}
		if err := <-answer; err != nil {
			r.t.Errorf("asynq is told %v, want nothing: the new epoch has a task of its own", err)
		}
		step := r.step(run)
		if step.State != dag.StepQueued || step.Crashes != 0 || step.Output != nil {
			r.t.Errorf("step is %s with %d crashes and output %q; want queued, the crash taken back", step.State, step.Crashes, step.Output)
		}
	})
}

func TestFencedResultSendsOneLastHeartbeat(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		proceed := make(chan struct{})
		r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) { <-proceed; return nil, nil })
		run := r.start(one("shop.x"))
		answer := r.deliverInBackground(r.next())
		synctest.Wait()
		var beats atomic.Int32
		r.onCall(func(method string) enginetest.Fault {
			if method == "Heartbeat" {
				beats.Add(1)
			}
			return enginetest.FaultNone
		})
		r.takeOver(run, true)
		close(proceed)
		if err := <-answer; err != nil {
			r.t.Errorf("asynq is told %v", err)
		}
		if n := beats.Load(); n != 1 || r.step(run).Crashes != 0 {
			r.t.Errorf("%d heartbeats, %d crashes; want one that takes the crash back", n, r.step(run).Crashes)
		}
	})
}

func TestCancelledRunEndsTheContext(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(ctx context.Context, _ *tasks.Step) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		run := r.start(one("shop.x"))
		answer := r.deliverInBackground(r.next())
		synctest.Wait()
		if _, err := r.store.Cancel(r.t.Context(), dag.OperatorRequest{Run: run, Nonce: "operator"}); err != nil {
			r.t.Fatal(err)
		}
		if err := <-answer; err != nil {
			r.t.Errorf("asynq is told %v", err)
		}
		if step := r.step(run); step.State != dag.StepCancelled || step.Error.Message != asynqueue.ErrRunCancelled.Error() {
			r.t.Errorf("step is %s with %v, want cancelled", step.State, step.Error)
		}
	})
}

// away makes the n-th to m-th call of a method go wrong.
func away(method string, fault enginetest.Fault, times int32) func(string) enginetest.Fault {
	var calls atomic.Int32
	return func(m string) enginetest.Fault {
		if m == method && calls.Add(1) <= times {
			return fault
		}
		return enginetest.FaultNone
	}
}

func TestResultOutlivesAnAbsenceOfRedis(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		fault  enginetest.Fault
		fails  bool // the handler
		state  dag.StepState
	}{
		"complete refused":   {"Complete", enginetest.FaultRefused, false, dag.StepSucceeded},
		"complete's reply":   {"Complete", enginetest.FaultLost, false, dag.StepSucceeded},
		"fail refused":       {"Fail", enginetest.FaultRefused, true, dag.StepRetrying},
		"fail's reply":       {"Fail", enginetest.FaultLost, true, dag.StepRetrying},
		"begin's reply":      {"Begin", enginetest.FaultLost, false, dag.StepSucceeded},
		"begin refused":      {"Begin", enginetest.FaultRefused, false, dag.StepSucceeded},
		"heartbeats refused": {"Heartbeat", enginetest.FaultRefused, false, dag.StepSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(r *rig) {
				var ran atomic.Int32
				r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) {
					ran.Add(1)
					sleep(20 * time.Second)
					if c.fails {
						return nil, errors.New("boom")
					}
					return json.RawMessage(`1`), nil
				})
				run := r.start(one("shop.x"))
				r.onCall(away(c.method, c.fault, 45))
				err := r.deliver(r.next())
				step := r.step(run)
				if step.State != c.state || step.Attempts != 1 || step.Crashes != 0 || ran.Load() != 1 {
					r.t.Errorf("step is %s after %d attempts, handler ran %d times, told %v; want %s, once", step.State, step.Attempts, ran.Load(), err, c.state)
				}
				if wantDrop := !c.fails; (err == nil) != wantDrop {
					r.t.Errorf("asynq is told %v", err)
				}
			})
		})
	}
}

// The negative control of the test above: a wrapper whose process ends, so that it cannot repeat, leaves the result behind.
func TestResultIsLostWithoutRepetition(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) { return json.RawMessage(`1`), nil })
		run := r.start(one("shop.x"))
		r.onCall(func(method string) enginetest.Fault {
			if method != "Complete" {
				return enginetest.FaultNone
			}
			r.end()
			return enginetest.FaultRefused
		})
		if err := r.deliver(r.next()); told(err) != "later" {
			r.t.Errorf("asynq is told %v, want to deliver it again", err)
		}
		if step := r.step(run); step.State != dag.StepRunning {
			r.t.Errorf("step is %s, want it left running for the sweeper", step.State)
		}
	})
}

// dialFails is a store whose Begin found no connection.
type dialFails struct{ *enginetest.Faulty }

func (dialFails) Begin(context.Context, dag.BeginRequest) (dag.Begun, error) {
	return dag.Begun{}, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// broken is a store whose Begin gets an answer that repeating does not cure.
type broken struct{ *enginetest.Faulty }

func (broken) Begin(context.Context, dag.BeginRequest) (dag.Begun, error) {
	return dag.Begun{}, errors.New("key steps:… is a string and must be a hash")
}

func TestBeginThatCouldNotBeSentIsGivenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) {
			t.Error("the handler ran")
			return nil, nil
		})
		r.start(one("shop.x"))
		send := r.next()
		r.replaceStore(dialFails{r.faults})
		err := r.deliver(send)
		if told(err) != "later" || r.RetryDelay(err) != 2*time.Second+999*time.Millisecond {
			r.t.Errorf("asynq is told to %s in %s", told(err), r.RetryDelay(err))
		}
		r.replaceStore(broken{r.faults})
		err = r.deliver(send)
		if told(err) != "later" || r.RetryDelay(err) != 15*time.Second+999*time.Millisecond {
			r.t.Errorf("asynq is told to %s in %s", told(err), r.RetryDelay(err))
		}
	})
}

func TestHandlersAreLookedUpExactly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		var ran []string
		for _, name := range []string{"pay", "pay_refund"} {
			r.reg.Add(name, func(context.Context, *tasks.Step) (json.RawMessage, error) { ran = append(ran, name); return nil, nil })
		}
		w := one("pay_refund")
		w.Steps = append(w.Steps, dag.Step{Name: "other", Handler: "pay_ref", DependsOn: []string{"only"}})
		r.start(w)
		if err := r.deliver(r.next()); err != nil {
			r.t.Error(err)
		}
		send := r.next()
		for range 2 {
			err := r.deliver(send)
			if told(err) != "later" || r.RetryDelay(err) != 15*time.Second+999*time.Millisecond {
				r.t.Errorf("without a handler asynq is told to %s in %s", told(err), r.RetryDelay(err))
			}
		}
		if diff := cmp.Diff([]string{"pay_refund"}, ran); diff != "" {
			r.t.Errorf("handlers that ran (-want +got):\n%s", diff)
		}
		if n := strings.Count(r.log.String(), "no handler for a task"); n != 1 {
			r.t.Errorf("logged %d times, want once", n)
		}
	})
}

func TestForgedTaskRunsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		for _, name := range []string{"pay", "refund"} {
			r.reg.Add(name, func(context.Context, *tasks.Step) (json.RawMessage, error) {
				return json.RawMessage(`"` + name + `"`), nil
			})
		}
		run := r.start(one("pay"))
		forged := r.next()
		forged.Handler = "refund"
		if err := r.deliver(forged); err != nil {
			r.t.Error(err)
		}
		if step := r.step(run); step.State != dag.StepQueued || step.Failures != 0 {
			r.t.Fatalf("step is %s with %d failures, want queued again", step.State, step.Failures)
		}
		if err := r.deliver(r.next()); err != nil {
			r.t.Error(err)
		}
		if step := r.step(run); string(step.Output) != `"pay"` {
			r.t.Errorf("output %s", step.Output)
		}
	})
}

func TestBrokenTasksAreArchivedAndNotLogged(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		for _, payload := range []string{"", "{}", `{"run":"secret"}`, `{"card":"4242"}`, strings.Repeat("x", 1000)} {
			if err := r.Deliver(r.life, "step:pay", []byte(payload)); told(err) != "archive" {
				r.t.Errorf("payload %.20q: asynq is told %v", payload, err)
			}
		}
		if log := r.log.String(); strings.Contains(log, "4242") || strings.Contains(log, "secret") {
			r.t.Errorf("a payload is in the log: %s", log)
		}
		payload := []byte(`{"run":"run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA","step":"a","epoch":1,"def":"0123456789abcdef0123456789abcdef"}`)
		if err := r.Deliver(r.life, "email:send", payload); told(err) != "later" {
			r.t.Errorf("foreign task: asynq is told %v", err)
		}
	})
}

func TestSecondDeliveryOfTheSameTaskWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		var ran atomic.Int32
		r.reg.Add("shop.x", func(context.Context, *tasks.Step) (json.RawMessage, error) {
			ran.Add(1)
			sleep(10 * time.Second)
			return nil, nil
		})
		run := r.start(one("shop.x"))
		send := r.next()
		first := r.deliverInBackground(send)
		synctest.Wait()
		err := r.deliver(send)
		if told(err) != "later" || r.RetryDelay(err) < 5*time.Second {
			r.t.Errorf("the second is told to %s in %s", told(err), r.RetryDelay(err))
		}
		if err := <-first; err != nil {
			r.t.Error(err)
		}
		if err := r.deliver(send); err != nil { // DONE
			r.t.Error(err)
		}
		if step := r.step(run); ran.Load() != 1 || step.Attempts != 1 || step.State != dag.StepSucceeded {
			r.t.Errorf("handler ran %d times in %d attempts, step is %s", ran.Load(), step.Attempts, step.State)
		}
	})
}
