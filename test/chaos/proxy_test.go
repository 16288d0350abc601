//go:build integration

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy stands between one process and Redis.
type proxy struct {
	*toxiproxy.Proxy
	made atomic.Int64 // toxics so far, for names
}

// newProxy starts a proxy to the Redis.
func newProxy(t *testing.T, name, redisURL string) *proxy {
	t.Helper()
	u, err := url.Parse(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &proxy{Proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", u.Host)}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func (p *proxy) url() string { return "redis://" + p.Listen + "/0" }

// poison adds a toxic to what Redis says (downstream) or hears (upstream) and returns what takes it away again.
func (p *proxy) poison(toxic, stream string, attributes map[string]int64) (cure func(ctx context.Context) error, err error) {
	name := toxic + strconv.FormatInt(p.made.Add(1), 10)
	body, err := json.Marshal(map[string]any{"name": name, "type": toxic, "stream": stream, "toxicity": 1, "attributes": attributes})
	if err != nil {
		return nil, err
	}
	if _, err := p.Toxics.AddToxicJson(bytes.NewReader(body)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return p.Toxics.RemoveToxic(ctx, name) }, nil
}
