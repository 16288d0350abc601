// Package asynqueue puts the engine on asynq: [Queue] is engine.Queue, [Worker] is an asynq server whose one handler is the wrapper around
// every step.
//
// # Who owns what
//
// asynq owns when and where a task is delivered: queues with weights, the retry set, redelivery after a lost lease, the archive. The engine
// owns the verdict: how often a step failed, when it is tried again, whether it is over. So asynq never archives on its own account (MaxRetry is
// above every max_attempts), its retry count rises only with the engine's failures, and each thing that the engine can say of a delivery
// has one row in the verdict table (verdict.go) that says what asynq is told.
//
// # The wrapper
//
// A task says only which step to ask for. The wrapper looks the handler up by its exact name (asynq.ServeMux matches prefixes), claims the step
// under a random nonce, runs the handler, and reports. It renews the claim from begin to the last answer and repeats begin, complete, fail and
// release with the same nonce until they are answered: an absence of Redis neither orphans a claim nor loses a finished result.
//
// Every line that it logs of an attempt has run, step, attempt, workflow and worker: what a dead letter says of a step whose process died finds its
// lines. [Hooks].Answered tells each delivery's row of the table. [Worker.Deliver] is the wrapper without asynq around it.
//
// # The queue as the sweeper sees it
//
// [Queue.Inspect] says where the task of a delivery is; [Queue.Adopt] makes a queue known again whose name was lost; [Queue.Archived] pages the archive. An
// archived task whose LastErr begins with our mark is there by the engine's verdict, any other by a person's hand.
//
// # Contexts
//
// The handler's context is the wrapper's own, not asynq's, which ends with every lost asynq lease. It ends, with a cause, at the step's
// timeout ([ErrTimeout]), when the claim is lost ([ErrLost]), when the run is cancelled ([ErrRunCancelled]) and at shutdown ([ErrShutdown]).
//
// # Shutdown
//
// When the context of [Worker.Run] ends the worker stops fetching; handlers go on until the grace time is almost over (5 s before its end, half
// of it when it is shorter than 10 s) and then lose their context. A result that they still return is committed, an error gives the
// step back without a failure or a crash. A step whose handler does not return is marked as leaving, so that its takeover is no crash. The worker
// signs off last. Run returns within the grace time, whatever Redis and handlers do.
//
// # Not guaranteed
//
// A handler that ignores its context is left behind one second after its timeout, beside the concurrency limit, and its late result is
// dropped: Go cannot stop it. While one is left behind, a step that must run alone may run beside it. When Redis is away at the end of the grace
// time, asynq's own goroutines end only after their client has been closed.
package asynqueue
