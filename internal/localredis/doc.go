// Package localredis gives demo, dev and tests a Redis without asking anyone to set one up. Start takes the first of
//
//  1. External: the URL in Options, used as it is and never stopped;
//  2. Server: redis-server or valkey-server from PATH, on a free port of 127.0.0.1 (FreeAddr), with an append-only file in a private directory;
//  3. Embedded: miniredis in this process, with a warning that nothing is durable.
//
// A Server can be killed, paused and restarted on its port and directory, for tests of faults. Package redistest wraps all of this for tests,
// and starts masters with replicas and Sentinels, and clusters.
//
// # Guarantees
//
//   - When Start returns, the server has answered; a server of our own proved by its process ID that it is ours.
//   - Close ends exactly the process that Start began, by its process ID: SIGTERM, after 5 s SIGKILL.
//   - Directories that Start made are removed by Close; given ones are kept.
//
// # Non-guarantees
//
// When this process is killed, its server goes on: the parent-death signal of Linux fires at the end of the creating
// thread, which a Go program does not control. It runs in a process group of its own, so that Ctrl-C in a terminal reaches
// only this process, which then closes it in good order. Embedded is about five times slower than a server, has no INFO worth the name and forgets everything.
package localredis
