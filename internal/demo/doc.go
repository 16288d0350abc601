// Package demo plays the shop on this machine with real processes: API, workers, payment gateway, Redis and a mail sink. It places nine orders, one of
// which meets a kill -9, and compares the books of the outside world afterwards.
//
// [Stack] starts and ends the processes, which are this binary again with another subcommand; tests of whole processes use it too. [Play] is
// what `stepwell demo` does, [Keep] what `stepwell dev` does.
//
// What a check says comes from the gateway's ledger, the shop's database and the mail sink, never from Stepwell's own word.
package demo
