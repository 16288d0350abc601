// Package app wires the processes: what cmd/api and cmd/worker are, and the parts that cmd/stepwell starts as processes of their own.
// It is the one place below cmd that knows every adapter; it decides nothing about runs.
//
// A process starts in one order, connect, check the installation, listen, announce, work, and stops in the reverse one; Redis is closed last.
// A mistake of the operator (a busy port, no Redis, a broken definition) is an error that says what to do, never a stack trace.
package app
