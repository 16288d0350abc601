// Command bench measures Stepwell beside hand-chained asynq: five asynq handlers of which each enqueues the next one.
//
//	go run ./bench [-short] [-runs N] [-rounds N] [-concurrency N] [-fsync everysec] [-redis URL] [-json FILE] [-benchfmt FILE]
//	go run ./bench -compare OLD.json NEW.json
//
// Both systems run in this process, on the same Redis, with the same concurrency, polling, business data and client profile, in turns (A B A B …), so
// that a busy machine slows both; ratios are what counts. The first round warms up and is discarded.
//
// # What is measured
//
//   - Rate: runs of five steps in a row, all started as fast as they can be, from the first start to the return of the last handler; with the
//     processor time of this process and of Redis, and what Redis counted of bytes, script calls and connections.
//   - Idle latency: one run at a time on an otherwise idle system, after a random pause (or the start would follow the beat of the poll). Hand-chained
//     it ends when the last handler returns, Stepwell's when a read says that the run has succeeded, which is later.
//   - Wire: script calls and bytes of each verb, seen by a relay between the clients and Redis. Rates are measured without the relay.
//   - Memory: MEMORY USAGE of every key, of runs that wait for their first step and of the same runs finished.
//
// # Honesty
//
// Every run of every system must end, by two counts: one by the last handler, one in Redis (Stepwell: each run reads as succeeded; asynq: the
// queue is empty and has processed at least five tasks a run). A run that did not end, or a handler that ran twice, makes the command fail.
// More than 5.2 script calls a step do, too: create_run for each run, and for each step begin, complete, and asynq's enqueue, dequeue and done.
// Not counted are what goes on without any run as well: dequeues that found nothing, the sweeper's due, announcements of workers.
//
// Keys of a session have a random prefix and are deleted at its end; nothing else in the Redis is touched.
package main
