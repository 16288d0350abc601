package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Rule is what a violation breaks.
type Rule string

// The rules.
const (
	Lost       Rule = "lost"        // accepted, and gone or without its effects
	Double     Rule = "double"      // an effect or a commit too many
	Stuck      Rule = "stuck"       // not ended in time
	Early      Rule = "early"       // before its parents
	Unexpected Rule = "unexpected"  // ended in another way than the order has to
	DeadLetter Rule = "dead letter" // missing, or without its failed step
	FalseCrash Rule = "false crash" // counted against a process that lived
	Stranger   Rule = "stranger"    // an effect or a dead letter of a run that nobody was told of
)

const (
	clockSlack  = 5 * time.Millisecond // between times that were read from one clock and rounded in different ways
	longRequest = 5 * time.Second      // from the making of a run's ID to its creation, at most
	poison      = "POISON"
	poisonous   = 3 // crashes
)

// Violation is a broken rule.
type Violation struct {
	Rule   Rule
	Run    string
	Detail string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Rule, v.Run, v.Detail) }

// Report is what [Check] found.
type Report struct {
	Violations []Violation

	Accepted, Succeeded, Failed int
	Poisoned                    int // of Failed: three processes died under one step
	Rolled                      int // accepted, and lost with the last second of a killed Redis
	Unheard                     int // lost in the same way before anybody was told, but not before an effect
	Crashes                     int // logged, of all steps
	Resent                      int // messages that came more than once under one Message-ID
}

// Check judges the evidence.
func Check(e *Evidence) Report {
	c := &checker{Evidence: e, effects: map[string][]Effect{}, accepted: map[string]bool{}, letters: map[Letter]bool{}}
	for _, f := range e.Effects {
		c.effects[f.Run] = append(c.effects[f.Run], f)
	}
	for _, l := range e.Letters {
		c.letters[l] = true
	}
	c.Accepted = len(e.Orders)
	for i := range e.Orders {
		c.accepted[e.Orders[i].Run] = true
		c.order(&e.Orders[i])
	}
	for _, run := range slices.Sorted(maps.Keys(c.effects)) {
		c.once(run)
		c.after(run)
		if !c.accepted[run] {
			c.stranger(run)
		}
	}
	for _, l := range e.Letters {
		c.letter(l)
	}
	return c.Report
}

// letter judges a dead letter.
func (c *checker) letter(l Letter) {
	run := c.Runs[l.Run] // one that is not known has no failed step either
	switch state := run.step(l.Step).State; {
	case !c.accepted[l.Run]:
		c.broken(Stranger, l.Run, "%s is among the dead letters, and no answer named its run", l.Step)
	case state != dag.StepFailed:
		c.broken(DeadLetter, l.Run, "%s is among the dead letters and is %s", l.Step, state)
	}
}

type checker struct {
	*Evidence
	Report

	effects  map[string][]Effect // by run
	accepted map[string]bool     // by run
	letters  map[Letter]bool
}

func (c *checker) broken(rule Rule, run, format string, args ...any) {
	c.Violations = append(c.Violations, Violation{Rule: rule, Run: run, Detail: fmt.Sprintf(format, args...)})
}

// order judges what became of an order.
func (c *checker) order(o *Order) {
	run, known := c.Runs[o.Run]
	if !known {
		if c.taken(o.Created, o.Accepted) {
			c.Rolled++
		} else {
			c.broken(Lost, o.Run, "order %s, accepted at %s, has no run", o.Key, o.Accepted.Format(time.RFC3339Nano))
		}
		return
	}
	c.history(&run)
	if !run.State.Ended() {
		c.broken(Stuck, o.Run, "order %s is %s: %s", o.Key, run.State, describe(&run))
		return
	}
	poisoned := c.outcome(o, &run)
	for _, s := range run.Steps {
		c.settled(&run, s, poisoned)
	}
}

// taken tells whether a kill of Redis may have taken away what was written at some time between the two.
func (c *checker) taken(from, to time.Time) bool {
	return c.MayLose > 0 && slices.ContainsFunc(c.Kills, func(kill time.Time) bool {
		return !from.After(kill) && !to.Before(kill.Add(-c.MayLose))
	})
}

// outcome compares the end of a run with what its order has to come to. It tells whether a step was poisoned.
func (c *checker) outcome(o *Order, run *Run) (poisoned bool) {
	if run.State == dag.RunSucceeded {
		c.Succeeded++
	} else {
		c.Failed++
	}
	i := slices.IndexFunc(run.Steps, func(s Step) bool { return s.State == dag.StepFailed })
	got := Want{State: run.State}
	if i >= 0 {
		got.Step, got.Code = run.Steps[i].Name, run.Steps[i].Code
	}
	if got.Code == poison && count(run.Log, got.Step, "crashed") >= poisonous {
		c.Poisoned++
		return true
	}
	if got.State != o.Want.State || got.Step != o.Want.Step || o.Want.Code != "" && got.Code != o.Want.Code {
		c.broken(Unexpected, run.ID, "order %s came to %v, has to come to %v: %s", o.Key, got, o.Want, describe(run))
	}
	return false
}

// settled compares a step of an ended run with the outside world and the dead letters.
func (c *checker) settled(run *Run, s Step, poisoned bool) {
	made := slices.ContainsFunc(c.effects[run.ID], func(f Effect) bool { return f.Step == s.Name })
	switch {
	case s.State == dag.StepSucceeded && slices.Contains(c.Makers, s.Name) && !made:
		c.broken(Lost, run.ID, "%s succeeded without an effect", s.Name)
	case s.State != dag.StepSucceeded && made && !poisoned:
		c.broken(Unexpected, run.ID, "%s is %s and has an effect", s.Name, s.State)
	}
	if s.State == dag.StepFailed && !c.letters[Letter{Run: run.ID, Step: s.Name}] {
		c.broken(DeadLetter, run.ID, "%s failed and is not among the dead letters", s.Name)
	}
}

// history judges a run's log.
func (c *checker) history(run *Run) {
	ended := map[string]time.Time{} // steps that have succeeded so far
	for _, e := range run.Log {
		switch e.Name {
		case "begun":
			for _, parent := range c.Parents[e.Step] {
				if _, ok := ended[parent]; !ok {
					c.broken(Early, run.ID, "%s began before %s had succeeded", e.Step, parent)
				}
			}
		case "succeeded":
			if _, again := ended[e.Step]; again {
				c.broken(Double, run.ID, "%s was committed twice", e.Step)
			}
			ended[e.Step] = e.At
		case "crashed":
			c.Crashes++
			if !slices.Contains(c.Died, e.Worker) {
				c.broken(FalseCrash, run.ID, "%s: process %d did not die", e.Step, e.Worker)
			}
		}
	}
	c.timely(run.ID, ended)
}

// timely: no effect is older than the success of its step's parents. After a roll-back of Redis the parents may have succeeded a second time, later.
func (c *checker) timely(run string, succeeded map[string]time.Time) {
	if c.MayLose > 0 {
		return
	}
	for _, f := range c.effects[run] {
		for _, parent := range c.Parents[f.Step] {
			if at, ok := succeeded[parent]; !f.At.IsZero() && (!ok || f.At.Before(at.Add(-clockSlack))) {
				c.broken(Early, run, "the effect of %s is %s older than the success of %s", f.Step, at.Sub(f.At), parent)
			}
		}
	}
}

// once: no step of a run has two effects of one kind.
func (c *checker) once(run string) {
	type place struct{ step, item string }
	ids := map[place]string{}
	for _, f := range c.effects[run] {
		p := place{f.Step, f.Item}
		switch id, seen := ids[p]; {
		case !seen:
			ids[p] = f.ID
		case id == f.ID:
			c.Resent++
		default:
			c.broken(Double, run, "%s has the effects %s and %s", f.Step, id, f.ID)
		}
	}
}

// after: no effect without those of the parents, whatever became of the run.
func (c *checker) after(run string) {
	made := map[string]bool{}
	for _, f := range c.effects[run] {
		made[f.Step] = true
	}
	for step := range made {
		for _, parent := range c.Parents[step] {
			if slices.Contains(c.Makers, parent) && !made[parent] {
				c.broken(Early, run, "%s has an effect and %s has none", step, parent)
			}
		}
	}
}

// stranger judges effects of a run of which nobody was told. Its start may have been rolled back with the last second of a killed Redis; the customer
// asked again and got another run.
func (c *checker) stranger(run string) {
	created, err := CreatedAt(run)
	if err == nil && c.taken(created, created.Add(longRequest)) {
		c.Unheard++
		return
	}
	c.broken(Stranger, run, "%d effects of a run that no answer named", len(c.effects[run]))
}

func count(log []Event, step, name string) int {
	n := 0
	for _, e := range log {
		if e.Step == step && e.Name == name {
			n++
		}
	}
	return n
}

func describe(run *Run) string {
	var text strings.Builder
	for _, s := range run.Steps {
		fmt.Fprintf(&text, "%s %s", s.Name, s.State)
		if s.Code != "" {
			text.WriteString(" " + s.Code)
		}
		fmt.Fprintf(&text, " (attempts %d, crashes %d); ", s.Attempts, s.Crashes)
	}
	if n := len(run.Log); n > 0 {
		last := run.Log[n-1]
		fmt.Fprintf(&text, "last logged: %s %s at %s", last.Step, last.Name, last.At.Format(time.TimeOnly))
	}
	return text.String()
}
