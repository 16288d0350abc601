// Package httpapi is the REST API of Stepwell: runs, workflows and dead letters, probes, metrics, its own documentation, and asynqmon.
//
// # Errors
//
// Every error is an RFC 9457 problem with a stable code and the request's ID, also those of routing (404, 405), of the body (400, 413, 415) and
// of a panic. One table, in errors.go, leads from errors to status and code. A 5xx says nothing of its cause, which is in the log under the
// request's ID; a 4xx says what is wrong and how to mend it, and does not repeat values of the body.
//
// # Requests
//
// A changing request must come from the same origin or from no browser at all ([http.CrossOriginProtection]), has at most [MaxBodyBytes] of
// application/json, and may carry an Idempotency-Key, which is checked before anything else is done. A start that repeats a key is answered 200
// with the run as it is now and Idempotent-Replayed: true.
//
// An operator's verb, a redrive and a press of a button of asynqmon may say who asks in X-Actor; the run's log keeps it. A verb that repeats a key
// changes nothing twice. Without Redis each is answered 503 within its client's 2 s.
//
// # asynqmon
//
// [Asynqmon] is read-only unless it was given an engine. With one, Run on an archived or retrying task of a step becomes a retry of the step; all other
// buttons are asynq's own, behind the same check of the origin, and each press is logged.
//
// # Life
//
// [Server.Run] serves until its context ends; then it refuses to be ready, takes no new connections, and waits for the requests that run.
//
// Not guaranteed: authentication. Whoever reaches the address may use the API.
package httpapi
