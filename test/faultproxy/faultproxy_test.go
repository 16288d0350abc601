//go:build integration

package faultproxy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/test/faultproxy"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// setup returns a proxy, a client behind it that tries everything once, and one beside it.
func setup(t *testing.T) (p *faultproxy.Proxy, behind, beside *redis.Client) {
	t.Helper()
	p, err := faultproxy.Start(t.Context(), redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, connect(t, p.URL()), connect(t, redistest.URL(t))
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const bumpText = "-- some piece\nlocal x = 1\n\n-- bump adds to a counter.\n-- It has a second line.\n-- KEYS: counter\n-- ARGV: by step\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])"

// bump calls a script with the header that ours have. Each test has a text of its own: what the server knows already no proxy gets to see.
func bump(ctx context.Context, c *redis.Client, key, step string) error {
	return redis.NewScript(bumpText+"\n-- "+key).Run(ctx, c, []string{key}, 1, step).Err()
}

func value(t *testing.T, c *redis.Client, key string) string {
	t.Helper()
	v, err := c.Get(t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return v
}

func TestPassesEverythingThrough(t *testing.T) {
	t.Parallel()
	_, behind, beside := setup(t)
	key := redistest.Prefix(t)
	big := strings.Repeat("x\r\n", 1<<19)
	if err := behind.Set(t.Context(), key, big, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, beside, key); got != big {
		t.Errorf("%d bytes arrived, want %d", len(got), len(big))
	}
	cmds, err := behind.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for range 2000 {
			p.Incr(t.Context(), key+"n")
			p.HGetAll(t.Context(), key+"none")
			p.ZRangeWithScores(t.Context(), key+"none", 0, -1)
		}
		return nil
	})
	if err != nil || len(cmds) != 6000 {
		t.Fatalf("%d replies, %v", len(cmds), err)
	}
	if got := value(t, beside, key+"n"); got != "2000" {
		t.Errorf("counter is %s, want 2000", got)
	}
}

func TestPassesSubscriptionsThrough(t *testing.T) {
	t.Parallel()
	_, behind, beside := setup(t)
	channel := redistest.Prefix(t)
	sub := behind.Subscribe(t.Context(), channel)
	t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := beside.Publish(t.Context(), channel, "hello").Err(); err != nil {
		t.Fatal(err)
	}
	msg, err := sub.ReceiveMessage(t.Context())
	if err != nil || msg.Payload != "hello" {
		t.Errorf("got %v, %v", msg, err)
	}
}

func TestKnowsScriptsByName(t *testing.T) {
	t.Parallel()
	p, behind, _ := setup(t)
	key := redistest.Prefix(t)
	for range 3 {
		if err := bump(t.Context(), behind, key, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Counts()["bump"]; got != 3 {
		t.Errorf("%d calls of bump counted, want 3 (all: %v)", got, p.Counts())
	}
}

func TestLosesTheReplyOfWhatHappened(t *testing.T) {
	t.Parallel()
	p, behind, beside := setup(t)
	key := redistest.Prefix(t)
	hit := p.On(faultproxy.Rule{Match: faultproxy.Script("bump", "b"), Nth: 2, Action: faultproxy.LoseReply})
	for i, want := range []struct {
		step string
		lost bool
	}{{"a", false}, {"b", false}, {"a", false}, {"b", true}, {"b", false}} {
		if err := bump(t.Context(), behind, key, want.step); (err != nil) != want.lost {
			t.Fatalf("call %d of step %s: %v, lost should be %t", i, want.step, err, want.lost)
		}
	}
	<-hit.Done()
	if got := value(t, beside, key); got != "5" {
		t.Errorf("counter is %s, want 5: the call whose reply was lost has happened", got)
	}
	if calls := hit.Calls(); len(calls) != 1 || calls[0].Args[1] != "b" || calls[0].Keys[0] != key {
		t.Errorf("the rule met %+v", calls)
	}
}

func TestCutsBeforeItHappens(t *testing.T) {
	t.Parallel()
	p, behind, beside := setup(t)
	key := redistest.Prefix(t)
	p.On(faultproxy.Rule{Match: faultproxy.Script("bump"), Nth: 2, Times: -1, Action: faultproxy.CutBefore})
	for i := range 4 {
		if err := bump(t.Context(), behind, key, "a"); (err != nil) != (i > 0) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := value(t, beside, key); got != "1" {
		t.Errorf("counter is %s, want 1: the other calls must not have reached Redis", got)
	}
}

func TestShowsReplies(t *testing.T) {
	t.Parallel()
	p, behind, _ := setup(t)
	key := redistest.Prefix(t)
	replies := make(chan string, 2)
	p.On(faultproxy.Rule{Times: -1, Action: faultproxy.Hold, Match: func(c *faultproxy.Call) bool {
		if c.Script == "bump" {
			replies <- string(c.Reply)
		}
		return false
	}})
	for range 2 {
		if err := bump(t.Context(), behind, key, "a"); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{":1\r\n", ":2\r\n"} {
		if got := <-replies; got != want {
			t.Errorf("reply %q, want %q", got, want)
		}
	}
}

func TestHoldsTheReplyBack(t *testing.T) {
	t.Parallel()
	p, behind, beside := setup(t)
	key := redistest.Prefix(t)
	seen := make(chan string, 1)
	p.On(faultproxy.Rule{Match: faultproxy.Script("bump"), Action: faultproxy.Hold, Hook: func(*faultproxy.Call) { seen <- beside.Get(context.WithoutCancel(t.Context()), key).Val() }})
	if err := bump(t.Context(), behind, key, "a"); err != nil {
		t.Fatal(err)
	}
	select {
	case v := <-seen:
		if v != "1" {
			t.Errorf("when the hook ran the counter was %q, want 1", v)
		}
	default:
		t.Error("the reply came before the hook had run")
	}
}

func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	p, behind, _ := setup(t)
	if err := behind.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.Away(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := behind.Ping(t.Context()).Err(); err == nil {
			t.Fatal("answered while away")
		}
	}
	if err := p.Back(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := behind.Ping(t.Context()).Err(); err != nil {
		t.Error("after its return: ", err)
	}
}
