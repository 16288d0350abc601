package config

import (
	"runtime"
	"slices"
	"strings"
	"time"
)

const envPrefix = "STEPWELL_"

// A key is one setting in its three spellings.
type key struct {
	name  string
	def   any    // its type is the type of the flag
	form  string // what a value must look like, when it could not be read at all
	usage string // meaning, for --help
}

// env is the name of the environment variable: worker.ttl is STEPWELL_WORKER_TTL.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// flag is the name of the flag without dashes: shop.gateway_url is shop-gateway-url.
func (k key) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(k.name)
}

const (
	formBool     = "must be true or false"
	formDuration = "must be a duration such as 500ms, 30s or 5m"
	formNumber   = "must be a whole number"
	formQueues   = "must be a list of name=weight such as ecommerce-critical=6,ecommerce=3"
	formText     = "must be a text (in the file, put it in quotes)"
)

// keys is the whole configuration, in the order of --help.
func keys() []key {
	return []key{
		{"redis.url", "redis://127.0.0.1:6379/0", formText, "Redis that holds runs and queues: redis://, rediss://, redis+sentinel://host:26379,.../master or redis+cluster://host:7000,..., with user and password"},
		{"redis.prefix", "sw", formText, "first part of every Redis key, and of queue names when it is not sw"},
		{"redis.tls_ca", "", formText, "PEM `file` of the authorities that may sign Redis's certificate; empty means the system's"},
		{"redis.tls_cert", "", formText, "PEM `file` of the client certificate for Redis; needs redis.tls_key"},
		{"redis.tls_key", "", formText, "PEM `file` of the key of redis.tls_cert"},
		{"redis.durability", DurabilityRelaxed, formText, "`when` a start is answered: relaxed, when Redis's master has the run, or strict, when replicas have it too"},
		{"redis.durability_replicas", 1, formNumber, "how many replicas must confirm a start when redis.durability is strict; all of them is safest"},
		{"api.addr", "127.0.0.1:8080", formText, "`host:port` of the API; port 0 takes a free one"},
		{"worker.addr", "", formText, "`host:port` of the worker's probes and metrics; empty turns them off"},
		{"worker.concurrency", 10 * runtime.GOMAXPROCS(0), formNumber, "how many steps run at once in a worker; 10 for each CPU unless set"},
		{"worker.queues", "ecommerce-critical=6,ecommerce=3,stepwell=3", formQueues, "queues that the worker serves, as `name=weight,...`"},
		{"worker.grace", 30 * time.Second, formDuration, "time between SIGTERM and the end of the worker; handlers are cancelled 5s before"},
		{"worker.heartbeat", 5 * time.Second, formDuration, "how often a running step renews its claim"},
		{"worker.ttl", 20 * time.Second, formDuration, "how long a claim outlives its last renewal: a dead worker's step is taken over after that"},
		{"workflows.dir", "workflows", formText, "`directory` of the workflow definitions, registered when the API starts"},
		{"asynqmon.buttons", false, formBool, "let the dashboard below /asynqmon/ change something; whoever reaches the API may press its buttons"},
		{"runs.retention", 168 * time.Hour, formDuration, "how long a run that succeeded or was cancelled is kept after its end, unless its workflow says so; 0 is for ever"},
		{"runs.retention_failed", 720 * time.Hour, formDuration, "the same for a run that failed"},
		{"shop.enabled", true, formBool, "whether the checkout's routes and handlers are there"},
		{"shop.database", "sqlite:data/shop.db", formText, "the shop's database: sqlite:PATH or postgres://..."},
		{"shop.gateway_url", "http://127.0.0.1:8090", formText, "`URL` of the payment gateway"},
		{"shop.smtp_addr", "127.0.0.1:1025", formText, "`host:port` of the mail server"},
		{"shop.mail_from", "shop@example.com", formText, "sender `address` of the shop's mail"},
		{"log.level", "info", formText, "least severe `level` that is logged: debug, info, warn or error"},
		{"log.format", "auto", formText, "`format` of the log: text, json, or auto (text on a terminal, else json)"},
		{"dev", false, formBool, "start although Redis may evict keys and the like: warns where it else refuses"},
	}
}

// findKey returns the key of that name.
func findKey(name string) (key, bool) {
	all := keys()
	i := slices.IndexFunc(all, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return all[i], true
}

// nearest returns the candidate that is the fewest edits away from name.
func nearest(name string, candidates []string) string {
	return slices.MinFunc(candidates, func(a, b string) int {
		return distance(name, a) - distance(name, b)
	})
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
