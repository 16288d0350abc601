package asynqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/stepwell/stepwell/pkg/dag"
	"github.com/stepwell/stepwell/pkg/tasks"
)

// maxStackBytes is what a run keeps of a panic's stack.
const maxStackBytes = 8 << 10

// outcome is what became of one call of a handler.
type outcome struct {
	output json.RawMessage
	err    error          // the handler's own
	fault  *dag.StepError // the wrapper's: a panic, or no return in time
	gone   bool           // the process ends and the handler still runs
}

// invoke calls the handler and reports what became of it, also when it panics or ends its goroutine.
func invoke(ctx context.Context, step *tasks.Step, h tasks.Handler, report func(outcome)) {
	var out outcome
	returned := false
	defer func() {
		if !returned {
			out = outcome{fault: faultOf(recover())}
		}
		report(out)
	}()
	out.output, out.err = h(ctx, step)
	if out.err == nil && len(out.output) == 0 {
		out.output = json.RawMessage("null")
	}
	returned = true
}

// faultOf makes a panic's value a failed attempt; nil is that of runtime.Goexit. It must be called while the stack still is the panic's.
func faultOf(panicked any) *dag.StepError {
	message := "the handler ended its goroutine (runtime.Goexit)"
	if panicked != nil {
		message = fmt.Sprintf("panic: %v", panicked)
	}
	return &dag.StepError{
		Code: dag.CodePanic, Message: clip(message, dag.MaxErrorBytes), Retryable: true,
		Stack: clip(string(debug.Stack()), maxStackBytes),
	}
}

// checkOutput finds what makes an output unfit to be kept. Such a step fails for good: the effect has happened, and would happen again.
func checkOutput(output json.RawMessage) *dag.StepError {
	if len(output) > dag.MaxOutputBytes {
		return &dag.StepError{
			Code:    dag.CodeOutputTooLarge,
			Message: fmt.Sprintf("output of %d bytes, at most %d are allowed; keep large data elsewhere and return where it is", len(output), dag.MaxOutputBytes),
		}
	}
	if err := dag.CheckJSON(output, dag.MaxOutputBytes); err != nil {
		return &dag.StepError{Code: dag.CodeInvalidOutput, Message: clip("output: "+err.Error(), dag.MaxErrorBytes)}
	}
	return nil
}

// clip shortens s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(n, len(s))], "")
}
