package config

import (
	"time"
)

// API is the configuration of the API process.
type API struct {
	Redis     Redis     `mapstructure:"redis"`
	HTTP      HTTP      `mapstructure:"api"`
	Asynqmon  Asynqmon  `mapstructure:"asynqmon"`
	Workflows Workflows `mapstructure:"workflows"`
	Runs      Runs      `mapstructure:"runs"`
	Shop      Shop      `mapstructure:"shop"`
	Log       Log       `mapstructure:"log"`
	// Dev turns the refusals to start that protect production into warnings.
	Dev bool `mapstructure:"dev"`
}

// Worker is the configuration of a worker process.
type Worker struct {
	Redis Redis `mapstructure:"redis"`
	Pool  Pool  `mapstructure:"worker"`
	Runs  Runs  `mapstructure:"runs"`
	Shop  Shop  `mapstructure:"shop"`
	Log   Log   `mapstructure:"log"`
	// Dev turns the refusals to start that protect production into warnings.
	Dev bool `mapstructure:"dev"`
}

// Stack is the configuration of the commands that start everything themselves (demo and dev).
type Stack struct {
	// Redis.URL is empty unless one was set: then the command finds or embeds a Redis.
	Redis Redis `mapstructure:"redis"`
	HTTP  HTTP  `mapstructure:"api"`
	Log   Log   `mapstructure:"log"`
}

// Redis says where run state and queues live.
type Redis struct {
	// URL has the scheme redis, rediss, redis+sentinel or redis+cluster;
	// several hosts are separated by commas.
	URL Secret `mapstructure:"url"`
	// Prefix starts every key of ours.
	Prefix string `mapstructure:"prefix"`
	// TLSCA, TLSCert and TLSKey name PEM files; empty means the system's roots and no client
	// certificate. Certificate and key are set together or not at all.
	TLSCA   string `mapstructure:"tls_ca"`
	TLSCert string `mapstructure:"tls_cert"`
	TLSKey  string `mapstructure:"tls_key"`
	// Durability is relaxed, or strict: then DurabilityReplicas replicas must have a new run before its start is answered.
	Durability         string `mapstructure:"durability"`
	DurabilityReplicas int    `mapstructure:"durability_replicas"`
}

// StrictReplicas is how many replicas must confirm a new run.
func (r Redis) StrictReplicas() int {
	if r.Durability != DurabilityStrict {
		return 0
	}
	return r.DurabilityReplicas
}

// The values of Redis.Durability.
const (
	DurabilityRelaxed = "relaxed" // a new run is as durable as the master keeps it
	DurabilityStrict  = "strict"
)

// HTTP is where the API listens.
type HTTP struct {
	// Addr is host:port; port 0 takes a free one.
	Addr string `mapstructure:"addr"`
}

// Asynqmon is asynq's own dashboard below /asynqmon/.
type Asynqmon struct {
	// Buttons lets it change something. The API has no users yet: whoever reaches it may press them.
	Buttons bool `mapstructure:"buttons"`
}

// Runs is what holds for runs whose workflow says nothing itself.
type Runs struct {
	// Retention is how long a run that succeeded or was cancelled is kept after its end, RetentionFailed
	// one that failed; 0 is for ever.
	Retention       time.Duration `mapstructure:"retention"`
	RetentionFailed time.Duration `mapstructure:"retention_failed"`
}

// Workflows says where definition files are.
type Workflows struct {
	Dir string `mapstructure:"dir"`
}

// Pool is how a worker takes and gives up work.
type Pool struct {
	// Addr is host:port of probes and metrics; empty turns them off.
	Addr string `mapstructure:"addr"`
	// Concurrency is how many steps run at once in the process.
	Concurrency int `mapstructure:"concurrency"`
	// Queues are served in proportion to their weights.
	Queues []Queue `mapstructure:"queues"`
	// Grace is the time between SIGTERM and the end of the process.
	Grace time.Duration `mapstructure:"grace"`
	// Heartbeat is how often a claim is renewed; TTL is how long it lives without.
	Heartbeat time.Duration `mapstructure:"heartbeat"`
	TTL       time.Duration `mapstructure:"ttl"`
}

// Queue is a queue that a worker serves.
type Queue struct {
	Name   string
	Weight int
}

// Shop is the checkout: its routes, handlers and the services that they call.
type Shop struct {
	Enabled bool `mapstructure:"enabled"`
	// Database is sqlite:PATH or a postgres:// URL.
	Database   Secret `mapstructure:"database"`
	GatewayURL Secret `mapstructure:"gateway_url"`
	SMTPAddr   string `mapstructure:"smtp_addr"`
	MailFrom   string `mapstructure:"mail_from"`
}

// Log is what is written to standard error, and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `mapstructure:"level"`
	// Format is text, json, or auto: text on a terminal, else json.
	Format string `mapstructure:"format"`
}

// settings is everything that a file or an environment may say; each binary gets its part of it.
type settings struct {
	Redis     Redis     `mapstructure:"redis"`
	HTTP      HTTP      `mapstructure:"api"`
	Pool      Pool      `mapstructure:"worker"`
	Asynqmon  Asynqmon  `mapstructure:"asynqmon"`
	Workflows Workflows `mapstructure:"workflows"`
	Runs      Runs      `mapstructure:"runs"`
	Shop      Shop      `mapstructure:"shop"`
	Log       Log       `mapstructure:"log"`
	Dev       bool      `mapstructure:"dev"`
}
