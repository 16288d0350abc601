// Package telemetry turns what Stepwell does into logs and metrics.
//
// [Metrics] counts what this process does, fed by [engine.Hooks]. [QueueCollector] shows what the installation holds (queues, runs, dead letters),
// asked of Redis when a scraper comes and at most every five seconds, because asynq samples memory for the answer. The API
// registers it; several APIs show the same installation: aggregate with max, not with sum.
//
// The queue's metrics bear the names of asynq's own exporter, so that dashboards made for it work. All others begin with stepwell_.
//
// Guarantees: no label has a value that grows with traffic; never a run's ID. Not guaranteed: counters survive a restart.
package telemetry
