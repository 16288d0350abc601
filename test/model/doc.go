// Package model holds a model of how a step is claimed, committed, taken over and handed over, in Promela, and the test that has it checked
// by Spin: every order of events, not a sample of them. steprun.pml is the model.
//
// # What is modelled
//
// One step (the parent) and one that depends on it (the child), in a store, a queue, two workers, a sweeper and an operator. Each script is
// one indivisible change of the store, as in Redis, and quotes the lines that it stands for; a test compares the quotes with the scripts.
// Between two calls anything else may happen:
//
//   - a worker dies at any point: before begin, in the handler, with a result, with or without the reply, before the hand-over, the report of it, or asynq's acknowledgement;
//     so does a sweeper between what it saw and what it does about it;
//   - a reply is lost and the call repeated with the same nonce; with LATE a copy of a call is carried out at any later moment;
//   - an acknowledgement is lost; asynq delivers a task that somebody already has, loses one, keeps its ID without it (a zombie), or brings one of any epoch back;
//   - an enqueue is refused; a lease runs out while its holder lives; a worker shuts down; with FAILING handlers return errors;
//   - with ROLLBACK the store forgets its last changes, once, while the queue and every process remember: they may be on different masters.
//
// FAULTS bounds how many faults a history has, in all; what a process does by itself is not bounded. A history may stop having faults at any point.
//
// # What the properties mean
//
//   - committed_twice: P3, "a step commits at most once". After a roll-back it counts the history that survived: a commit that was forgotten has to be made again.
//   - child_before_parent: P3, "never before its parents". No begin of the child is answered RUN while the parent's commit is not in the store.
//   - stale_claim_committed: fencing. A claim that was taken over never settles its step again, whenever its holder wakes up.
//   - stranded: "a queued step has either a send or a doubt", a retrying one a doubt, a running one a claim; after every single change.
//   - failure_counted_twice: a step has no more failures than handlers returned errors.
//   - timeout: when nothing moves any more, the run has ended. The assertion of the process World.
//   - ends: P2, "every accepted run becomes terminal". After the last fault the run ends and stays ended, whatever the order of events, if no process
//     that could go on waits for ever (weak fairness).
//
// Six mutations must be rejected, each for its own reason: complete without a look at the nonce, begin with a nonce that is over, the hand-over before the commit, reissue without
// compare-and-set, hand-over without a doubt, a sweeper that leaves dead claims alone. The last two are there for the property ends. And every
// EVENT of the model must be reached in some history, so that no property holds for want of trying.
//
// # What is left out
//
// Time: a lease ends, a delay is over, a doubt is due at any moment, so nothing is shown about how long anything takes, nor about the sweeper's guard against
// absences of Redis, which only decides whether a takeover counts as a crash. Crash counts, POISON and running alone; pause, cancel, skip, resolve, deadlines and purge; more
// than one parent (settle counts; one count is enough to see it counted twice); tasks that a person archived; several sweepers. A roll-back never reaches back to the
// creation of the run: whether that can happen is the durability of Redis, not ours. Nonces are never guessed: a new one is in use nowhere. The simulation
// and the tests on real processes look at these.
//
// # What it found
//
// A copy of begin that was carried out after its own attempt had failed claimed the retrying step anew for the same nonce (the epoch is still the same). If the worker
// then repeated fail, because its reply was lost as well, one failed attempt was counted as two; if not, the claim ended with its lease. It took three
// faults at once, one of them a copy that is held back for longer than the handler runs. begin refuses a nonce that has settled an attempt since
// (docs/adr/0006). The mutation LATE_BEGIN is the script as it was.
//
// # By hand
//
// The test needs spin and gcc (Debian: apt-get install spin gcc). One check of it, in an empty directory:
//
//	spin -a -DFAULTS=2 -DROLLBACK=2 …/steprun.pml
//	gcc -O2 -DSAFETY -o pan pan.c
//	./pan -m100000 -w24
//
// For the property ends: -DLIVE for spin, -DNFAIR=3 in place of -DSAFETY for gcc, ./pan -a -f. "errors: 0" without a warning above it means that every history was looked at.
//
// When pan reports an error it writes steprun.pml.trail. The same command line of spin with -t in place of -a tells it in words, one event a line, indented by process
// (workers first, then sweeper, asynq, the rest of the world), up to the assertion; a cycle is everything below START OF CYCLE. gcc -DBFS beside -DSAFETY finds the
// shortest one. The scripts and the processes that the events name are where to look next.
package model
