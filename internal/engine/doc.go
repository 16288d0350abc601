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
// # What is repaired
//
// Every process sweeps ([Engine.Run]). The sweepers share the partitions in groups, by leases of a few seconds, to save work; what makes it safe that two
// act on one run is the store's compare-and-set. A round does, in this order and each within a bound of its own: the agenda (deliveries that nobody handed
// over, deadlines, retention), claims past their lease, and doubts: steps that the queue accepted and nobody began, whose task is looked for. [Rulings] is
// the table of what is found and what is done about it. Once an hour an audit compares every run with its counts and indexes, and reports; it mends nothing.
//
// # What is not promised
//
// A handler runs at least once. An effect happens once only at a provider that honours the effect key (see package tasks).
package engine
