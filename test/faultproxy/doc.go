// Package faultproxy is a TCP proxy between one process and its Redis, for tests of faults. It reads enough of the protocol to know each command
// and each script by name, and does to a chosen call what a network or a kill -9 does at the worst moment:
//
//   - [CutBefore]: the connection ends before Redis has seen the command;
//   - [LoseReply]: Redis has carried the command out, the reply never arrives and the connection ends;
//   - [Hold]: the reply is held back while the rule's Hook runs, then delivered.
//
// A Hook runs at that very moment in all three; killing the process there makes a crash between two given commands. [Proxy.Away] is a Redis
// that is out of reach, until [Proxy.Back].
//
// Give every process whose connections matter a proxy of its own. Scripts of Stepwell are known by the header of their text, which each process
// loads when it connects; those of asynq by the form of their keys.
//
// # Not done
//
// Connections that subscribe are passed through from then on and match no rule. TLS is not understood.
package faultproxy
