package redisstore_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
	"github.com/stepwell/stepwell/pkg/dag"
)

// canned is a Redis that holds, and whose scripts answer, whatever a fuzz target says. It begins as a real one, on which runs are played, so that the
// target has real values to begin with.
type canned struct {
	*redisstore.Store
	scripts map[string]string // digest → name

	hashes map[string]string // kind of key → lines "field = value"
	texts  map[string]string // kind of key → a string, or the lines of a list or set; of a sorted set in partition 3f "score member"
	broken string            // kind of key that is of another type
	answer map[string]any    // script → reply; OK when it has none
	called map[string][]string

	playing bool // commands go to the server
}

// newCanned plays the story of two runs and keeps what the server then holds and what its scripts answered.
func newCanned(f *testing.F) *canned {
	f.Helper()
	c := &canned{hashes: map[string]string{}, texts: map[string]string{}, answer: map[string]any{}, called: map[string][]string{}, playing: true}
	var err error
	if c.scripts, err = redisstore.ScriptDigests(); err != nil {
		f.Fatal(err)
	}
	client, err := redisstore.Connect(redisstore.Options{URL: "redis://" + redistest.Mini(f).Addr()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Close() })
	client.AddHook(c)
	if c.Store, err = redisstore.Open(f.Context(), client, redisstore.Config{}); err != nil {
		f.Fatal(err)
	}
	if err := c.play(f.Context()); err != nil {
		f.Fatal(err)
	}
	for kind, key := range map[string]string{
		"run": "{sw:3f}:run:" + runRetrying, "steps": "{sw:3f}:steps:" + runRetrying, "out": "{sw:3f}:out:" + runRetrying,
		"def": "{sw:3f}:def:" + storyDigest(f), "workers": "{sw}:workers", "wf": "{sw}:wf:shop/order",
	} {
		var lines strings.Builder
		for field, value := range client.HGetAll(f.Context(), key).Val() {
			lines.WriteString(field + " = " + value + "\n")
		}
		if lines.Len() == 0 {
			f.Fatalf("key %s is empty", key)
		}
		c.hashes[kind] = lines.String()
	}
	c.texts["in"] = client.Get(f.Context(), "{sw:3f}:in:"+runRetrying).Val()
	c.texts["log"] = strings.Join(client.LRange(f.Context(), "{sw:3f}:log:"+runRetrying, 0, -1).Val(), "\n")
	c.playing = false
	return c
}

func storyDigest(f *testing.F) string {
	f.Helper()
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		f.Fatal(err)
	}
	return graph.Digest
}

// play has a run with a step that is retried, and one that fails.
func (c *canned) play(ctx context.Context) error {
	wf := storyWorkflow()
	graph, err := dag.Compile(wf)
	if err != nil {
		return err
	}
	digest, err := wf.Digest()
	if err != nil {
		return err
	}
	if err := c.PutWorkflow(ctx, dag.Registration{Workflow: wf, Digest: digest, Source: "namespace: shop"}, false); err != nil {
		return err
	}
	if err := c.PutWorker(ctx, dag.WorkerInfo{ID: "w1", Host: "h1", PID: 7, Queues: []string{"shop"}, Handlers: []string{"shop.check"}, TTL: time.Minute}, false); err != nil {
		return err
	}
	for _, id := range []string{runRetrying, runFailed} {
		_, err := c.CreateRun(ctx, dag.NewRun{
			ID: id, Graph: graph, Input: json.RawMessage(`{"total":12.50}`), Timeout: time.Hour, Key: id[:6] + id[30:], Fingerprint: "f1",
			Labels: map[string]string{"channel": "web"}, CorrelationID: "c1", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		})
		if err != nil {
			return err
		}
	}
	if _, err := c.Complete(ctx, dag.CompleteRequest{ClaimRef: c.claim(ctx, runRetrying, "check"), Output: json.RawMessage(`{"ok":true}`)}); err != nil {
		return err
	}
	busy := dag.StepError{Code: "CARD_BUSY", Message: "the card is in use", Retryable: true}
	if _, err := c.Fail(ctx, dag.FailRequest{ClaimRef: c.claim(ctx, runRetrying, "charge"), Error: busy, Delay: time.Second}); err != nil {
		return err
	}
	ref := c.claim(ctx, runFailed, "check")
	if _, err := c.Heartbeat(ctx, dag.HeartbeatRequest{ClaimRef: ref, TTL: time.Minute}); err != nil {
		return err
	}
	if _, err := c.Fail(ctx, dag.FailRequest{ClaimRef: ref, Error: dag.StepError{Code: "BROKEN"}}); err != nil {
		return err
	}
	if _, err := c.Retry(ctx, dag.OperatorRequest{Run: runFailed, Nonce: "o1", Actor: "ada"}); err != nil {
		return err
	}
	for _, read := range []func() error{
		func() error { _, err := c.Expire(ctx, runRetrying); return err },
		func() error { _, _, err := c.Workers(ctx); return err },
		func() error { _, err := c.Due(ctx, 0x3f, dag.DueLimits{Entries: 9, Doubts: 9}); return err },
		func() error { _, err := c.Audit(ctx, 0x3f, "", 9); return err },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func (c *canned) claim(ctx context.Context, run, step string) dag.ClaimRef {
	ref := dag.ClaimRef{Run: run, Step: step, Nonce: "n-" + step}
	view, err := c.Run(ctx, run)
	if err == nil {
		ref.Def = view.Def
		_, err = c.Begin(ctx, dag.BeginRequest{Delivery: dag.Delivery{Run: run, Step: step, Epoch: 1}, Def: ref.Def, Nonce: ref.Nonce, Worker: "w1", TTL: time.Minute})
	}
	if err != nil {
		ref.Run = err.Error() // no call takes that for a run
	}
	return ref
}

// kindOf is the kind of a key, what follows its tag.
func kindOf(key string) string {
	_, name, _ := strings.Cut(key, "}:")
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// fields reads lines "field = value".
func fields(lines string) map[string]string {
	values := map[string]string{}
	for line := range strings.SplitSeq(lines, "\n") {
		if field, value, ok := strings.Cut(line, " = "); ok {
			values[field] = value
		}
	}
	return values
}

func split(lines string) []string {
	if lines == "" {
		return nil
	}
	return strings.Split(lines, "\n")
}

// DialHook implements [redis.Hook].
func (c *canned) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (c *canned) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !c.playing {
			return c.tell(cmd)
		}
		err := next(ctx, cmd)
		c.note(cmd)
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (c *canned) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (err error) {
		if c.playing {
			err = next(ctx, cmds)
			for _, cmd := range cmds {
				c.note(cmd)
			}
			return err
		}
		for _, cmd := range cmds {
			if e := c.tell(cmd); err == nil {
				err = e
			}
		}
		return err
	}
}

// note keeps what a script of the real server answered.
func (c *canned) note(cmd redis.Cmder) {
	if script, ok := cmd.(*redis.Cmd); ok && script.Err() == nil && len(cmd.Args()) > 1 {
		digest, _ := cmd.Args()[1].(string)
		if name := c.scripts[digest]; name != "" {
			c.answer[name] = script.Val()
		}
	}
}

// wrongTypeError is what Redis says of a key of another type.
type wrongTypeError struct{}

func (wrongTypeError) Error() string {
	return "WRONGTYPE Operation against a key holding the wrong kind of value"
}
func (wrongTypeError) RedisError() {}

// tell answers a command.
func (c *canned) tell(cmd redis.Cmder) error {
	if len(cmd.Args()) == 1 { // the begin and the end of a transaction
		return nil
	}
	key, _ := cmd.Args()[1].(string)
	kind := kindOf(key)
	if kind != "" && kind == c.broken {
		cmd.SetErr(wrongTypeError{})
		return wrongTypeError{}
	}
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		cmd.SetVal(c.evaluate(cmd.Args()))
	case *redis.MapStringStringCmd:
		cmd.SetVal(fields(c.hashes[kind]))
	case *redis.SliceCmd:
		cmd.SetVal(pick(fields(c.hashes[kind]), cmd.Args()[2:]))
	case *redis.StringCmd:
		return c.tellText(cmd, kind)
	case *redis.StringSliceCmd:
		cmd.SetVal(split(c.texts[kind]))
	case *redis.ZSliceCmd:
		if strings.HasPrefix(key, "{sw:3f}") {
			cmd.SetVal(scored(split(c.texts[kind])))
		}
	}
	return nil
}

func (c *canned) tellText(cmd *redis.StringCmd, kind string) error {
	text, ok := c.texts[kind]
	if len(cmd.Args()) > 2 {
		text, ok = fields(c.hashes[kind])[cmd.Args()[2].(string)]
	}
	if !ok {
		cmd.SetErr(redis.Nil)
		return redis.Nil
	}
	cmd.SetVal(text)
	return nil
}

// evaluate is the reply of a script, whose arguments are kept.
func (c *canned) evaluate(args []any) any {
	name := c.scripts[args[1].(string)]
	n, _ := args[2].(int)
	for _, a := range args[3+n:] {
		text, isText := a.(string)
		if !isText {
			text = "" // a number, which names nothing
		}
		c.called[name] = append(c.called[name], text)
	}
	if reply, ok := c.answer[name]; ok {
		return reply
	}
	return []any{"OK"}
}

func pick(values map[string]string, names []any) []any {
	picked := make([]any, len(names))
	for i, name := range names {
		if v, ok := values[name.(string)]; ok {
			picked[i] = v
		}
	}
	return picked
}

func scored(lines []string) []redis.Z {
	var all []redis.Z
	for _, line := range lines {
		score, member, _ := strings.Cut(line, " ")
		at, _ := strconv.ParseFloat(score, 64) // 0 where there is none
		all = append(all, redis.Z{Score: at, Member: member})
	}
	return all
}
