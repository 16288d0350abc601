package asynqueue

import (
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/pkg/dag"
)

// failedMark begins the LastErr of a task that was archived because the engine said that its step failed. An archived task without it was
// archived by a person.
const failedMark = "stepwell: step failed"

// floor is what every delay gets on top: asynq keeps whole seconds and rounds down, so that a task would come up to a second early.
const floor = 999 * time.Millisecond

// act is what asynq is told to do with a task.
type act int

const (
	actDrop    act = iota + 1 // forget it: the handler returns nil
	actRetry                  // retry it, and count a failure; only for what the engine counted
	actLater                  // deliver it again, and count nothing
	actArchive                // put it into the archive, where asynqmon shows it
)

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

// row is what asynq is told.
type row struct {
	act   act
	delay time.Duration // with actRetry and actLater: at least so long, or as long as the answer says
}

// verdictTable is the whole policy of the wrapper. RUN and TOOBIG are missing because they are not the end: the handler runs, and
// the wrapper fails the step. Whatever else is missing is delivered again.
func verdictTable() map[answer]row {
	const (
		ok      = string(dag.ReplyOK)
		already = string(dag.ReplyAlready)
		fenced  = string(dag.ReplyFenced)
	)
	return map[answer]row{
		{callBegin, string(dag.VerdictNoRun), ""}:  {act: actDrop},
		{callBegin, string(dag.VerdictStale), ""}:  {act: actDrop},
		{callBegin, string(dag.VerdictDone), ""}:   {act: actDrop},
		{callBegin, string(dag.VerdictFailed), ""}: {act: actArchive},
		{callBegin, string(dag.VerdictBusy), ""}:   {act: actLater, delay: 5 * time.Second},
		{callBegin, string(dag.VerdictParked), ""}: {act: actDrop}, // resume issues it again
		// Not alone within the time: as long a pause as the wait, so that a process does not spend all its time waiting for itself.
		{callBegin, string(dag.VerdictAlone), ""}: {act: actLater, delay: aloneWait},

		{callComplete, ok, ""}:      {act: actDrop},
		{callComplete, already, ""}: {act: actDrop},
		{callComplete, fenced, ""}:  {act: actDrop},
		{callRelease, ok, ""}:       {act: actDrop}, // a new epoch has a task of its own
		{callRelease, already, ""}:  {act: actDrop},
		{callRelease, fenced, ""}:   {act: actDrop},

		{callFail, ok, dag.StepRetrying}:  {act: actRetry},
		{callFail, ok, dag.StepFailed}:    {act: actArchive},
		{callFail, ok, dag.StepCancelled}: {act: actDrop},
		// The answer to the first call was lost. Meanwhile the step may have gone on, with a task of its own.
		{callFail, already, dag.StepRetrying}:  {act: actRetry},
		{callFail, already, dag.StepFailed}:    {act: actArchive},
		{callFail, already, dag.StepCancelled}: {act: actDrop},
		{callFail, already, dag.StepPending}:   {act: actDrop},
		{callFail, already, dag.StepQueued}:    {act: actDrop},
		{callFail, already, dag.StepRunning}:   {act: actDrop},
		{callFail, already, dag.StepWaiting}:   {act: actDrop},
		{callFail, already, dag.StepSucceeded}: {act: actDrop},
		{callFail, already, dag.StepSkipped}:   {act: actDrop},
		{callFail, fenced, ""}:                 {act: actDrop},

		{callNone, wordNoHandler, ""}:    {act: actLater, delay: 15 * time.Second},
		{callNone, wordNotSent, ""}:      {act: actLater, delay: 2 * time.Second},
		{callNone, wordRefused, ""}:      {act: actLater, delay: 15 * time.Second},
		{callNone, wordLeaseExpired, ""}: {act: actLater, delay: 5 * time.Second},
		{callNone, wordCrowded, ""}:      {act: actLater, delay: 5 * time.Second},
		{callNone, wordShutdown, ""}:     {act: actLater, delay: time.Second},
		{callNone, wordBadPayload, ""}:   {act: actArchive},
	}
}

// verdictError is what asynq gets for a task that is not over. asynq keeps its text as the task's LastErr.
type verdictError struct {
	act   act
	delay time.Duration
	text  string
}

func (e *verdictError) Error() string { return e.text }

func (e *verdictError) Unwrap() error {
	if e.act == actArchive {
		return asynq.SkipRetry
	}
	return nil
}

// tell looks the answer up and makes of it what asynq gets. wait is the delay that came with the answer; why goes into the task's LastErr.
func (w *Worker) tell(a answer, wait time.Duration, why string) error {
	r, known := w.table[a]
	if !known {
		r = row{act: actLater, delay: 5 * time.Second}
		why = fmt.Sprintf("unexpected answer to %s: %s %s", a.call, a.word, a.state)
	}
	if r.act == actDrop {
		return nil
	}
	text := "stepwell: " + why
	if r.act == actArchive && a.call != callNone {
		text = failedMark
		if why != "" {
			text += ": " + why
		}
	}
	return &verdictError{act: r.act, delay: max(r.delay, wait), text: text}
}

// isFailure tells asynq whether to count an error: only what the engine counted.
func isFailure(err error) bool {
	v, ok := errors.AsType[*verdictError](err)
	return ok && v.act == actRetry
}

// retryDelay tells asynq when to deliver a task again after an error.
func (w *Worker) retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if v, ok := errors.AsType[*verdictError](err); ok {
		return v.delay + floor
	}
	// asynq.ErrLeaseExpired, or the end of asynq's own context: the wrapper, if it lives, works on.
	return w.table[answer{call: callNone, word: wordLeaseExpired}].delay + floor
}
