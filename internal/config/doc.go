// Package config turns flags, environment and a file into one typed, checked struct per binary.
//
// A setting has one name, its key (`worker.concurrency`), and three spellings made from it: the key
// in the YAML file, `STEPWELL_WORKER_CONCURRENCY` in the environment, `--worker-concurrency` as a
// flag. A flag wins over the environment, the environment over the file, the file over the default.
// An empty environment variable counts as not set, so that a compose file may pass through what its
// caller has not set. The file is named by the flag --config and by nothing else.
//
// # Guarantees
//
// What a Load function returns has been checked: durations are within their bounds, addresses parse,
// queue weights are positive. What cannot be accepted comes back as one *Error that lists every
// problem at once, each with the key, the value, the bound and the way to mend it. A key that nothing
// reads, in the file or as a STEPWELL_ variable, is a problem too and is answered with the nearest
// key that exists; a slip of the pen never turns into a default.
//
// All binaries read the same file and environment, and each checks all of it, so a setting that would
// stop the worker is refused by the API already.
//
// Passwords inside redis.url and shop.database are kept in a Secret, which prints itself without
// them; an Error holds no password either.
//
// # Non-guarantees
//
// Nothing is connected to and no default is probed: that Redis answers, that a port is free, that a
// certificate fits its key, is found out by whoever uses the setting. Load functions read the file
// that --config names and otherwise only their arguments. Nothing is read again later.
package config
