package faultproxy

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// Call is a command on its way to Redis.
type Call struct {
	Verb   string   // lower case: get, evalsha
	Script string   // complete, asynq.done, … when the command runs one that is known, else ""
	Keys   []string // of a script
	Args   []string // of a script: ARGV; of any other command: all that follows the verb
	Reply  []byte   // as it is on the wire, when Redis has answered; not to be changed
}

// Name is the script's name, or the verb of anything else.
func (c *Call) Name() string {
	if c.Script != "" {
		return c.Script
	}
	return c.Verb
}

// Run is the ID of the run that a script of Stepwell works on.
func (c *Call) Run() string {
	if len(c.Args) == 0 || !strings.HasPrefix(c.Args[0], "run_") {
		return ""
	}
	return c.Args[0]
}

// Match says which calls a rule is for.
type Match func(c *Call) bool

// Script matches calls of a script that name all of the given words, each as an argument or as the end of a key. Script("complete", "charge") is
// the completion of the step charge, Script("asynq.done", "run_…:charge:e1") the acknowledgement of that task.
func Script(name string, words ...string) Match {
	return func(c *Call) bool {
		if c.Script != name {
			return false
		}
		for _, w := range words {
			if !slices.Contains(c.Args, w) && !slices.ContainsFunc(c.Keys, func(k string) bool { return strings.HasSuffix(k, w) }) {
				return false
			}
		}
		return true
	}
}

// TaskOf matches calls of one of asynq's scripts for a task of the step, whatever its run and epoch.
func TaskOf(script, step string) Match {
	return func(c *Call) bool {
		about := func(s string) bool { return strings.Contains(s, ":"+step+":e") }
		return c.Script == script && (slices.ContainsFunc(c.Keys, about) || slices.ContainsFunc(c.Args, about))
	}
}

// parseCall reads a command. names are the known scripts by digest; a text that passes by is added.
func parseCall(words []string, names *scriptNames) *Call {
	if len(words) == 0 {
		return &Call{}
	}
	c := &Call{Verb: strings.ToLower(words[0]), Args: words[1:]}
	switch c.Verb {
	case "script":
		if len(words) == 3 && strings.EqualFold(words[1], "load") {
			names.learn(words[2])
		}
	case "eval", "evalsha":
		if len(words) < 3 {
			return c
		}
		digest := words[1]
		if c.Verb == "eval" {
			digest = names.learn(words[1])
		}
		n, err := strconv.Atoi(words[2])
		if err != nil || n < 0 || 3+n > len(words) {
			return c
		}
		c.Keys, c.Args = words[3:3+n], words[3+n:]
		if c.Script = asynqScript(c.Keys); c.Script == "" {
			c.Script = names.of(digest)
		}
	}
	return c
}

// headerName is the first word of the comment that stands before the line "-- KEYS:" of a script; "" without one.
func headerName(text string) string {
	lines := strings.Split(text, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "-- KEYS:") })
	if at < 0 {
		return ""
	}
	for at > 0 && strings.HasPrefix(lines[at-1], "-- ") {
		at--
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(lines[at], "-- "), " ")
	return name
}

func digestOf(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by it
	return hex.EncodeToString(sum[:])
}

// asynqScript knows a script of asynq by its keys; "" for any other.
func asynqScript(keys []string) string {
	form := make([]string, 0, len(keys))
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, "asynq:")
		if !ok {
			return ""
		}
		if _, inQueue, is := strings.Cut(rest, "}:"); is { // else asynq:servers:{host:pid:server}
			rest = inQueue
		}
		part, _, _ := strings.Cut(rest, ":")
		form = append(form, part)
	}
	forms := []struct{ name, keys string }{
		{"asynq.enqueue", "t pending"},
		{"asynq.schedule", "t scheduled"},
		{"asynq.dequeue", "pending paused active lease"},
		{"asynq.requeue", "active lease pending t"},
		{"asynq.done", "active lease t"},
		{"asynq.retry", "t active lease retry"},
		{"asynq.archive", "t active lease archived"},
		{"asynq.forward", "scheduled pending"},
		{"asynq.forward", "retry pending"},
		{"asynq.list_expired", "lease"},
		{"asynq.janitor", "completed"},
		{"asynq.server_state", "servers workers"},
	}
	for _, f := range forms {
		if strings.HasPrefix(strings.Join(form, " ")+" ", f.keys+" ") {
			return f.name
		}
	}
	return ""
}
