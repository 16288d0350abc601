package simulation

import (
	"strings"
	"time"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/pkg/dag"
)

// The wrapper's words.
const (
	callBegin    = "begin"
	callComplete = "complete"
	callFail     = "fail"
	callRelease  = "release"
	callNone     = ""

	wordNotSent      = "NOT_SENT"
	wordLeaseExpired = "LEASE_EXPIRED"
	wordShutdown     = "SHUTDOWN"
	wordCrowded      = "CROWDED"
)

// answerName is how the verdict table calls an answer.
func answerName(call, word string, state dag.StepState) string {
	return strings.Join(strings.Fields(call+" "+word+" "+string(state)), " ")
}

// decide asks the wrapper's table what the queue is told. marked says that an archived task is there because its step failed.
func (w *world) decide(call, word string, state dag.StepState, wait time.Duration) (order asynqueue.Order, marked bool) {
	name := answerName(call, word, state)
	w.met("verdict", name)
	order, ok := w.orders[name]
	if !ok {
		w.wrong("the verdict table has no row for %q", name)
	}
	order.Delay = max(order.Delay, wait) + time.Second // asynq floors to seconds, and gets one more for that
	return order, order.Act == asynqueue.Archive && call != callNone
}

// verdicts is the wrapper's table, read once.
func verdicts() map[string]asynqueue.Order {
	table := map[string]asynqueue.Order{}
	for _, name := range asynqueue.Answers() {
		if order, ok := asynqueue.OrderOn(name); ok {
			table[name] = order
		}
	}
	return table
}
