//go:build integration

package crashpoint_test

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stepwell/stepwell/test/faultproxy"
)

// pace is how long an outside call takes at least: claims are renewed meanwhile.
const pace = 150 * time.Millisecond

// aim is a fault at a point.
type aim struct {
	point
	fault fault
}

// What a director answers to an outside call.
const (
	goOn    = "go on"
	refused = "refused" // the call fails, and has no effect
	lost    = "lost"    // the call was made, and its answer is lost
)

// director watches everything that one process does between the start and the end of its run, and either records it or makes one fault happen.
// It is safe for concurrent use.
type director struct {
	steps  []string
	aim    *aim   // nil records
	refuse string // the outside call that is refused the first time
	kill   func() // ends the process at once and waits for its end

	mu       sync.Mutex
	open     bool          // between start and end
	asked    map[kind]int  // commands on their way
	answered map[kind]int  // and answered
	pending  int           // tasks that wait in the queue
	taken    int           // tasks that were dequeued
	points   []point       // recorded
	fired    time.Time     // of the fault
	hit      chan struct{} // closed then
}

func newDirector(steps []string, a *aim, refuse string) *director {
	return &director{steps: steps, aim: a, refuse: refuse, asked: map[kind]int{}, answered: map[kind]int{}, hit: make(chan struct{})}
}

// on sets the rules of a proxy.
func (d *director) on(p *faultproxy.Proxy) {
	p.On(faultproxy.Rule{Match: d.before, Times: -1, Action: faultproxy.CutBefore, Hook: func(*faultproxy.Call) { d.strike() }})
	p.On(faultproxy.Rule{Match: d.after, Times: -1, Action: faultproxy.LoseReply, Hook: func(*faultproxy.Call) { d.strike() }})
}

func (d *director) setOpen(open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = open
}

// recorded are the points that were recorded, in order.
func (d *director) recorded() []point {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.points)
}

// task is the kind of a dequeue that gets a task.
func task() kind { return kind{name: dequeueTask, ofRun: true} }

// before sees each command before Redis does, and tells whether the fault is to happen now.
func (d *director) before(c *faultproxy.Call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kindOf(c, d.steps)
	if k.name == dequeueTask {
		if d.pending > 0 {
			return d.meets(point{task(), d.taken + 1}, killBefore)
		}
		k = kind{name: dequeueEmpty}
	}
	if d.open {
		d.asked[k]++
	}
	return d.meets(point{k, d.asked[k]}, killBefore)
}

// after sees each command when Redis has answered it.
func (d *director) after(c *faultproxy.Call) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kindOf(c, d.steps)
	switch {
	case k.name == dequeueTask && found(c.Reply):
		k, d.pending, d.taken = task(), d.pending-1, d.taken+1
	case k.name == dequeueTask:
		k = kind{name: dequeueEmpty}
	case k.name == "asynq.enqueue":
		d.pending += number(c.Reply)
	case k.name == forward && number(c.Reply) > 0:
		k, d.pending = kind{name: forwardTask, ofRun: true}, d.pending+number(c.Reply)
	}
	return d.happened(k)
}

// happened counts what was done and tells whether the fault is to happen now.
func (d *director) happened(k kind) bool {
	if !d.open {
		return false
	}
	d.answered[k]++
	p := point{k, d.answered[k]}
	if d.aim == nil {
		if p.nth <= k.limit() || k.name == dequeueTask {
			d.points = append(d.points, p)
		}
		return false
	}
	return d.meets(p, killAfter) || d.meets(p, loseReply)
}

// meets tells whether this is the point of the fault, once.
func (d *director) meets(p point, f fault) bool {
	if !d.open || d.aim == nil || *d.aim != (aim{p, f}) || !d.fired.IsZero() {
		return false
	}
	d.fired = time.Now()
	return true
}

// strike makes the fault happen, as far as it is one of the process.
func (d *director) strike() {
	if d.aim.fault != loseReply {
		d.kill()
	}
	close(d.hit)
}

// outside answers a handler that is about to make an outside call, or has made it.
func (d *director) outside(w http.ResponseWriter, r *http.Request) {
	call, done := r.FormValue("call"), r.FormValue("done") != ""
	if !done {
		select {
		case <-time.After(pace):
		case <-r.Context().Done():
			return
		}
	}
	answer := goOn
	switch {
	case !done && d.refuses(call):
		answer = refused
	case d.called(outside(call), done):
		d.strike()
		answer = lost
	}
	_, _ = w.Write([]byte(answer)) // the caller may be dead
}

// refuses tells, once, that a call is to be refused. It is no point.
func (d *director) refuses(call string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if call != d.refuse {
		return false
	}
	d.refuse = ""
	return true
}

func (d *director) called(k kind, done bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if done {
		return d.happened(k)
	}
	if d.open {
		d.asked[k]++
	}
	return d.meets(point{k, d.asked[k]}, killBefore)
}
