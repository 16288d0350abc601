package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// rig makes the same call to one or more subjects and watches what may never happen: two subjects differ in answer or state, a state breaks an
// invariant, or a call whose reply was lost changes something when it is sent again.
type rig struct {
	t        TB
	names    []string // of subjects, sorted; the first one is what others are compared with
	subjects []Subject
	graphs   []*dag.Graph
	now      time.Time
	state    State          // after the last call
	seen     map[string]int // verb and reply, or "log" and event, to the number of times
	again    bool           // the next calls are made twice
	quiet    bool           // the next calls are made once and their states not looked at
}

func newRig(t TB, open map[string]Open) *rig {
	t.Helper()
	r := &rig{t: t, names: slices.Sorted(maps.Keys(open)), now: Epoch(), state: NewState(), seen: map[string]int{}, again: true}
	for _, name := range r.names {
		r.subjects = append(r.subjects, open[name](t))
	}
	return r
}

// advance moves every clock.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	r.now = r.now.Add(d)
	for i, s := range r.subjects {
		if err := s.SetTime(r.t.Context(), r.now); err != nil {
			r.t.Fatalf("%s: set time: %v", r.names[i], err)
		}
	}
}

// observe dumps every subject, compares the states and checks the invariants.
func (r *rig) observe(after string) {
	r.t.Helper()
	states := r.dump(after, r.subjects)
	r.state = states[0]
	r.check(after)
	if len(states) == 1 {
		r.state.Normalize()
	}
	for i := range states[1:] {
		if reflect.DeepEqual(&states[0], &states[i+1]) {
			continue // to the byte: there is no need to look at what the JSON in it says
		}
		states[0].Normalize()
		states[i+1].Normalize()
		if diff := difference(states[0], states[i+1]); diff != "" {
			r.t.Fatalf("after %s the state differs (-%s +%s):\n%s", after, r.names[0], r.names[i+1], diff)
		}
	}
}

// observeFirst is observe for the first subject alone.
func (r *rig) observeFirst(after string) {
	r.t.Helper()
	r.state = r.dump(after, r.subjects[:1])[0]
	r.check(after)
}

func (r *rig) check(after string) {
	r.t.Helper()
	if err := Check(r.state, r.graphs...); err != nil {
		r.t.Fatalf("%s: after %s:\n%v", r.names[0], after, err)
	}
}

// dump returns the states of subjects. They are read at the same time: most of the time of a test goes by here.
func (r *rig) dump(after string, subjects []Subject) []State {
	r.t.Helper()
	states, errs := make([]State, len(subjects)), make([]error, len(subjects))
	var wg sync.WaitGroup
	for i, s := range subjects {
		wg.Go(func() {
			states[i], errs[i] = s.Dump(r.t.Context())
			states[i].tidy()
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			r.t.Fatalf("%s: dump after %s: %v", r.names[i], after, err)
		}
	}
	return states
}

// difference is cmp.Diff, but quick when there is none.
func difference(a, b any) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return cmp.Diff(a, b, cmpopts.EquateEmpty())
}

// answer is what a call returned: a value, or the name of an error.
type answer[A any] struct {
	Value A
	Err   string
}

// verb is a kind of call.
type verb[A any] struct {
	name   string
	errors bool // an error can be an answer
	reply  func(A) string
	// repeated is what the same call answers when it is made again at once; nil means the same.
	repeated func(A) A
}

// call makes a call to every subject, and once more if the rig says so; it returns the answer that all of them gave.
func call[A any](r *rig, v verb[A], args any, do func(context.Context, Subject) (A, error)) (A, error) {
	r.t.Helper()
	text := fmt.Sprintf("%s%+v", v.name, args)
	first, err := ask(r, v, text, do)
	if r.quiet {
		return first.Value, err
	}
	if first.Err != "" {
		r.seen[v.name+" "+first.Err]++
	} else {
		r.seen[v.name+" "+v.reply(first.Value)]++
	}
	if r.again {
		repeat(r, v, text, first, do)
	} else {
		r.observe(text)
	}
	return first.Value, err
}

func ask[A any](r *rig, v verb[A], text string, do func(context.Context, Subject) (A, error)) (first answer[A], firstErr error) {
	r.t.Helper()
	for i, s := range r.subjects {
		value, err := do(r.t.Context(), s)
		got := answer[A]{Value: value, Err: errorName(err)}
		if err != nil && (got.Err == "" || !v.errors) {
			r.t.Fatalf("%s: %s: %v", r.names[i], text, err)
		}
		if i == 0 {
			first, firstErr = got, err
			continue
		}
		if diff := difference(first, got); diff != "" {
			r.t.Fatalf("answers to %s differ (-%s +%s):\n%s", text, r.names[0], r.names[i], diff)
		}
	}
	return first, firstErr
}

// repeat makes the call again, as a caller does whose reply was lost: the answer must be the one for that, the state the same. In between
// only the first subject's state is looked at; the others must come to the same one in the end.
func repeat[A any](r *rig, v verb[A], text string, first answer[A], do func(context.Context, Subject) (A, error)) {
	r.t.Helper()
	r.observeFirst(text)
	before := r.state
	second, _ := ask(r, v, "again: "+text, do)
	want := first
	if v.repeated != nil && first.Err == "" {
		want.Value = v.repeated(first.Value)
	}
	if diff := difference(want, second); diff != "" {
		r.t.Fatalf("repeated %s: wrong answer (-want +got):\n%s", text, diff)
	}
	r.observe("again: " + text)
	before.Normalize()
	r.state.Normalize()
	if diff := difference(before, r.state); diff != "" {
		r.t.Fatalf("repeated %s changed the state:\n%s", text, diff)
	}
}

// errorName is the name under which an error that is an answer is compared and counted; "" for any other error.
func errorName(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, engine.ErrMismatch):
		return "MISMATCH"
	case errors.Is(err, engine.ErrConflict):
		return "CONFLICT"
	case errors.Is(err, engine.ErrNotFound):
		return "NOTFOUND"
	}
	return ""
}
