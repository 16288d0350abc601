package enginetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepwell/stepwell/pkg/dag"
)

// RandomOptions are the optional parts of [RandomCommands].
type RandomOptions struct {
	// Commands is the least number of commands, each of them made to every subject; 0 means a full run of 20,000.
	Commands int
}

const fullRun = 20_000

// RandomCommands lets rapid draw workflows and long sequences of commands: creates, claims, answers right and wrong, takeovers, operators' verbs,
// looks, deadlines, retention and steps of the clock. Every command goes to every subject, some of them twice as after a lost reply; after each one the answers and the
// states of all subjects must be equal, and the state must pass [Check]. A failing sequence is shrunk and printed.
//
// A full run also fails when some reply of some verb, or some event of the log, was never met: then it would prove less than it says. A shorter one
// may miss a rare one.
func RandomCommands(t *testing.T, subjects map[string]Open, opts RandomOptions) {
	t.Helper()
	if opts.Commands == 0 {
		opts.Commands = fullRun
	}
	total, seen := 0, map[string]int{}
	for total < opts.Commands && !t.Failed() {
		rapid.Check(t, func(t *rapid.T) { total += plans().Draw(t, "plan").play(t, subjects, seen) })
	}
	t.Logf("%d random commands against %s", total, strings.Join(slices.Sorted(maps.Keys(subjects)), ", "))
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%8d %s", seen[what], what)
	}
	for _, what := range everyReply() {
		if seen[what] == 0 && total >= fullRun {
			t.Errorf("never seen: %s", what)
		}
	}
}

// everyReply lists the replies of every verb and the events of the log.
func everyReply() []string {
	replies := map[string]string{
		"create":      "OK DUP MISMATCH",
		"begin":       "NORUN STALE DONE FAILED BUSY PARKED ALONE RUN",
		"heartbeat":   "OK LOST",
		"complete":    "OK OK_ALREADY FENCED TOOBIG",
		"fail":        "OK OK_ALREADY FENCED",
		"release":     "OK OK_ALREADY FENCED",
		"reissue":     "OK RACED ALIVE",
		"retry":       "OK OK_ALREADY CONFLICT NORUN",
		"skip":        "OK OK_ALREADY CONFLICT NORUN",
		"resolve":     "OK OK_ALREADY CONFLICT NORUN TOOBIG",
		"cancel":      "OK OK_ALREADY CONFLICT NORUN",
		"pause":       "OK OK_ALREADY CONFLICT NORUN",
		"resume":      "OK OK_ALREADY CONFLICT NORUN",
		"expire":      "OK OK_ALREADY CONFLICT NORUN",
		"bury":        "OK RACED",
		"due":         "SENDS ENDS CLAIMS DOUBTS PURGES NOTHING",
		"waiting":     "OK",
		"handed_over": "OK",
		"later":       "OK",
		"look_again":  "OK",
		"purge":       "OK NOTHING",
		"audit":       "OK",
		"steps_at":    "OK",
		"share":       "OK NOTHING",
		"log": "created begun retrying succeeded failed cancelled released reissued crashed crash_taken_back retried expired " +
			"skipped resolved paused resumed cancel_requested run_succeeded run_failed run_cancelled",
	}
	var all []string
	for verb, list := range replies {
		for reply := range strings.FieldsSeq(list) {
			all = append(all, verb+" "+reply)
		}
	}
	return all
}

// action is what a command does; the numbers of the command choose among what there is to do it to.
type action string

// actions lists what commands do, more often what happens more often. The first is what rapid shrinks others to.
func actions() []action {
	var list []action
	for _, a := range []struct {
		name   action
		weight int
	}{
		{"nothing", 1},
		{"tick", 6},
		{"create", 4},
		{"begin", 14},
		{"begin wrongly", 4},
		{"heartbeat", 5},
		{"complete", 9},
		{"fail", 6},
		{"release", 3},
		{"answer wrongly", 5},
		{"reissue", 4},
		{"take over", 11},
		{"retry", 5},
		{"expire", 2},
		{"due", 3},
		{"hand over", 4},
		{"later", 2},
		{"skip", 2},
		{"resolve", 2},
		{"pause", 3},
		{"resume", 3},
		{"cancel", 2},
		{"bury", 2},
		{"look again", 3},
		{"purge", 3},
		{"share", 2},
		{"steps at", 1},
		{"too big", 1},
		{"look", 2},
	} {
		list = append(list, slices.Repeat([]action{a.name}, a.weight)...)
	}
	return list
}

// command is one drawn command.
type command struct {
	Do    action
	Pick  int // which run and step
	How   int // which variant
	Again bool
}

func (c command) String() string {
	return fmt.Sprintf("{%s pick %d how %d again %t}", c.Do, c.Pick, c.How, c.Again)
}

func commands() *rapid.Generator[[]command] {
	one := rapid.Custom(func(t *rapid.T) command {
		return command{
			Do:    rapid.SampledFrom(actions()).Draw(t, "do"),
			Pick:  evenly(t, "pick"),
			How:   evenly(t, "how"),
			Again: rapid.Bool().Draw(t, "again"),
		}
	})
	return rapid.SliceOfN(one, 60, 180)
}

// evenly draws a number from 0 to 65535. Two draws make it: rapid prefers small numbers, and so the first of all variants.
func evenly(t *rapid.T, label string) int {
	return int(rapid.Uint16().Draw(t, label)*40503 ^ rapid.Uint16().Draw(t, label)*30011)
}

// plan is one drawn sequence, with the workflows of its runs.
type plan struct {
	Workflows []dag.Workflow
	Commands  []command
}

func plans() *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		return plan{
			Workflows: []dag.Workflow{workflows("one").Draw(t, "one"), workflows("two").Draw(t, "two")},
			Commands:  commands().Draw(t, "commands"),
		}
	})
}

// GoString is how rapid prints a plan. Commands that a shrunk plan does not need are left out.
func (p plan) GoString() string {
	var b strings.Builder
	for i := range p.Workflows {
		for _, s := range p.Workflows[i].Steps {
			fmt.Fprintf(&b, "\n%s: %s<%s max %d", p.Workflows[i].Name, s.Name, strings.Join(s.DependsOn, ","), s.Retry.MaxAttempts)
		}
	}
	for _, c := range p.Commands {
		if c.Do != "nothing" {
			fmt.Fprintf(&b, "\n%s", c)
		}
	}
	return b.String()
}

// workflows draws a workflow of one to six steps; each step depends on some of those before it.
func workflows(name string) *rapid.Generator[dag.Workflow] {
	return rapid.Custom(func(t *rapid.T) dag.Workflow {
		var steps []string
		for i := range rapid.IntRange(1, 6).Draw(t, "steps") {
			step := string(rune('a' + i))
			var parents []string
			mask := rapid.IntRange(0, 1<<i-1).Draw(t, "parents of "+step)
			for p := range i {
				if mask&(1<<p) != 0 {
					parents = append(parents, string(rune('a'+p)))
				}
			}
			if len(parents) > 0 {
				step += "<" + strings.Join(parents, ",")
			}
			steps = append(steps, step)
		}
		w := workflow(name, "1.0.0", steps...)
		for i := range w.Steps {
			w.Steps[i].Retry.MaxAttempts = rapid.IntRange(1, 3).Draw(t, "max attempts")
		}
		return w
	})
}

// play plays the sequence and returns how many of its commands found something to do.
func (p plan) play(t TB, subjects map[string]Open, seen map[string]int) int {
	t.Helper()
	g := &gambler{script: &script{rig: newRig(t, subjects)}, ops: map[action][]dag.OperatorRequest{}}
	for i := range p.Workflows {
		graph, err := dag.Compile(&p.Workflows[i])
		if err != nil {
			t.Fatalf("compile workflow %s: %v", p.Workflows[i].Name, err)
		}
		g.graphs = append(g.graphs, graph)
	}
	count := 0
	for _, c := range p.Commands {
		g.again = c.Again
		if g.play(c) {
			count++
		}
	}
	for what, n := range g.seen {
		seen[what] += n
	}
	for g.run = range g.state.Logs {
		for _, event := range g.events() {
			name, _, _ := strings.Cut(event, " ")
			seen["log "+name]++
		}
	}
	return count
}

// clockSteps are the steps of the clock: from less than asynq's second to more than any deadline, and back.
func clockSteps() []time.Duration {
	return []time.Duration{
		time.Millisecond, 400 * time.Millisecond, time.Second, 1500 * time.Millisecond, 5 * time.Second, ttl, ttl + time.Second, time.Minute,
		-time.Millisecond, -time.Second, -5 * time.Second, 3 * time.Minute, 2 * time.Hour,
	}
}
