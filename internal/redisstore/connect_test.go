package redisstore_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

func TestConnectReadsURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]redis.UniversalOptions{
		"redis://localhost":                         {Addrs: []string{"localhost:6379"}},
		"redis://localhost:7/3":                     {Addrs: []string{"localhost:7"}, DB: 3},
		"redis://[::1]:7":                           {Addrs: []string{"[::1]:7"}},
		"redis://me:p%2Fw@h":                        {Addrs: []string{"h:6379"}, Username: "me", Password: "p/w"},
		"redis://:p@w@h":                            {Addrs: []string{"h:6379"}, Password: "p@w"},
		"redis+cluster://me:pw@a:1,b:2,c":           {Addrs: []string{"a:1", "b:2", "c:6379"}, Username: "me", Password: "pw"},
		"redis+sentinel://me:pw@a,b:2/boss?db=4":    {Addrs: []string{"a:26379", "b:2"}, Username: "me", Password: "pw", DB: 4, MasterName: "boss"},
		"redis+sentinel://a/b?sentinel_password=pw": {Addrs: []string{"a:26379"}, MasterName: "b", SentinelPassword: "pw"},
	} {
		client, err := redisstore.Connect(redisstore.Options{URL: url, PoolSize: 3})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		t.Cleanup(func() { _ = client.Close() })
		checkClient(t, url, client, &want)
	}
}

func checkClient(t *testing.T, url string, client redis.UniversalClient, want *redis.UniversalOptions) {
	t.Helper()
	switch c := client.(type) {
	case *redis.ClusterClient:
		o := c.Options()
		if strings.Join(o.Addrs, " ") != strings.Join(want.Addrs, " ") || o.Username != want.Username || o.Password != want.Password {
			t.Errorf("%s: cluster of %v as %s", url, o.Addrs, o.Username)
		}
		if o.MaxRetries != 2 || o.MaxRedirects != 30 || o.PoolSize != 3 {
			t.Errorf("%s: %d retries, %d redirects, %d connections; want 2, 30 and 3", url, o.MaxRetries, o.MaxRedirects, o.PoolSize)
		}
	case *redis.Client:
		o := c.Options()
		if want.MasterName == "" && o.Addr != want.Addrs[0] || o.DB != want.DB || o.Username != want.Username || o.Password != want.Password {
			t.Errorf("%s: %s database %d as %s", url, o.Addr, o.DB, o.Username)
		}
		if (want.MasterName != "") != (o.Addr == "FailoverClient") {
			t.Errorf("%s: asks Sentinel: %t", url, o.Addr == "FailoverClient")
		}
		if o.MaxRetries != 0 || o.PoolSize != 3 { // a hook repeats
			t.Errorf("%s: %d retries, %d connections; want 0 and 3", url, o.MaxRetries, o.PoolSize)
		}
	}
}

func TestConnectTurnsTLSOn(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"rediss://h", "rediss+cluster://h", "rediss+sentinel://h/m"} {
		client, err := redisstore.Connect(redisstore.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		on := false
		switch c := client.(type) {
		case *redis.ClusterClient:
			on = c.Options().TLSConfig != nil
		case *redis.Client:
			on = c.Options().TLSConfig != nil
		}
		if !on {
			t.Errorf("%s: no TLS", url)
		}
	}
	for text, o := range map[string]redisstore.Options{
		"has no certificate in PEM": {URL: "rediss://h", TLSCA: broken},
		"no such file":              {URL: "rediss://h", TLSCA: broken + "x"},
		"go together":               {URL: "rediss://h", TLSCert: broken},
		"client's certificate":      {URL: "rediss://h", TLSCert: broken, TLSKey: broken},
	} {
		if _, err := redisstore.Connect(o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", o, err, text)
		}
	}
}

func TestConnectRefusesWithoutShowingThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "localhost:6379", "http://me:secret@h", "redis://me:secret@", "redis://me:secret@a,b", "redis://me:secret@h/zero", "redis://me:secret@h/-1",
		"redis://me:secret%@h", "redis://me:secret@h:99999", "redis://me:secret@h:port", "redis://me:secret@h?db=1", "redis+sentinel://me:secret@h",
		"redis+sentinel://me:secret@h/m?password=secret", "redis+cluster://me:secret@h/1", "redis+cluster://me:secret@a,,b", "redis://me:sec ret\x7f@h",
	} {
		_, err := redisstore.Connect(redisstore.Options{URL: url})
		if !errors.Is(err, dag.ErrInvalid) {
			t.Errorf("%q: %v, want dag.ErrInvalid", url, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec ret") {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
		if !strings.Contains(err.Error(), "redis+cluster://host:7000") {
			t.Errorf("%q: the error does not name the forms: %v", url, err)
		}
	}
}

// TestQuickGivesUp asks a server that accepts and never answers. The negative control is the patient client, which still waits.
func TestQuickGivesUp(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for _, profile := range []redisstore.Profile{redisstore.Quick, redisstore.Patient} {
		client, err := redisstore.Connect(redisstore.Options{URL: "redis://" + listener.Addr().String(), Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		answered := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { answered <- client.Ping(ctx).Err() }()
		select {
		case err := <-answered:
			if profile == redisstore.Patient {
				t.Errorf("the patient client gave up: %v", err)
			}
			if !errors.Is(redisstore.MapError(err), engine.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
		case <-time.After(2500 * time.Millisecond):
			if profile == redisstore.Quick {
				t.Error("the quick client still waits after 2.5 s")
			}
			_ = listener.Close() // what waits in it is refused
			cancel()
			if err := <-answered; err == nil {
				t.Error("an answer from a closed server")
			}
		}
		cancel()
	}
}
