//go:build integration

package crash_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/gatewaysim"
	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/test/faultproxy"
)

// stuck is how long a control waits before it calls a run stuck. With the protection the same run ends in half of it.
const stuck = 6 * time.Second

// theater is where roles play: a Redis, a gateway in this process, and a file of effects.
type theater struct {
	*bench
	t            *testing.T
	dir, gateway string
	token        string // of the starter's payment
	client       *demo.Client
	cast         int
}

func newTheater(t *testing.T) *theater {
	t.Helper()
	th := &theater{bench: newBench(t), t: t, dir: t.TempDir(), token: "test_hold_visa"}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, th.dir)
		}
	})
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: th.path("gateway.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	th.gateway = "http://" + l.Addr().String()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- g.Run(ctx, l) }()
	th.client = &demo.Client{Gateway: th.gateway}
	t.Cleanup(func() {
		th.client.HTTP.CloseIdleConnections()
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return th
}

func (th *theater) path(name string) string { return filepath.Join(th.dir, name) }

// play starts a role without the given protections, behind a proxy of its own.
func (th *theater) play(t *testing.T, role string, off ...string) (*demo.Process, *faultproxy.Proxy) {
	t.Helper()
	p := th.proxy(t)
	return th.playBehind(t, p, role, off...), p
}

func (th *theater) playBehind(t *testing.T, p *faultproxy.Proxy, role string, off ...string) *demo.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	th.cast++
	proc, err := demo.StartProcess(role+" "+strconv.Itoa(th.cast), demo.Command{Binary: self, LogDir: th.dir, Env: []string{
		envRole + "=" + role, envRedis + "=" + p.URL(), envGateway + "=" + th.gateway, envEffects + "=" + th.path("effects"),
		envBroken + "=" + strings.Join(off, ","), envToken + "=" + th.token,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proc.Kill() }) // most have ended
	return proc
}

// effects counts the traces of a step.
func (th *theater) effects(t *testing.T, step string) int {
	t.Helper()
	raw, err := os.ReadFile(th.path("effects"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(raw), step+"\n")
}

// started plays a starter and returns the run that it has created.
func (th *theater) started(t *testing.T, off ...string) string {
	t.Helper()
	return th.startedBehind(t, th.proxy(t), off...)
}

func (th *theater) startedBehind(t *testing.T, p *faultproxy.Proxy, off ...string) string {
	t.Helper()
	created := p.On(faultproxy.Rule{Match: withDefinition, Action: faultproxy.Hold})
	th.playBehind(t, p, "starter", off...)
	wait(t, quick, "the starter to create the run", created.Done())
	return created.Calls()[0].Run()
}

// withDefinition matches the create_run that creates the first run of a partition: it carries the definition, because the one before it was
// told that there is none.
func withDefinition(c *faultproxy.Call) bool { return c.Script == "create_run" && len(c.Args) > 14 }

// held waits until the gateway holds a charge of the run, under whatever key.
func (th *theater) held(t *testing.T, run string, key ...string) {
	t.Helper()
	k := dag.EffectKey(run, "pay", 0) + strings.Join(key, "")
	eventually(t, quick, "the gateway to hold the charge", func() (bool, string) {
		held, err := th.client.Held(t.Context(), k)
		return held, fmt.Sprint(err)
	})
}

func (th *theater) release(t *testing.T) {
	t.Helper()
	if err := th.client.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// letThrough releases whatever the gateway holds until the end of the test.
func (th *theater) letThrough(t *testing.T) {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(look)
		defer ticker.Stop()
		for {
			_ = th.client.Release(ctx) // the next one does it
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	t.Cleanup(func() { end(); <-done })
}

// stuck checks that a run does not end.
func (th *theater) stuck(t *testing.T, run string) {
	t.Helper()
	over := time.NewTimer(stuck)
	defer over.Stop()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		if view := th.run(t, run); view.State.Ended() {
			t.Fatalf("without the protection the run should not end: %s", describe(view))
		}
		select {
		case <-over.C:
			return
		case <-ticker.C:
		}
	}
}

// verdict checks the end of a run with the protection, or calls stuck without.
func (th *theater) verdict(t *testing.T, run string, protected bool) {
	t.Helper()
	if !protected {
		th.stuck(t, run)
		return
	}
	if view := th.ended(t, quick, run); view.State != dag.RunSucceeded {
		t.Errorf("with the protection the run should succeed: %s", describe(view))
	}
}

// both runs a scenario with and without protections. Only the second is the control; the first shows that nothing else makes it fail.
func both(t *testing.T, off []string, scenario func(th *theater, off []string, protected bool)) {
	t.Helper()
	for _, c := range []struct {
		name string
		off  []string
	}{{"protected", nil}, {"without " + strings.Join(off, " and "), off}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			scenario(newTheater(t), c.off, len(c.off) == 0)
		})
	}
}

func TestControlCrashOfTheStarter(t *testing.T) {
	t.Parallel()
	both(t, []string{offSweeper}, func(th *theater, off []string, protected bool) {
		t := th.t
		th.letThrough(t)
		p := th.proxy(t)
		victim := make(chan *demo.Process, 1)
		hit := p.On(faultproxy.Rule{Match: withDefinition, Action: faultproxy.LoseReply, Hook: func(*faultproxy.Call) { _ = (<-victim).Kill() }})
		victim <- th.playBehind(t, p, "starter", off...)
		wait(t, quick, "the starter to be killed", hit.Done())
		th.play(t, "worker", off...)
		th.verdict(t, hit.Calls()[0].Run(), protected)
	})
}

func TestControlCrashDuringCharge(t *testing.T) {
	t.Parallel()
	both(t, []string{offKey}, func(th *theater, off []string, protected bool) {
		t := th.t
		run := th.started(t)
		worker, _ := th.play(t, "worker", off...)
		if protected {
			th.held(t, run)
		} else {
			th.held(t, run, ":attempt1")
		}
		if err := worker.Kill(); err != nil {
			t.Fatal(err)
		}
		th.letThrough(t) // the charge is made, and nobody hears of it
		th.play(t, "worker", off...)
		counted(t, th.ended(t, quick, run), "pay", 2, 0, 1)
		want := 2
		if protected {
			want = 1
		}
		if charges := ledger(t, th.path("gateway.jsonl")).Charges; len(charges) != want {
			t.Errorf("%d charges, want %d", len(charges), want)
		}
	})
}

func TestControlCrashBeforeEnqueueOfChildren(t *testing.T) {
	t.Parallel()
	both(t, []string{offSweeper}, func(th *theater, off []string, protected bool) {
		t := th.t
		th.letThrough(t)
		p := th.proxy(t)
		victim := make(chan *demo.Process, 1)
		hit := p.On(faultproxy.Rule{Match: faultproxy.Script("complete", "first"), Action: faultproxy.LoseReply, Hook: func(*faultproxy.Call) { _ = (<-victim).Kill() }})
		victim <- th.playBehind(t, p, "worker", off...)
		run := th.started(t, off...)
		wait(t, quick, "the worker to be killed", hit.Done())
		th.play(t, "worker", off...)
		th.verdict(t, run, protected)
	})
}

func TestControlLostReplyOfBegin(t *testing.T) {
	t.Parallel()
	both(t, []string{offRepeat}, func(th *theater, off []string, protected bool) {
		t := th.t
		th.letThrough(t)
		_, p := th.play(t, "worker", off...)
		p.On(faultproxy.Rule{Match: faultproxy.Script("begin", "pay"), Action: faultproxy.LoseReply})
		run := th.started(t)
		attempts := stepOf(th.ended(t, quick, run), "pay").Attempts
		if protected != (attempts == 1) {
			t.Errorf("%d attempts of pay", attempts)
		}
	})
}

func TestControlLostReplyOfComplete(t *testing.T) {
	t.Parallel()
	// Two protections overlap here: the repetition tells the worker that its result was taken, and the sweeper hands the children over.
	both(t, []string{offRepeat, offSweeper}, func(th *theater, off []string, protected bool) {
		t := th.t
		th.letThrough(t)
		_, p := th.play(t, "worker", off...)
		p.On(faultproxy.Rule{Match: faultproxy.Script("complete", "pay"), Action: faultproxy.LoseReply})
		run := th.started(t, off...)
		th.verdict(t, run, protected)
	})
}

func TestControlLostReplyOfFail(t *testing.T) {
	t.Parallel()
	both(t, []string{offRepeat}, func(th *theater, off []string, protected bool) {
		t := th.t
		th.token = "test_temp_fail_network"
		_, p := th.play(t, "worker", off...)
		p.On(faultproxy.Rule{Match: faultproxy.Script("fail", "pay"), Action: faultproxy.LoseReply})
		th.verdict(t, th.started(t), protected)
	})
}

func TestControlDuplicates(t *testing.T) {
	t.Parallel()
	both(t, []string{offDedupe}, func(th *theater, off []string, protected bool) {
		t := th.t
		for range 2 {
			th.play(t, "worker", off...)
		}
		run := th.started(t)
		th.held(t, run)
		view := th.run(t, run)
		th.copies(t, "lab", "lab.pay", view, dag.Delivery{Run: run, Step: "pay", Epoch: stepOf(view, "pay").Epoch}, 4)
		eventually(t, quick, "the copies to be taken", func() (bool, string) {
			info, err := th.inspector.GetQueueInfo("lab")
			return err == nil && info.Pending == 0, fmt.Sprint(info, err)
		})
		th.letThrough(t)
		th.ended(t, quick, run)
		th.drained(t, quick, "lab")
		if n := th.effects(t, "pay"); protected != (n == 1) {
			t.Errorf("%d effects of pay", n)
		}
	})
}

func TestControlShutdown(t *testing.T) {
	t.Parallel()
	both(t, []string{offRelease}, func(th *theater, off []string, protected bool) {
		t := th.t
		run := th.started(t)
		worker, _ := th.play(t, "worker", off...)
		th.held(t, run)
		if err := worker.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		wait(t, quick, "the worker to end", worker.Done())
		th.play(t, "worker", off...)
		th.letThrough(t)
		crashes := stepOf(th.ended(t, quick, run), "pay").Crashes
		if protected != (crashes == 0) {
			t.Errorf("%d crashes of pay", crashes)
		}
	})
}

func TestControlOutage(t *testing.T) {
	t.Parallel()
	both(t, []string{offRepeat}, func(th *theater, off []string, protected bool) {
		t := th.t
		p := th.proxy(t)
		run := th.startedBehind(t, p)
		th.playBehind(t, p, "worker", off...)
		th.held(t, run)
		away(t, p)
		th.release(t)
		lasts(t, 2*labTTL)
		back(t, p)
		th.ended(t, quick, run)
		if n := th.effects(t, "pay"); protected != (n == 1) {
			t.Errorf("the handler ran %d times", n)
		}
	})
}

// TestControlFence stops a worker for longer than its claim holds. When it goes on, another one has the step.
func TestControlFence(t *testing.T) {
	t.Parallel()
	both(t, []string{offFence}, func(th *theater, off []string, protected bool) {
		t := th.t
		run := th.started(t)
		first, mine := th.play(t, "worker", off...)
		th.held(t, run)
		if err := first.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		second, theirs := th.play(t, "worker", off...)
		eventually(t, quick, "the second worker to take over", func() (bool, string) {
			s := stepOf(th.run(t, run), "pay")
			return s.Attempts == 2 && s.State == dag.StepRunning, ""
		})
		late := mine.On(faultproxy.Rule{Match: reportOf("pay"), Action: faultproxy.Hold})
		theirs.On(faultproxy.Rule{Match: reportOf("pay"), Action: faultproxy.CutBefore, Hook: func(*faultproxy.Call) { <-late.Done() }})
		th.release(t)
		if err := first.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		wait(t, quick, "the late report", late.Done())
		view := th.ended(t, quick, run)
		by := string(stepOf(view, "pay").Output)
		if !slices.Contains([]string{strconv.Itoa(first.PID), strconv.Itoa(second.PID)}, by) {
			t.Fatalf("output %s is of neither worker", by)
		}
		if protected == (by == strconv.Itoa(first.PID)) {
			t.Errorf("committed by process %s; the one that lost its claim is %d", by, first.PID)
		}
	})
}

// reportOf matches what ends the claim of a step.
func reportOf(step string) faultproxy.Match {
	complete, fail := faultproxy.Script("complete", step), faultproxy.Script("fail", step)
	return func(c *faultproxy.Call) bool { return complete(c) || fail(c) }
}
