package faultproxy

import (
	"slices"
	"sync"
)

// Action is what happens to a call.
type Action int

// The actions. See the package comment.
const (
	CutBefore Action = iota + 1
	LoseReply
	Hold
)

// Rule does something to calls that match.
type Rule struct {
	// Match is asked once for each call that no rule before this one was applied to: before Redis sees it for CutBefore, when Redis has answered
	// it for any other action. It may count calls; those of different connections come at the same time.
	Match Match
	// Nth is the first of the matching calls that is meant, from 1; 0 means 1.
	Nth int
	// Times is how many of them are meant from there on; 0 means 1, less means all.
	Times  int
	Action Action
	// Hook runs at the moment of the fault, before the connection is cut or the reply delivered. It holds up that connection only. Nil does nothing.
	Hook func(c *Call)
}

// Hit tells about a rule that was set.
type Hit struct {
	rule Rule

	mu    sync.Mutex
	seen  int
	calls []*Call
	once  sync.Once
	done  chan struct{}
}

// Done is closed when the rule has done its work for the first time, its Hook included.
func (h *Hit) Done() <-chan struct{} { return h.done }

// Calls are those that the rule was applied to so far.
func (h *Hit) Calls() []*Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// meets counts a call that matches and tells whether it is one of those that are meant.
func (h *Hit) meets(c *Call) bool {
	if !h.rule.Match(c) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	first, times := max(h.rule.Nth, 1), h.rule.Times
	if times == 0 {
		times = 1
	}
	return h.seen >= first && (times < 0 || h.seen < first+times)
}

// fire runs the hook.
func (h *Hit) fire(c *Call) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
	if h.rule.Hook != nil {
		h.rule.Hook(c)
	}
	h.once.Do(func() { close(h.done) })
}

// scriptNames are the names of scripts by digest.
type scriptNames struct {
	mu sync.Mutex
	by map[string]string
}

// learn notes the name that is in a script's header and returns its digest.
func (s *scriptNames) learn(text string) string {
	digest := digestOf(text)
	if name := headerName(text); name != "" {
		s.mu.Lock()
		s.by[digest] = name
		s.mu.Unlock()
	}
	return digest
}

func (s *scriptNames) of(digest string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[digest]
}
