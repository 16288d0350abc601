package chaos

import (
	"slices"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Evidence is everything that can be known when the faults are over and the runs had their time to end.
type Evidence struct {
	Parents map[string][]string // of each step of the workflow
	Makers  []string            // steps that leave an effect outside

	Orders  []Order
	Runs    map[string]Run // by ID; a run that the API does not know is not there
	Letters []Letter
	Effects []Effect

	Died    []int         // IDs of processes that ended or were stopped, by whatever cause
	Kills   []time.Time   // of Redis
	MayLose time.Duration // how much of the past a kill of Redis may take away; 0 is nothing
}

// Order is a request that was accepted.
type Order struct {
	Key      string // idempotency key
	Run      string
	Want     Want
	Created  time.Time // of the run, as its ID says
	Accepted time.Time // when the answer was read
}

// Want is what an order has to come to.
type Want struct {
	State dag.RunState
	Step  string // that fails; "" when none does
	Code  string // of its error; "" is any
}

// Run is what the API says of a run.
type Run struct {
	ID    string
	State dag.RunState
	Steps []Step
	Log   []Event
}

// Step is a step of a run.
type Step struct {
	Name     string
	State    dag.StepState
	Code     string // of its error
	Attempts int
	Crashes  int
}

// Event is a line of a run's log.
type Event struct {
	Name   string // begun, succeeded, failed, crashed, …
	Step   string
	Worker int // ID of the process; 0 when none is named
	At     time.Time
}

// Letter is a dead letter.
type Letter struct{ Run, Step string }

// Effect is a trace in the outside world. The same ID again is the same effect.
type Effect struct {
	Run  string
	Step string // that made it
	Item string // tells the effects of one step apart; "" when it makes one
	ID   string
	At   time.Time // zero when nobody knows
}

func (r *Run) step(name string) Step {
	i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return Step{Name: name, State: dag.StepPending}
	}
	return r.Steps[i]
}
