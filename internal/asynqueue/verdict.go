package asynqueue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/pkg/dag"
)

const (
	// failedMark begins the LastErr of a task that was archived because the engine said that its step failed. An archived task without it was
	// archived by a person.
	failedMark = "stepwell: step failed"
	// attemptMark begins that of a task whose step is tried again. What follows comes from handlers, and must not be taken for a failedMark.
	attemptMark = "stepwell: attempt failed"
)

// floor is what every delay gets on top: asynq keeps whole seconds and rounds down, so that a task would come up to a second early.
const floor = 999 * time.Millisecond

// Act is what asynq is told to do with a task.
type Act int

// What can be done with a task.
const (
	Drop    Act = iota + 1 // forget it: the handler returns nil
	Retry                  // deliver it again, and count a failure; only for what the engine counted
	Later                  // deliver it again, and count nothing
	Archive                // put it into the archive, where asynqmon shows it
)

// Order is what asynq is told of a delivery.
type Order struct {
	Act   Act
	Delay time.Duration // with [Retry] and [Later]: at least so long
}

// call is what was asked.
type call string

const (
	callBegin    call = "begin"
	callComplete call = "complete"
	callFail     call = "fail"
	callRelease  call = "release"
	callNone     call = "" // it did not come to a call, or to an answer
)

// Answers without a call of the engine.
const (
	wordNoHandler    = "NO_HANDLER"    // this worker lacks the handler
	wordNotSent      = "NOT_SENT"      // Redis was away before the first begin was sent
	wordRefused      = "REFUSED"       // Redis answered begin with an error that repeating does not cure, a key of a wrong type for example
	wordLeaseExpired = "LEASE_EXPIRED" // asynq.ErrLeaseExpired
	wordCrowded      = "CROWDED"       // another step runs alone in this process
	wordShutdown     = "SHUTDOWN"      // the process ends before an answer came
	wordBadPayload   = "BAD_PAYLOAD"   // the task is none of ours, or broken
)

// answer is what became of a delivery.
type answer struct {
	call  call
	word  string        // a dag.Verdict, a dag.Reply or one of the words above
	state dag.StepState // of the step, after a fail
}

// String names a row of the verdict table, for example "begin BUSY", "fail OK retrying" or "NO_HANDLER".
func (a answer) String() string {
	return strings.Join(strings.Fields(string(a.call)+" "+a.word+" "+string(a.state)), " ")
}

// unexpected names all answers that are in no row.
const unexpected = "unexpected"

// Answers are all that [Hooks].Answered can be called with.
func Answers() []string {
	out := []string{unexpected}
	for a := range verdictTable() {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return out
}

// OrderOn returns what asynq is told on one of [Answers]; ok is false for any other text. A delay that came with the answer counts if it is longer.
func OrderOn(name string) (order Order, ok bool) {
	for a, order := range verdictTable() {
		if a.String() == name {
			return order, true
		}
	}
	return Order{}, false
}

// verdictTable is the whole policy of the wrapper. RUN and TOOBIG are missing because they are not the end: the handler runs, and
// the wrapper fails the step. Whatever else is missing is delivered again.
func verdictTable() map[answer]Order {
	const (
		ok      = string(dag.ReplyOK)
		already = string(dag.ReplyAlready)
		fenced  = string(dag.ReplyFenced)
	)
	return map[answer]Order{
		{callBegin, string(dag.VerdictNoRun), ""}:  {Act: Drop},
		{callBegin, string(dag.VerdictStale), ""}:  {Act: Drop},
		{callBegin, string(dag.VerdictDone), ""}:   {Act: Drop},
		{callBegin, string(dag.VerdictFailed), ""}: {Act: Archive},
		{callBegin, string(dag.VerdictBusy), ""}:   {Act: Later, Delay: 5 * time.Second},
		{callBegin, string(dag.VerdictParked), ""}: {Act: Drop}, // resume issues it again
		// Not alone within the time: as long a pause as the wait, so that a process does not spend all its time waiting for itself.
		{callBegin, string(dag.VerdictAlone), ""}: {Act: Later, Delay: aloneWait},

		{callComplete, ok, ""}:      {Act: Drop},
		{callComplete, already, ""}: {Act: Drop},
		{callComplete, fenced, ""}:  {Act: Drop},
		{callRelease, ok, ""}:       {Act: Drop}, // a new epoch has a task of its own
		{callRelease, already, ""}:  {Act: Drop},
		{callRelease, fenced, ""}:   {Act: Drop},

		{callFail, ok, dag.StepRetrying}:  {Act: Retry},
		{callFail, ok, dag.StepFailed}:    {Act: Archive},
		{callFail, ok, dag.StepCancelled}: {Act: Drop},
		// The answer to the first call was lost. Meanwhile the step may have gone on, with a task of its own.
		{callFail, already, dag.StepRetrying}:  {Act: Retry},
		{callFail, already, dag.StepFailed}:    {Act: Archive},
		{callFail, already, dag.StepCancelled}: {Act: Drop},
		{callFail, already, dag.StepPending}:   {Act: Drop},
		{callFail, already, dag.StepQueued}:    {Act: Drop},
		{callFail, already, dag.StepRunning}:   {Act: Drop},
		{callFail, already, dag.StepWaiting}:   {Act: Drop},
		{callFail, already, dag.StepSucceeded}: {Act: Drop},
		{callFail, already, dag.StepSkipped}:   {Act: Drop},
		{callFail, fenced, ""}:                 {Act: Drop},

		{callNone, wordNoHandler, ""}:    {Act: Later, Delay: 15 * time.Second},
		{callNone, wordNotSent, ""}:      {Act: Later, Delay: 2 * time.Second},
		{callNone, wordRefused, ""}:      {Act: Later, Delay: 15 * time.Second},
		{callNone, wordLeaseExpired, ""}: {Act: Later, Delay: 5 * time.Second},
		{callNone, wordCrowded, ""}:      {Act: Later, Delay: 5 * time.Second},
		{callNone, wordShutdown, ""}:     {Act: Later, Delay: time.Second},
		{callNone, wordBadPayload, ""}:   {Act: Archive},
	}
}

// verdictError is what asynq gets for a task that is not over. asynq keeps its text as the task's LastErr.
type verdictError struct {
	order Order
	text  string
}

func (e *verdictError) Error() string { return e.text }

func (e *verdictError) Unwrap() error {
	if e.order.Act == Archive {
		return asynq.SkipRetry
	}
	return nil
}

// tell looks the answer up and makes of it what asynq gets. It is called once for each delivery. wait is the delay that came with the answer; why
// goes into the task's LastErr.
func (w *Worker) tell(a answer, wait time.Duration, why string) error {
	order, known := w.table[a]
	if known {
		w.answered(a.String())
	} else {
		w.answered(unexpected)
		order = Order{Act: Later, Delay: 5 * time.Second}
		why = fmt.Sprintf("unexpected answer to %s: %s %s", a.call, a.word, a.state)
	}
	if order.Act == Drop {
		return nil
	}
	order.Delay = max(order.Delay, wait)
	text := "stepwell"
	switch {
	case order.Act == Archive && a.call != callNone:
		text = failedMark
	case order.Act == Retry:
		text = attemptMark
	}
	if why != "" {
		text += ": " + why
	}
	return &verdictError{order: order, text: text}
}

func (w *Worker) answered(answer string) {
	if h := w.opts.Hooks.Answered; h != nil {
		h(answer)
	}
}

// OrderOf reads what [Worker.Deliver] returned. Any other error is one of asynq's own, such as [asynq.ErrLeaseExpired].
func OrderOf(err error) Order {
	if err == nil {
		return Order{Act: Drop}
	}
	if v, ok := errors.AsType[*verdictError](err); ok {
		return v.order
	}
	return verdictTable()[leaseExpired()] // rare enough to build the table for; the wrapper, if it lives, works on
}

// leaseExpired is the answer when asynq took a delivery back: its lease ran out, or its own context ended.
func leaseExpired() answer { return answer{call: callNone, word: wordLeaseExpired} }

// isFailure tells asynq whether to count an error: only what the engine counted.
func isFailure(err error) bool { return OrderOf(err).Act == Retry }

// retryDelay tells asynq when to deliver a task again after an error. asynq asks once for each.
func (w *Worker) retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if _, told := errors.AsType[*verdictError](err); !told {
		w.answered(leaseExpired().String())
	}
	return OrderOf(err).Delay + floor
}
