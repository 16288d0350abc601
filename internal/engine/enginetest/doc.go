// Package enginetest says what an [engine.Store] must do, in three forms that check each other.
//
// [Memory] is the executable specification: every verb of the protocol as plain Go over structs, without I/O and with a clock that the test
// sets. Read it to learn the protocol: starts.go, claims.go, settle.go, due.go, agenda.go, repairs.go, operations.go, operations_run.go. A simulation
// gives it a clock with Follow, and rolls it back with Snapshot and Restore.
//
// [Conformance] is a list of scenarios with the answers that they must get, for every store. [RandomCommands] runs random commands
// against several stores at once and compares their answers and their [State] after each command. [Check] tests a State for the
// invariants that hold between any two commands.
//
// Two more parts serve tests of the engine: [Faulty] refuses calls to a store or loses their replies, [FakeQueue] is a queue whose tasks the test takes itself,
// or puts wherever a queue can have them.
//
// Guarantees: Memory is safe for concurrent use and every call is atomic. Not guaranteed: speed, durability, a bound of memory.
package enginetest
