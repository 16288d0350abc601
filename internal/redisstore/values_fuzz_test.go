package redisstore_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

// The targets of this file read values that Redis may hold: of this release, of another one, or damaged.

// FuzzRunValues reads a run from its hashes, and removes it by what they say.
func FuzzRunValues(f *testing.F) {
	c := newCanned(f)
	run, steps, out, in := c.hashes["run"], c.hashes["steps"], c.hashes["out"], c.texts["in"]
	f.Add(run, steps, out, in, "")
	f.Add(run, "check:attempts = many\ncheck:state = 7", "", "", "")
	f.Add("state = succeeded\ndef = "+storyDigest(f)+"\ncreated_at = 99999999999999999999\nlabels = [1]", steps, out, in, "")
	f.Add("def = none", "", "", "", "")
	f.Add(run, steps, out, in, "steps")
	f.Fuzz(func(t *testing.T, run, steps, out, in, broken string) {
		c.hashes["run"], c.hashes["steps"], c.hashes["out"], c.texts["in"], c.broken = run, steps, out, in, broken
		view, err := c.Run(t.Context(), runRetrying)
		if err == nil && (view.ID != runRetrying || len(view.Steps) != len(storyWorkflow().Steps) || view.Progress.Percentage < 0 || view.Progress.Percentage > 100) {
			t.Errorf("view %+v", view)
		}
		if _, err := c.Graph(t.Context(), runRetrying); err == nil && len(fields(run)) == 0 {
			t.Error("a run without fields has a graph")
		}
		c.answer["purge"] = []any{"OK"}
		if n, err := c.Purge(t.Context(), []string{runRetrying}); n > 1 || n == 0 && err == nil {
			t.Errorf("%d runs removed, %v", n, err)
		}
	})
}

// FuzzLogLines reads the history of a run.
func FuzzLogLines(f *testing.F) {
	c := newCanned(f)
	f.Add(c.texts["log"])
	f.Add(`[1893553445010,"failed","check",1,1,"w1","CARD_BUSY","the card is in use","ada"]`)
	f.Add("null\n[]\n[null]\n{}\n[1,2]\n[1e99]\n" + `[1,"a","b",1,1,"w","c","m","x","more"]`)
	f.Fuzz(func(t *testing.T, lines string) {
		c.texts["log"] = lines
		entries, err := c.Log(t.Context(), runRetrying)
		if err != nil {
			return
		}
		if len(entries) != len(split(lines)) {
			t.Fatalf("%d lines became %d entries", len(split(lines)), len(entries))
		}
		again := make([]string, len(entries))
		for i, e := range entries {
			var ms int64
			if !e.At.IsZero() {
				ms = e.At.UnixMilli()
			}
			raw, err := json.Marshal([]any{ms, e.Event, e.Step, e.Epoch, e.Attempt, e.Worker, e.Code, e.Message, e.Actor})
			if err != nil {
				t.Fatal(err)
			}
			again[i] = string(raw)
		}
		c.texts["log"] = strings.Join(again, "\n")
		if back, err := c.Log(t.Context(), runRetrying); err != nil || !cmp.Equal(entries, back) {
			t.Errorf("round trip from %+v to %+v, %v", entries, back, err)
		}
	})
}

// FuzzAgenda reads entries of agenda, claims and doubts with what they name. Whatever one says, it never costs the others their turn, and it does not come
// again each second for ever: it becomes one piece of work under its own name, or it is dropped, or put off.
func FuzzAgenda(f *testing.F) {
	c := newCanned(f)
	run, steps, def := c.hashes["run"], c.hashes["steps"], c.hashes["def"]
	queued := strings.Replace(steps, "charge:state = retrying", "charge:state = queued", 1)
	running := strings.Replace(steps, "charge:state = retrying", "charge:state = running\ncharge:lease = 1893553465020\ncharge:claim = n3", 1)
	f.Add(uint8(0), "send:"+runRetrying+":charge:1", run, queued, def, "")
	f.Add(uint8(0), "send:"+runRetrying+":charge:+1", run, queued, def, "")
	f.Add(uint8(0), "send:"+runRetrying+":charge:1:2", run, queued, def, "")
	f.Add(uint8(0), "end:"+runRetrying, run, steps, def, "")
	f.Add(uint8(0), "purge:"+runRetrying, run, steps, def, "")
	f.Add(uint8(0), "purge:"+runCrashing, run, steps, def, "")
	f.Add(uint8(1), runRetrying+":charge", run, running, def, "")
	f.Add(uint8(1), runRetrying+":charge", "", "", "", "run")
	f.Add(uint8(2), runRetrying+":charge", run, steps, def, "")
	f.Add(uint8(2), runRetrying+":", run, steps, "step:charge = {\"queue\":7}", "")
	f.Fuzz(func(t *testing.T, set uint8, member, run, steps, def, broken string) {
		c.hashes["run"], c.hashes["steps"], c.hashes["def"], c.broken = run, steps, def, broken
		lists := []any{[]any{}, []any{}, []any{}}
		lists[set%3] = []any{member}
		c.answer["due"] = append([]any{"OK", int64(1893553445020), int64(0)}, lists...)
		delete(c.answer, "later")
		clear(c.called)
		due, err := c.Due(t.Context(), 0x3f, dag.DueLimits{Entries: 9, Doubts: 9})
		if err != nil {
			t.Fatalf("one entry stops a partition: %v", err)
		}
		if got := append(names(&due), c.putAway()...); len(got) != 1 || got[0] != member {
			t.Errorf("entry %q became %q", member, got)
		}
	})
}

// names are the entries that pieces of work stand for.
func names(due *dag.Due) []string {
	var all []string
	for i := range due.Sends {
		all = append(all, sendEntry(due.Sends[i].Delivery))
	}
	for _, d := range due.Stale {
		all = append(all, sendEntry(d))
	}
	for _, run := range due.Ends {
		all = append(all, "end:"+run)
	}
	for _, run := range due.Purges {
		all = append(all, "purge:"+run)
	}
	for i := range due.Claims {
		all = append(all, due.Claims[i].Run+":"+due.Claims[i].Step)
	}
	for i := range due.Doubts {
		all = append(all, due.Doubts[i].Run+":"+due.Doubts[i].Step)
	}
	return all
}

func sendEntry(d dag.Delivery) string {
	return "send:" + d.Run + ":" + d.Step + ":" + strconv.Itoa(d.Epoch)
}

// putAway are the entries that scripts were asked to drop or put off.
func (c *canned) putAway() []string {
	var all []string
	for step := range slices.Chunk(c.called["drop_strays"], 2) {
		all = append(all, strings.Join(step, ":"))
	}
	if put := c.called["later"]; len(put) > 0 {
		all = append(all, put[1:]...) // after the delay
	}
	return all
}

// FuzzCatalogValues reads registrations of workflows and heartbeats of workers.
func FuzzCatalogValues(f *testing.F) {
	c := newCanned(f)
	for _, worker := range fields(c.hashes["workers"]) {
		for _, registration := range fields(c.hashes["wf"]) {
			f.Add(registration, worker)
		}
	}
	f.Add(`{}`, `{}`)
	f.Add(`null`, `null`)
	f.Add(`{"workflow":{"name":"n","namespace":"n","version":"x","steps":null,"color":"red"}}`, `{"seen_at":-1,"ttl":9223372036854775807,"queues":"all"}`)
	f.Fuzz(func(t *testing.T, registration, worker string) {
		if strings.Contains(registration, "\n") {
			t.Skip("a line stands for a value")
		}
		c.texts["wf"] = registration
		versions, err := c.Versions(t.Context(), "shop/order")
		for _, v := range versions {
			if err == nil && v.Workflow == nil {
				t.Errorf("registration %s has no workflow", registration)
			}
		}
		c.answer["workers"] = []any{"OK", time.Now().UnixMilli(), []any{worker}}
		if workers, _, err := c.Workers(t.Context()); err == nil && len(workers) > 1 {
			t.Errorf("one heartbeat became %d workers", len(workers))
		}
	})
}

// FuzzDeadLetters reads pages of dead letters, from cursors that come from callers.
func FuzzDeadLetters(f *testing.F) {
	c := newCanned(f)
	steps, run := strings.ReplaceAll(c.hashes["steps"], "charge:", ""), c.hashes["run"]
	two := "1893553445020 " + runRetrying + ":charge\n1893553445020 " + runFailed + ":check"
	f.Add(two, run, steps, "")
	f.Add(two, run, steps, "MTg5MzU1MzQ0NTAyMCBydW5fM2ZfMDFKOVowSzNWOFE2UzVUNFIzVzJYMVkwWkE6Y2hhcmdl")
	f.Add("nan x\n-1 a:b\n9e99 "+runRetrying+":charge", run, "", "AAAA")
	f.Add("1 "+runRetrying+":charge", "", "charge:error = {", "=")
	f.Fuzz(func(t *testing.T, letters, run, steps, cursor string) {
		c.texts["dlq"], c.hashes["run"], c.hashes["steps"] = letters, run, steps
		page, err := c.DeadLetters(t.Context(), dag.DeadLetterQuery{Limit: 1, Cursor: cursor})
		if errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("an entry that cannot be read is taken for an absence of Redis: %v", err)
		}
		if err != nil {
			return
		}
		if len(page.Letters) > 1 {
			t.Errorf("%d letters on a page of 1", len(page.Letters))
		}
		if page.Next == "" {
			return
		}
		next, err := c.DeadLetters(t.Context(), dag.DeadLetterQuery{Limit: 1, Cursor: page.Next})
		if errors.Is(err, dag.ErrInvalid) && len(page.Letters) > 0 {
			t.Errorf("cursor %s of a page is refused: %v", page.Next, err)
		}
		if err == nil && page.Next == next.Next {
			t.Errorf("the page after cursor %s is the same page", page.Next)
		}
	})
}

// FuzzReplies reads what scripts answer: what a script has found in a hash of another release goes through it unchanged.
func FuzzReplies(f *testing.F) {
	c := newCanned(f)
	names := slices.Sorted(maps.Keys(c.answer))
	for i, name := range names {
		raw, err := json.Marshal(c.answer[name])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), raw)
		f.Add(uint8(i), []byte(`["OK",[[]],{},null,1.5,"x"]`))
	}
	f.Add(uint8(slices.Index(names, "begin")), []byte(`["RUN",0,1,1,0,0,0,"w1","{\"parents\":[\"a\",\"b\"],\"timeout\":-1}",null,"{}",[null],["shop/order","1.0.0","[]"]]`))
	ref := dag.ClaimRef{Run: runRetrying, Step: "charge", Def: storyDigest(f), Nonce: "n"}
	delivery := dag.Delivery{Run: runRetrying, Step: "charge", Epoch: 1}
	graph, err := dag.Compile(storyWorkflow())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		ctx, name := t.Context(), names[int(which)%len(names)]
		var reply any
		if json.Unmarshal(raw, &reply) != nil {
			t.Skip("stands for no reply")
		}
		c.answer[name] = resp(reply)
		var sends []dag.Send
		var err error
		switch name {
		case "create_run":
			var created dag.Created
			created, err = c.CreateRun(ctx, dag.NewRun{ID: runRetrying, Graph: graph})
			sends = created.Sends
		case "begin":
			_, err = c.Begin(ctx, dag.BeginRequest{Delivery: delivery, Def: ref.Def, Nonce: "n"})
		case "heartbeat":
			_, err = c.Heartbeat(ctx, dag.HeartbeatRequest{ClaimRef: ref})
		case "complete":
			sends, err = sendsOf(c.Complete(ctx, dag.CompleteRequest{ClaimRef: ref}))
		case "fail":
			sends, err = sendsOf(c.Fail(ctx, dag.FailRequest{ClaimRef: ref}))
		case "retry":
			var operated dag.Operated
			operated, err = c.Retry(ctx, dag.OperatorRequest{Run: runRetrying})
			sends = operated.Sends
		case "expire":
			_, err = c.Expire(ctx, runRetrying)
		case "workers":
			_, _, err = c.Workers(ctx)
		case "due":
			_, err = c.Stats(ctx)
		case "audit":
			c.texts["idx"] = "1893553445020 " + runRetrying
			_, err = c.Audit(ctx, 0x3f, "", 9)
		case "put_workflow":
			err = c.PutWorkflow(ctx, dag.Registration{Workflow: storyWorkflow()}, false)
		case "put_worker":
			err = c.PutWorker(ctx, dag.WorkerInfo{}, false)
		default:
			t.Fatalf("script %s is called by nothing here", name)
		}
		if err != nil && (errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrUnavailable)) {
			t.Errorf("a reply of %s that is not as it must be becomes %v", name, err)
		}
		if err == nil && len(sends) > len(raw) {
			t.Errorf("%d bytes became %d deliveries", len(raw), len(sends))
		}
	})
}

func sendsOf(s dag.Settled, err error) ([]dag.Send, error) { return s.Sends, err }

// resp is JSON as a client of Redis gets it.
func resp(v any) any {
	switch v := v.(type) {
	case float64:
		return int64(v)
	case bool:
		return nil
	case []any:
		for i := range v {
			v[i] = resp(v[i])
		}
		return v
	case map[string]any:
		return []any{}
	}
	return v
}
