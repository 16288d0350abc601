// Package soak judges whether what processes and their Redis use stays flat under a steady load, and draws it. Its tests (build tag integration) make
// the load: an API and workers as real processes, a Redis of the test's own, and clients that do nothing but POST /v1/runs.
//
//	go test -tags=integration -v -timeout 0 -run TestSoak ./test/soak
//
// runs a smoke test of some two minutes. Environment variables make it a soak:
//
//	SW_SOAK        how long the load lasts (20s); from 3m on the series are judged
//	SW_SOAK_RATE   runs a second (20)
//	SW_SOAK_CHART  file for the chart, SVG; a small one is in the test's log in any case
//
// Do not measure with the race detector on: its own memory is part of what is measured.
//
// # What is demanded of a soak
//
//   - every accepted run ends, and is removed at the end of its retention, which is a minute here, the shortest there is;
//   - goroutines, resident memory and heap of each process, connections, keys and memory of Redis, and the number of runs kept are as high in the last
//     third of the time after the warm-up as in the first, within bounds that a leak of a little a run exceeds in three minutes;
//   - when load and retention are over no key, and no value of a key, names a run.
//
// Archived tasks of failed runs are asynq's, outlive the run until the next audit, at most an hour later, and are at most 10,000 a queue. The soak
// draws them, does not demand that they stay flat, and has them audited before it looks at what is left.
//
// # Load
//
// TestOverload sends five times what drains. TestFullRedis fills Redis up to its limit, and takes the limit below what is used. Both demand that each
// answer is 202 or 503 with Retry-After, that none is late, and that all that was accepted ends when the fault is over.
package soak
