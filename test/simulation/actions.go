package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// action is something that happens. Pick chooses to whom, How in which way; both mean something in any state of the world.
type action struct {
	Do        string
	Pick, How int
}

// weights says how often what happens.
func weights() map[string]int {
	return map[string]int{
		"start": 40, "deliver": 160, "deliver twice": 8, "go on": 340, "go on, reply lost": 25, "go on, call refused": 15, "go on, then die": 6, "go on, then roll back": 14,
		"kill": 4, "terminate": 3, "stop": 3, "cut": 4, "mend": 12, "remember": 30, "roll back": 14, "lose a task": 8, "inspect nothing": 2, "stall": 4,
		"operate": 25, "button": 25, "lose the queue's name": 1, "redis clock": 1, "own clock": 1,
		"moment": 260, "while": 30, "long": 4,
	}
}

// drawEpisode draws the actions of an episode.
func drawEpisode(seed uint64, n int) []action {
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance, not secrets
	var bag []string
	all := weights()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		bag = append(bag, slices.Repeat([]string{name}, all[name])...)
	}
	list := make([]action, n)
	for i := range list {
		list[i] = action{bag[rng.IntN(len(bag))], rng.IntN(1 << 16), rng.IntN(1 << 16)}
	}
	return list
}

// at is an element that Pick means; ok is false when there is none.
func at[T any](list []T, pick int) (one T, ok bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[pick%len(list)], true
}

// working lists the processes that can do something.
func (w *world) working() []*process {
	return slices.DeleteFunc(slices.Clone(w.procs), func(p *process) bool { return !p.works() })
}

// holding is a slot of a process that works.
func (w *world) holding(pick int) (p *process, s *slot, ok bool) {
	var procs []*process
	var slots []*slot
	for _, p := range w.working() {
		for _, s := range p.slots {
			procs, slots = append(procs, p), append(slots, s)
		}
	}
	s, ok = at(slots, pick)
	if !ok {
		return nil, nil, false
	}
	return procs[pick%len(procs)], s, true
}

// play does one action, if there is anything to do it to.
func (w *world) play(a action) {
	w.met("action", a.Do)
	p, ok := at(w.working(), a.Pick)
	switch a.Do {
	case "moment":
		w.advance(time.Duration(a.How%1200) * time.Millisecond)
	case "while":
		w.advance(time.Duration(a.How%25) * time.Second)
	case "long":
		w.advance(time.Duration(1+a.How%5) * time.Minute)
	case "go on", "go on, reply lost", "go on, call refused", "go on, then die", "go on, then roll back":
		w.playGoOn(a)
	case "remember":
		w.remember()
	case "roll back":
		w.rollBack(a.How)
	case "button", "lose a task":
		w.playQueue(a)
	case "redis clock":
		w.ahead += []time.Duration{-time.Minute, time.Minute, -3 * time.Second, 3 * time.Second}[a.How%4]
	default:
		if ok {
			w.playProcess(p, a)
		}
	}
}

func (w *world) playProcess(p *process, a action) {
	switch a.Do {
	case "start":
		w.start(p, a.How, a.How/7, []fault{passes, passes, passes, replyLost, refused}[a.How%5])
		p.plan("Enqueue", passes)
	case "deliver":
		if t, ok := at(w.queue.waiting(), a.How); ok && !p.leaving {
			t.state, t.owner, t.lease = engine.TaskActive, p, w.now.Add(taskLease)
			p.deliver(t)
		}
	case "deliver twice":
		if t, ok := at(w.queue.in(engine.TaskActive, engine.TaskPending, engine.TaskRetry), a.How); ok {
			p.deliver(t)
		}
	case "kill":
		p.wakes = w.now.Add(time.Duration(a.How%40) * time.Second)
		p.dies()
	case "terminate":
		if !p.leaving {
			p.leaving = true
			break
		}
		p.wakes = w.now.Add(time.Duration(a.How%10) * time.Second)
		p.exits()
	case "stop":
		p.wakes = w.now.Add(time.Duration(5+a.How%60) * time.Second)
	case "cut":
		p.cut = true
	case "mend":
		for _, p := range w.procs {
			p.cut = false
		}
	case "own clock":
		p.skew += []time.Duration{-time.Hour, 10 * time.Minute, -10 * time.Second}[a.How%3]
	case "operate":
		w.operate(p, a)
	case "stall":
		w.queue.stalls = w.now.Add(time.Duration(a.How%600) * time.Second)
	case "inspect nothing":
		p.plan("Inspect", refused)
	case "lose the queue's name":
		w.queue.lost[queueName] = true
	}
}

func (w *world) playGoOn(a action) {
	p, s, ok := w.holding(a.Pick)
	if !ok {
		return
	}
	switch a.Do {
	case "go on":
		p.goOn(s, passes, a.How)
	case "go on, reply lost":
		p.goOn(s, replyLost, a.How)
		if a.How%3 == 0 { // and its repetition takes its time
			s.rests = w.now.Add(time.Duration(a.How%400) * time.Second)
		}
	case "go on, then roll back":
		w.remember()
		p.goOn(s, []fault{passes, replyLost}[a.How%2], a.How/6)
		w.rollBack(a.How)
	case "go on, call refused":
		p.goOn(s, refused, a.How)
	default: // between the change and the hand-over of what it made ready, or in the middle of a handler
		p.plan("Enqueue", refused)
		p.goOn(s, []fault{passes, replyLost}[a.How%2], a.How)
		p.wakes = w.now.Add(time.Duration(a.How%20) * time.Second)
		p.dies()
	}
}

// playQueue presses one of the buttons of the queue's dashboard, or loses what a server forgot.
func (w *world) playQueue(a action) {
	q := w.queue
	t, ok := at(q.in(engine.TaskPending, engine.TaskRetry, engine.TaskArchived), a.Pick)
	if a.Do == "lose a task" {
		t, ok = at(q.in(engine.TaskRetry), a.Pick)
		if !ok || a.Pick%2 == 0 {
			t, ok = at(q.in(engine.TaskPending, engine.TaskRetry, engine.TaskArchived, engine.TaskActive), a.Pick)
		}
		if ok {
			how := a.How % 9
			if t.state == engine.TaskRetry && a.How%4 == 0 {
				how = 8
			}
			t.owner = nil
			switch how {
			case 0, 1, 2:
				delete(q.tasks, t.send.TaskID())
			case 3, 4, 5:
				t.state = engine.TaskZombie
			case 6: // a foreign hand; none of ours is ever kept when it is done, or scheduled
				t.state = engine.TaskCompleted
			case 7: // what is left of a task whose step had failed for good, when only the store was rolled back
				t.state, t.verdict = engine.TaskArchived, true
			case 8:
				t.state, t.next = engine.TaskScheduled, w.now.Add(time.Duration(a.How%300)*time.Second)
			}
		}
		return
	}
	button := []string{"run", "delete", "archive", "pause", "resume", "cancel"}[a.How%6]
	w.met("button", button)
	switch button {
	case "pause":
		q.paused[queueName] = true
	case "resume":
		q.paused[queueName] = false
	case "cancel": // asynq gives the task back while its handler still runs
		if active, found := at(q.in(engine.TaskActive), a.Pick); found {
			active.state, active.owner, active.next = engine.TaskRetry, nil, w.now.Add(time.Second)
		}
	}
	if !ok {
		return
	}
	w.met("button", button, string(t.state))
	switch button {
	case "run":
		t.state = engine.TaskPending
	case "delete":
		delete(q.tasks, t.send.TaskID())
	case "archive":
		t.state = engine.TaskArchived // its LastErr stays what it was
	}
}

// operate is an operator's verb on some run.
func (w *world) operate(p *process, a action) {
	run, ok := at(slices.Sorted(maps.Keys(w.accepted)), a.How)
	if !ok {
		return
	}
	view, err := w.store.Run(context.Background(), run)
	if err != nil {
		return
	}
	step := view.Steps[a.How/8%len(view.Steps)].Name
	req := engine.OperatorRequest{Run: run, Step: step, Actor: "ann", Reason: "chance"}
	verbs := []struct {
		name string
		do   func(context.Context, engine.OperatorRequest) (dag.RunView, error)
	}{
		{"Retry", p.engine.Retry},
		{"Retry", p.engine.Retry},
		{"Skip", p.engine.Skip},
		{"Resolve", p.engine.Resolve},
		{"Pause", p.engine.Pause},
		{"Resume", p.engine.Resume},
		{"Resume", p.engine.Resume},
		{"Cancel", p.engine.Cancel},
	}
	v := verbs[a.Pick%len(verbs)]
	switch v.name {
	case "Resolve":
		req.Output = json.RawMessage(`"by hand"`)
	case "Pause", "Resume", "Cancel":
		req.Step = ""
	case "Retry":
		if a.How%2 == 0 {
			req.Step = ""
		}
	}
	if a.How%5 == 0 {
		p.plan(v.name, replyLost)
	}
	_, err = v.do(context.Background(), req)
	w.met("verb", v.name, fmt.Sprintf("done=%t", err == nil))
}
