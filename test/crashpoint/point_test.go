//go:build integration

package crashpoint_test

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stepwell/stepwell/test/faultproxy"
)

// fault is what happens at a point.
type fault int

const (
	killBefore fault = iota // the process is killed before the command reaches Redis, or the call is made
	killAfter               // it is killed when Redis has carried it out, before the answer
	loseReply               // it lives, and gets no answer
	faultCount
)

func (f fault) String() string {
	return [...]string{"killed before", "killed after", "reply lost"}[f]
}

// kind is what a process does at a point: a script or command, or an outside call, and the step that it is about, if it is about one.
type kind struct {
	name string
	step string
}

func (k kind) String() string { return strings.TrimSuffix(k.name+" "+k.step, " ") }

// outside is the kind of a call that a handler makes.
func outside(call string) kind { return kind{name: "outside " + call} }

// isScript tells whether it is a script, ours or asynq's, or an outside call: what every fault must have met.
func (k kind) isScript() bool {
	return !strings.Contains(k.name, " ") || strings.HasPrefix(k.name, "outside ")
}

// writesQueue tells whether it changes something of asynq's beside its scripts.
func (k kind) writesQueue() bool {
	verb, key, _ := strings.Cut(k.name, " ")
	reads := []string{"get", "hget", "hmget", "hgetall", "smembers", "exists", "zrange", "zrangebyscore", "lrange"}
	return strings.HasPrefix(key, "asynq") && !slices.Contains(reads, verb)
}

// point is the nth time that something of a kind happens.
type point struct {
	kind
	nth int
}

func (p point) String() string {
	if p.nth == 1 {
		return p.kind.String()
	}
	return p.kind.String() + " #" + strconv.Itoa(p.nth)
}

// The kinds of dequeue, which differ in what they find.
const (
	dequeueTask  = "asynq.dequeue"
	dequeueEmpty = "asynq.dequeue empty"
)

var (
	runPattern  = regexp.MustCompile(`run_[0-9a-f]{2}_[0-9A-Z]{26}`)
	taskPattern = regexp.MustCompile(runPattern.String() + `:([a-z0-9_-]+):e\d+`)
	tagPattern  = regexp.MustCompile(`:?\{[^}]*\}:?`)
	hexPattern  = regexp.MustCompile(`[0-9a-f]{32}`)
)

// kindOf names a command. Commands that differ in the run, in nonces, times and partitions are of one kind. steps are those of the run.
func kindOf(c *faultproxy.Call, steps []string) kind {
	switch {
	case c.Run() != "" && len(c.Args) > 1 && slices.Contains(steps, c.Args[1]) && c.Script != "handed_over":
		return kind{c.Script, c.Args[1]}
	case c.Script != "":
		return kind{c.Script, stepOfTask(c)}
	case len(c.Keys) > 0:
		return kind{c.Verb + " " + form(c.Keys[0]), ""} // a script that nobody knows
	case len(c.Args) > 0:
		return kind{c.Verb + " " + form(c.Args[0]), ""}
	}
	return kind{c.Verb + " ", ""}
}

// stepOfTask is the step of the task that a script of asynq's works on. Dequeue names none; the occurrence tells its tasks apart.
func stepOfTask(c *faultproxy.Call) string {
	for _, key := range c.Keys {
		if m := taskPattern.FindStringSubmatch(key); m != nil {
			return m[1]
		}
	}
	return ""
}

// form is a key without what differs from run to run.
func form(key string) string {
	key = tagPattern.ReplaceAllStringFunc(key, func(tag string) string {
		if strings.HasPrefix(tag, ":") {
			return ":" // asynq:{queue}:…
		}
		return ""
	})
	key = hexPattern.ReplaceAllString(runPattern.ReplaceAllString(key, "<run>"), "<digest>")
	return strings.TrimSuffix(key, ":")
}

// limit is how many occurrences of a kind are points of their own: what concerns the run may matter each time, at first and when it is repeated;
// loops that ask the same again and again are one point each.
func limit(c *faultproxy.Call) int {
	about := func(w string) bool { return runPattern.MatchString(w) }
	if slices.ContainsFunc(c.Keys, about) || slices.ContainsFunc(c.Args, about) {
		return 2
	}
	return 1
}

// found tells whether a dequeue got a task.
func found(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("$")) && !bytes.HasPrefix(reply, []byte("$-1"))
}

// number reads an integer reply; anything else is 0.
func number(reply []byte) int {
	text, is := strings.CutPrefix(strings.TrimSpace(string(reply[:min(len(reply), 24)])), ":")
	n, err := strconv.Atoi(text)
	if !is || err != nil {
		return 0
	}
	return n
}

func byKind(a, b kind) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.step, b.step)) }
