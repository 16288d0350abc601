// Package redisstore is the [engine.Store] on Redis: standalone, Sentinel or Cluster, version 7.0 or later.
//
// # Design
//
// keys.go is the whole key schema; docs/redis-schema.md shows it with an example of every key and is compared with it by a test. All keys of
// a run carry the hash tag of its partition, and a partition is one slot of a cluster. So every transition is one Lua script over declared
// keys, and no index can disagree with the state.
//
// scripts/<verb>.lua holds one verb each. Its header is what the Go side goes by: KEYS are names of the schema, from which the keys are
// built; Uses pulls in pieces of scripts/lib; OOM says whether the script may run when Redis has reached its memory limit. Scripts are loaded
// once and called by digest; a server that has lost one (a restart, a failover) gets its text with the call.
//
// Rules (children, numbers of parents, max_attempts) come from the definition that is frozen in the run's partition, never from the caller. Business
// data (inputs, outputs, configuration) is opaque: no script reads it as JSON.
//
// # Guarantees
//
//   - Every changing method is atomic, judged by the server's clock, and may be repeated after a lost reply.
//   - A script checks everything that can go wrong before its first write, since Redis has no roll-back.
//   - Errors: [engine.ErrUnavailable] for anything that repeating may cure, [engine.ErrMemory] at the memory limit, and plain errors
//     that name the key for data of a wrong type.
//
// # Non-guarantees
//
// Durability is that of the server: appendonly and appendfsync, replication. With [Config.StrictReplicas] the creation of a run is answered only when
// so many replicas have it; then it survives the loss of the master if one of them is promoted, for certain when all of them confirmed it. Reads of more than one key see each key as it is at that moment,
// not all at one. With a cluster, statistics are sums of what the masters say one after the other.
package redisstore
