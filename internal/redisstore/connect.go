package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Profile says how long a client waits for a Redis that is away.
type Profile int

// The profiles.
const (
	// Patient keeps trying: 30 retries at most 1 s apart, on a cluster 30 redirects. It is what asynq's server needs: a lost
	// acknowledgement runs a task again.
	Patient Profile = iota
	// Quick gives up after 2 s in all, whatever the context allows. It is for requests of people.
	Quick
)

const (
	quickLimit   = 2 * time.Second
	quickAttempt = time.Second
)

// Options of [Connect].
type Options struct {
	// URL is one of
	//
	//	redis://user:password@host:6379/0
	//	rediss://… (TLS)
	//	redis+sentinel://user:password@host:26379,host2:26379/master?db=0&sentinel_user=…&sentinel_password=…
	//	redis+cluster://user:password@host:7000,host:7001
	//
	// and rediss+sentinel, rediss+cluster with TLS.
	URL string
	// TLSCA, TLSCert and TLSKey name PEM files: authorities to trust instead of the system's, and the client's certificate. Any of them turns TLS on.
	TLSCA, TLSCert, TLSKey string
	Profile                Profile
	PoolSize               int // connections at most, to each server; 0 means 10 a CPU
}

const urlForms = "write redis://user:password@host:6379/0, rediss://…, redis+sentinel://host:26379,host2:26379/master?db=0 or redis+cluster://host:7000,host2:7000" //nolint:gosec // an example, not a password

// Connect builds a client. It opens no connection yet. All connections of a process, asynq's too, come from here, so that user name and TLS cannot drift
// apart. Errors wrap [dag.ErrInvalid], name the forms of a URL and never show a password.
func Connect(o Options) (redis.UniversalClient, error) {
	opts, cluster, err := o.universal()
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	var client redis.UniversalClient
	switch {
	case opts.MasterName != "":
		client = redis.NewFailoverClient(opts.Failover())
	case cluster:
		client = redis.NewClusterClient(opts.Cluster())
	default:
		client = redis.NewClient(opts.Simple())
	}
	switch {
	case o.Profile == Quick:
		client.AddHook(deadline{})
	case !cluster:
		client.AddHook(patience{})
	}
	return client, nil
}

func (o Options) universal() (opts *redis.UniversalOptions, cluster bool, err error) {
	scheme, hosts, u, err := splitURL(o.URL)
	if err != nil {
		return nil, false, err
	}
	opts = &redis.UniversalOptions{
		Addrs: hosts, Username: u.User.Username(), PoolSize: o.PoolSize,
		DisableIdentity:          true,                                                              // or each connection begins with CLIENT SETINFO, one more thing that a user must be allowed
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}, // a feature of Redis Enterprise
	}
	opts.Password, _ = u.User.Password()
	port, path := "6379", strings.TrimPrefix(u.Path, "/")
	secure := strings.HasPrefix(scheme, "rediss")
	kind := strings.TrimPrefix(strings.TrimPrefix(scheme, "rediss"), "redis")
	db := path
	switch kind {
	case "":
		if len(hosts) > 1 {
			return nil, false, fmt.Errorf("%w: several hosts; %s", dag.ErrInvalid, urlForms)
		}
	case "+sentinel":
		port, db = "26379", u.Query().Get("db")
		opts.MasterName = path
		opts.SentinelUsername, opts.SentinelPassword = u.Query().Get("sentinel_user"), u.Query().Get("sentinel_password")
		if path == "" {
			return nil, false, fmt.Errorf("%w: the master's name is missing; %s", dag.ErrInvalid, urlForms)
		}
	case "+cluster":
		if db != "" && db != "0" {
			return nil, false, fmt.Errorf("%w: a cluster has only database 0; %s", dag.ErrInvalid, urlForms)
		}
	}
	if err := checkQuery(u.Query(), kind); err != nil {
		return nil, false, err
	}
	for i, host := range hosts {
		if opts.Addrs[i], err = withPort(host, port); err != nil {
			return nil, false, err
		}
	}
	if opts.DB, err = parseDB(db); err != nil {
		return nil, false, err
	}
	if opts.TLSConfig, err = o.tls(secure); err != nil {
		return nil, false, err
	}
	o.Profile.apply(opts, kind == "+cluster")
	return opts, kind == "+cluster", nil
}

// splitURL takes a URL with several hosts apart. url.Parse knows only one, and its errors show the whole URL.
func splitURL(raw string) (scheme string, hosts []string, rest *url.URL, err error) {
	scheme, after, ok := strings.Cut(raw, "://")
	known := map[string]bool{"redis": true, "rediss": true, "redis+sentinel": true, "rediss+sentinel": true, "redis+cluster": true, "rediss+cluster": true}
	if !ok || !known[scheme] {
		return "", nil, nil, fmt.Errorf("%w: not a URL of Redis; %s", dag.ErrInvalid, urlForms)
	}
	end := strings.IndexAny(after, "/?")
	if end < 0 {
		end = len(after)
	}
	authority, path := after[:end], after[end:]
	user := ""
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, authority = authority[:at+1], authority[at+1:]
	}
	u, err := url.Parse(scheme + "://" + user + "host" + path)
	if err != nil || authority == "" {
		return "", nil, nil, fmt.Errorf("%w: cannot be read (escape special characters of a password, for example %%2F for /); %s", dag.ErrInvalid, urlForms)
	}
	return scheme, strings.Split(authority, ","), u, nil
}

func checkQuery(query url.Values, kind string) error {
	for name := range query {
		if kind != "+sentinel" || (name != "db" && name != "sentinel_user" && name != "sentinel_password") {
			return fmt.Errorf("%w: unknown parameter %q; %s", dag.ErrInvalid, name, urlForms)
		}
	}
	return nil
}

func withPort(host, port string) (string, error) {
	if host == "" {
		return "", fmt.Errorf("%w: an empty host; %s", dag.ErrInvalid, urlForms)
	}
	if !strings.Contains(host, ":") || strings.HasSuffix(host, "]") {
		return host + ":" + port, nil
	}
	_, given, err := net.SplitHostPort(host)
	if n, numErr := strconv.Atoi(given); err != nil || numErr != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%w: host %q; %s", dag.ErrInvalid, host, urlForms)
	}
	return host, nil
}

func parseDB(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: database %q is no number; %s", dag.ErrInvalid, text, urlForms)
	}
	return n, nil
}

// apply sets how long and how often a client tries. A cluster client must not retry much inside one node, or commands stay pinned to
// a dead master; it follows redirects instead.
func (p Profile) apply(o *redis.UniversalOptions, cluster bool) {
	o.ContextTimeoutEnabled = true // or a hung socket outlasts the bound that a caller set
	if p == Quick {
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = quickAttempt, quickAttempt, quickAttempt, quickAttempt
		o.MaxRetries, o.DialerRetries = 1, 1
		return
	}
	o.MaxRetries = -1 // see patience
	if cluster {
		o.MaxRetries, o.MaxRedirects = 2, 30
	}
}

// tls returns nil when the connection is to be in the clear.
func (o Options) tls(secure bool) (*tls.Config, error) {
	if !secure && o.TLSCA == "" && o.TLSCert == "" && o.TLSKey == "" {
		return nil, nil //nolint:nilnil // nil is how go-redis is told not to use TLS
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLSCA != "" {
		pem, err := os.ReadFile(o.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("read the authorities' certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s has no certificate in PEM", dag.ErrInvalid, o.TLSCA)
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return nil, fmt.Errorf("%w: a client certificate and its key go together; give both files or none", dag.ErrInvalid)
	}
	if o.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read the client's certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

// deadline ends every command of a quick client after its limit, retries and redirects included.
type deadline struct{}

func (deadline) DialHook(next redis.DialHook) redis.DialHook { return next }

func (deadline) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, quickLimit)
		defer cancel()
		return next(ctx, cmd)
	}
}

func (deadline) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, quickLimit)
		defer cancel()
		return next(ctx, cmds)
	}
}
