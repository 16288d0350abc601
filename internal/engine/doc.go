// Package engine holds the use cases of Stepwell: start a run, claim and settle its steps, hand steps over to the queue, take over what
// a dead worker left, and retry what failed.
//
// # Truth and view
//
// A run's state in the [Store] is the truth, the [Queue] a view of it. Every change of state is one atomic, idempotent call of the
// store, and comes before what it means for the queue. A process may die between the two: the store has written down, in the
// partition's agenda, that a step still has to be handed over, and the sweeper of any process does so a second later.
//
// # Who may act
//
// A worker owns a step while the store knows the worker's random nonce for it (its claim) and the claim is renewed. Nothing takes a
// claim away but a reissue, which comes after its lease ran out, and the run's deadline. A worker that comes back late meets FENCED: equality of nonces, not time, decides.
//
// # What is not promised
//
// A handler runs at least once. An effect happens once only at a provider that honours the effect key (see package tasks).
package engine
