// Package chaos judges what became of orders that were placed while everything around them broke. Its tests (build tag integration) do the breaking:
// real APIs and workers, each behind a proxy of its own to a real Redis; processes are killed and stopped, Redis is killed and loses what it may
// lose, connections are reset, cut in the middle of a reply, silenced and delayed. The schedule comes from a seed, which is printed.
//
//	go test -tags=integration -v ./test/chaos
//
// runs the short profile. Environment variables make it another one:
//
//	SW_CHAOS_ORDERS  orders for each durability of Redis (300); the number of faults grows with it
//	SW_CHAOS_RATE    orders a second (6)
//	SW_CHAOS_SEED    repeats a schedule and a mix of orders; the interleaving of the processes stays chance
//
// [Check] compares what was accepted with the evidence: the payment gateway's ledger, the shop's database, the mail sink, and what the API says in
// the end. It knows nothing of how the evidence came about. The tests' negative controls run the same shop with one protection taken out, and must
// be found guilty by the same function.
//
// # What is demanded
//
//   - none lost: every order that was answered 202 has its run. A Redis that writes its file every second may lose those of the last second before
//     a kill; they are counted.
//   - none double: one charge, one reservation of each product, one order, one Message-ID a run; no step commits twice.
//   - none stuck: every run ends within a few minutes after the faults do.
//   - none early: no step begins, and none has an effect, before its parents have succeeded.
//   - each as expected: what an order comes to follows from its payment token and its cart, whatever happened on the way.
//   - each failed step is among the dead letters, and nothing else is.
//   - only a process that died is a crash.
//
// # What is allowed
//
// A message may be sent again under the same Message-ID. A step whose process was killed three times is failed as POISON, as promised; such
// runs are counted.
package chaos
