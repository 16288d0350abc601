package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the settings; outside of them a value is a slip rather than a wish.
const (
	maxConcurrency = 10_000
	maxWeight      = 1_000
	maxReplicas    = 10
	minGrace       = 5 * time.Second // handlers are cancelled 5 s before the end
	maxGrace       = time.Hour
	minHeartbeat   = 100 * time.Millisecond
	maxHeartbeat   = time.Minute
	maxTTL         = 10 * time.Minute
	minRetention   = time.Minute
	maxRetention   = 10 * 366 * 24 * time.Hour // as in a workflow's definition
	beatsInTTL     = 3                         // so that one lost heartbeat, and a late one, do not lose a claim
)

var (
	prefixPattern = regexp.MustCompile(`^[a-z0-9-]{1,16}$`)
	queuePattern  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
)

// validate reports everything that is out of bounds.
func validate(s settings, refuse func(key, reason string)) {
	validateRedis(s.Redis, refuse)
	checkAddr(s.HTTP.Addr, "api.addr", refuse)
	validatePool(s.Pool, refuse)
	if s.Workflows.Dir == "" {
		refuse("workflows.dir", "must name a directory")
	}
	checkRetention(s.Runs.Retention, "runs.retention", refuse)
	checkRetention(s.Runs.RetentionFailed, "runs.retention_failed", refuse)
	if s.Shop.Enabled {
		validateShop(s.Shop, refuse)
	}
	oneOf(s.Log.Level, "log.level", refuse, "debug", "info", "warn", "error")
	oneOf(s.Log.Format, "log.format", refuse, "auto", "text", "json")
}

func validateRedis(r Redis, refuse func(key, reason string)) {
	if reason := redisURLProblem(string(r.URL)); reason != "" {
		refuse("redis.url", reason)
	}
	if !prefixPattern.MatchString(r.Prefix) {
		refuse("redis.prefix", "must be 1 to 16 of a-z, 0-9 and dash")
	}
	oneOf(r.Durability, "redis.durability", refuse, DurabilityRelaxed, DurabilityStrict)
	if r.DurabilityReplicas < 1 || r.DurabilityReplicas > maxReplicas {
		refuse("redis.durability_replicas", fmt.Sprintf("must be 1 to %d", maxReplicas))
	}
	switch {
	case r.TLSCert != "" && r.TLSKey == "":
		refuse("redis.tls_key", "must be set, because redis.tls_cert is")
	case r.TLSKey != "" && r.TLSCert == "":
		refuse("redis.tls_cert", "must be set, because redis.tls_key is")
	}
}

// redisURLProblem says what is wrong with the URL, or nothing. net/url does not help here: it
// refuses a list of hosts with ports.
func redisURLProblem(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || !slices.Contains([]string{"redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster"}, scheme) {
		return "must start with redis://, rediss:// (TLS), redis+sentinel:// or redis+cluster://, or with rediss+ for TLS to those"
	}
	rest, _, _ = strings.Cut(rest[strings.LastIndexByte(rest, '@')+1:], "?")
	hosts, path, _ := strings.Cut(rest, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		if !strings.Contains(host, ":") || strings.HasSuffix(host, "]") {
			host += ":6379"
		}
		if name, port, err := net.SplitHostPort(host); err != nil || name == "" || !isPort(port) {
			return "must name hosts as host or host:port, separated by commas"
		}
	}
	if strings.HasSuffix(scheme, "+sentinel") && path == "" {
		return "must name the master after the hosts, as in redis+sentinel://host:26379/master"
	}
	return ""
}

func validatePool(p Pool, refuse func(key, reason string)) {
	if p.Addr != "" {
		checkAddr(p.Addr, "worker.addr", refuse)
	}
	if p.Concurrency < 1 || p.Concurrency > maxConcurrency {
		refuse("worker.concurrency", fmt.Sprintf("must be 1 to %d", maxConcurrency))
	}
	if reason := queuesProblem(p.Queues); reason != "" {
		refuse("worker.queues", reason)
	}
	between(p.Grace, "worker.grace", minGrace, maxGrace, refuse)
	between(p.Heartbeat, "worker.heartbeat", minHeartbeat, maxHeartbeat, refuse)
	if shortest := beatsInTTL * p.Heartbeat; p.TTL < shortest || p.TTL > maxTTL {
		refuse("worker.ttl", fmt.Sprintf("must be %s (%d × worker.heartbeat) to %s", shortest, beatsInTTL, maxTTL))
	}
}

func queuesProblem(queues []Queue) string {
	if len(queues) == 0 {
		return formQueues
	}
	seen := map[string]bool{}
	for _, q := range queues {
		switch {
		case !queuePattern.MatchString(q.Name):
			return fmt.Sprintf("names the queue %q: a name is 1 to 63 of a-z, 0-9, dash and underscore, a letter first", q.Name)
		case q.Weight < 1 || q.Weight > maxWeight:
			return fmt.Sprintf("gives %s the weight %d: a weight is 1 to %d; leave a queue out to not serve it", q.Name, q.Weight, maxWeight)
		case seen[q.Name]:
			return "names the queue " + q.Name + " twice"
		}
		seen[q.Name] = true
	}
	return ""
}

func validateShop(s Shop, refuse func(key, reason string)) {
	path, sqlite := strings.CutPrefix(string(s.Database), "sqlite:")
	postgres := strings.HasPrefix(string(s.Database), "postgres://") || strings.HasPrefix(string(s.Database), "postgresql://")
	if !postgres && (!sqlite || path == "") {
		refuse("shop.database", "must be sqlite:PATH or postgres://user:password@host:port/database")
	}
	gateway, err := url.Parse(string(s.GatewayURL))
	if err != nil || gateway.Host == "" || gateway.Scheme != "http" && gateway.Scheme != "https" {
		refuse("shop.gateway_url", "must be a URL such as http://127.0.0.1:8090")
	}
	checkAddr(s.SMTPAddr, "shop.smtp_addr", refuse)
	if _, err := mail.ParseAddress(s.MailFrom); err != nil {
		refuse("shop.mail_from", "must be a mail address such as shop@example.com")
	}
}

func checkAddr(addr, key string, refuse func(key, reason string)) {
	if _, port, err := net.SplitHostPort(addr); err != nil || !isPort(port) {
		refuse(key, "must be host:port such as 127.0.0.1:8080, the port 0 to 65535")
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func between(d time.Duration, key string, low, high time.Duration, refuse func(key, reason string)) {
	if d < low || d > high {
		refuse(key, fmt.Sprintf("must be %s to %s", low, high))
	}
}

func checkRetention(d time.Duration, key string, refuse func(key, reason string)) {
	if d != 0 && (d < minRetention || d > maxRetention) {
		refuse(key, fmt.Sprintf("must be %s to %s, or 0 to keep runs for ever", minRetention, maxRetention))
	}
}

func oneOf(value, key string, refuse func(key, reason string), allowed ...string) {
	if !slices.Contains(allowed, value) {
		refuse(key, fmt.Sprintf("must be one of %s; the nearest is %s", strings.Join(allowed, ", "), nearest(value, allowed)))
	}
}
