package redisstore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// reply reads what a script returned, value by value. The first value that is not of the form expected stays as its error.
type reply struct {
	from   string
	values []any
	err    error
}

func newReply(from string, value any) *reply {
	values, ok := value.([]any)
	r := &reply{from: from, values: values}
	if !ok || len(values) == 0 {
		r.err = fmt.Errorf("%w %s returned a %T, not a list", errScript, from, value)
	}
	return r
}

func (r *reply) next() any {
	if r.err != nil || len(r.values) == 0 {
		r.fail("ended early")
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *reply) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: the reply of %s "+format, append([]any{errScript, r.from}, args...)...)
	}
}

// text reads a string; an absent one is "".
func (r *reply) text() string {
	switch v := r.next().(type) {
	case string:
		return v
	case nil:
	default:
		r.fail("has a %T where a text was expected", v)
	}
	return ""
}

// raw reads JSON as it is; absent or empty is nil.
func (r *reply) raw() json.RawMessage {
	if v := r.text(); v != "" {
		return json.RawMessage(v)
	}
	return nil
}

func (r *reply) int64() int64 {
	switch v := r.next().(type) {
	case int64:
		return v
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			r.fail("has %q where a number was expected", v)
		}
		return n
	default:
		r.fail("has a %T where a number was expected", v)
		return 0
	}
}

func (r *reply) int() int { return int(r.int64()) }

func (r *reply) duration() time.Duration { return time.Duration(r.int64()) * time.Millisecond }

func (r *reply) time() time.Time { return instant(r.int64()) }

// list reads a list within the reply; its errors are its own.
func (r *reply) list() *reply {
	values, ok := r.next().([]any)
	if !ok {
		r.fail("has no list where one was expected")
	}
	return &reply{from: r.from, values: values, err: r.err}
}

// each calls fn for every element of a list of lists.
func (r *reply) each(fn func(*reply)) {
	list := r.list()
	for len(list.values) > 0 && list.err == nil {
		element := list.list()
		fn(element)
		list.err = element.err
	}
	r.err = list.err
}

// word reads the first word of a reply, which is one of an enumeration.
func word[T ~string](r *reply, known ...T) T {
	w := T(r.text())
	if r.err == nil && !slices.Contains(known, w) {
		r.fail("is %q, which is none of its replies", w)
	}
	return w
}

// sends reads the deliveries to hand over at once, each with step, epoch, handler and queue.
func (r *reply) sends(run, def, traceParent string) []dag.Send {
	var sends []dag.Send
	r.each(func(e *reply) {
		sends = append(sends, dag.Send{
			Delivery: dag.Delivery{Run: run, Step: e.text(), Epoch: e.int()},
			Def:      def, Handler: e.text(), Queue: e.text(), TraceParent: traceParent,
		})
	})
	return sends
}

// settled reads what lib/answer.lua wrote.
func (r *reply) settled(run, def string, known ...dag.Reply) (dag.Settled, error) {
	s := dag.Settled{Reply: word(r, known...), Step: dag.StepState(r.text()), Run: dag.RunState(r.text()), Delay: r.duration()}
	traceParent := r.text()
	s.Sends = r.sends(run, def, traceParent)
	return s, r.err
}

// instant is the time of Unix milliseconds; 0 is the zero time.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// millis is the inverse of instant.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// timeOr0 reads a time that may be absent.
func (r *reply) timeOr0() time.Time { return instant(int64(r.intOr0())) }

// intOr0 reads a number that may be absent.
func (r *reply) intOr0() int {
	if len(r.values) > 0 && r.values[0] == nil {
		r.values = r.values[1:]
		return 0
	}
	return r.int()
}

// operated reads what lib/operator.lua wrote.
func (r *reply) operated(run, def string) (dag.Operated, error) {
	o := dag.Operated{
		Reply: word(r, dag.ReplyOK, dag.ReplyAlready, dag.ReplyConflict, dag.ReplyTooBig, dag.ReplyNoRun),
		Run:   dag.RunState(r.text()), Step: dag.StepState(r.text()),
	}
	traceParent := r.text()
	o.Sends = r.sends(run, def, traceParent)
	r.each(func(e *reply) { o.Stale = append(o.Stale, dag.Delivery{Run: run, Step: e.text(), Epoch: e.int()}) })
	return o, r.err
}
