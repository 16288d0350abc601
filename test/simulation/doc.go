// Package simulation plays an installation by chance: the real engine on the in-memory store, with a queue, processes and clocks that are
// simulated, so that a thousand faults take a second and a failure can be played again.
//
// A world has one store (enginetest.Memory), one queue that behaves as asynq does (queue.go), and a few processes (process.go). Each process
// has an engine of its own with its own sweeper, a link to the store and the queue that can be cut, and slots in which it runs steps. What a
// worker does between two calls is a state machine here, and asks the wrapper's own verdict table (asynqueue.Decide) what the queue is told.
//
// An episode is a list of actions (actions.go): deliver, go on with a step, lose a reply, deliver twice, kill, stop for longer than the TTL, cut
// off, roll back the last second, operate, press a button of the queue's dashboard, let time go by. An action is three numbers and means something in
// whatever state it meets the world, so that a failing list can be made shorter (shrink.go). After the last one everything is mended, time goes on, and every run
// must end.
//
// What is checked (check.go): the invariants of enginetest.Check all along; that a step commits at most once and no handler begins before the parents of
// its step are done; that each accepted run is there, unless its acceptance was rolled back; that all end, the failed ones in the dead
// letters; and that nobody holds a claim for ever. The test asserts as well that every row of the sweeper's table and of the verdict table was met.
//
// Not simulated: the wrapper's goroutines and asynq itself (their tests, test/crash, test/chaos), Redis's scripts (the conformance suite says that they are
// what the memory is).
package simulation
