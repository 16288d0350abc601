//go:build integration

package crashpoint_test

import (
	"bytes"
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
	name  string
	step  string
	ofRun bool // it is about the run, and no round of a loop
}

func (k kind) String() string { return strings.TrimSpace(k.name + " " + k.step) }

// limit is how many occurrences of a kind are points of their own: what concerns the run may matter each time, at first and when it is repeated;
// loops that ask the same again and again are one point each.
func (k kind) limit() int {
	if k.ofRun {
		return 2
	}
	return 1
}

// outside is the kind of a call that a handler makes.
func outside(call string) kind { return kind{name: "outside " + call, ofRun: true} }

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

// Kinds that differ in what they find.
const (
	dequeueTask  = "asynq.dequeue"
	dequeueEmpty = "asynq.dequeue empty"
	forward      = "asynq.forward"
	forwardTask  = "asynq.forward retries" // before it nobody knows that it will find any
)

var (
	runPattern  = regexp.MustCompile(`run_[0-9a-f]{2}_[0-9A-Z]{26}`)
	taskPattern = regexp.MustCompile(runPattern.String() + `:([a-z0-9_-]+):e\d+`)
	tagPattern  = regexp.MustCompile(`:?\{[^}]*\}:?`)
	hexPattern  = regexp.MustCompile(`[0-9a-f]{32}`)
)

// kindOf names a command. Commands that differ in the run, in nonces, times and partitions are of one kind. steps are those of the run.
func kindOf(c *faultproxy.Call, steps []string) kind {
	queues := strings.HasPrefix(c.Script, "asynq.")
	k := kind{name: c.Script, ofRun: slices.ContainsFunc(c.Keys, runPattern.MatchString) || (!queues && slices.ContainsFunc(c.Args, runPattern.MatchString))}
	switch {
	case queues:
		k.step = stepOfTask(c)
	case c.Script != "":
		if c.Run() != "" && len(c.Args) > 1 && c.Script != "handed_over" && slices.Contains(steps, c.Args[1]) {
			k.step = c.Args[1]
		}
	case len(c.Keys) > 0: // a script that nobody knows
		k.name = c.Verb + " " + form(c.Keys[0])
	case len(c.Args) > 0:
		k.name = c.Verb + " " + form(c.Args[0])
	default:
		k.name = c.Verb
	}
	return k
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
