package asynqueue

import (
	"context"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/pkg/dag"
)

// What tests see of the inside: the wrapper and the drain without an asynq server, and the verdict table.

func (w *Worker) Handle(life, task context.Context, t *asynq.Task) error {
	return w.handle(life, task, t)
}

func (w *Worker) Drain(life context.Context, stop func(), leave func() <-chan error) error {
	return w.drain(life, stop, leave)
}

// Tell is the answer of the table for "begin", "complete", "fail", "release" or "".
func (w *Worker) Tell(asked, word string, state dag.StepState, wait time.Duration) error {
	return w.tell(answer{call: call(asked), word: word, state: state}, wait, "why")
}

// TellWhy is Tell with a reason of the handler's.
func (w *Worker) TellWhy(asked, word string, state dag.StepState, why string) error {
	return w.tell(answer{call: call(asked), word: word, state: state}, 0, why)
}

func (w *Worker) Known(asked, word string, state dag.StepState) bool {
	_, ok := w.table[answer{call: call(asked), word: word, state: state}]
	return ok
}

func (w *Worker) RetryDelay(err error) time.Duration { return w.retryDelay(0, err, nil) }

func Rows() int { return len(verdictTable()) }
