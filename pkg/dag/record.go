package dag

import (
	"encoding/json"
	"time"
)

// NewRun is everything that a store needs to create a run.
type NewRun struct {
	ID          string
	Graph       *Graph
	Input       json.RawMessage
	Key         string // idempotency key, or ""
	Fingerprint string // SHA-256, in hex, of the request's body as it was sent; compared when the key is met again

	Labels        map[string]string
	CorrelationID string
	TraceParent   string

	StartAt time.Time     // zero means now
	Timeout time.Duration // of the run, counted from its start
	// Keep and KeepFailed are how long the run is kept after it ended, the second when it failed; 0 keeps it for ever.
	Keep, KeepFailed time.Duration
}

// Created is the answer to [NewRun].
type Created struct {
	ID       string // of the run that now exists under the idempotency key
	Replayed bool   // the run was there before
	Sends    []Send // root steps to hand over at once
	// At is when this very call created the run, by the store's clock; zero when it found it there.
	At time.Time
}

// Send is a delivery that waits to be handed over to the queue, with all that its task needs.
type Send struct {
	Delivery
	Def         string // digest of the run's graph
	Handler     string
	Queue       string
	TraceParent string
}

// ClaimRef names a claim. Nonce is random and never used twice: that, and not a counter, is what fences a late worker out.
type ClaimRef struct {
	Run, Step string
	Def       string // digest of the run's graph
	Nonce     string
}

// BeginRequest asks to claim a delivered step.
type BeginRequest struct {
	Delivery
	Def    string
	Nonce  string
	Worker string        // ID of the worker process
	TTL    time.Duration // of the claim, until it is renewed
	Alone  bool          // nothing else runs in this process
}

// Verdict is the answer to a begin.
type Verdict string

// The answers to a begin, in the order in which they are tested.
const (
	VerdictNoRun  Verdict = "NORUN"  // there is no such run
	VerdictStale  Verdict = "STALE"  // another epoch, or pending after a roll-back of Redis
	VerdictDone   Verdict = "DONE"   // succeeded, skipped or cancelled
	VerdictFailed Verdict = "FAILED" // failed for good
	VerdictBusy   Verdict = "BUSY"   // claimed by another, or more than 1 s before it is due
	VerdictParked Verdict = "PARKED" // the run is paused or ended
	VerdictAlone  Verdict = "ALONE"  // crashed twice: ask again with Alone when nothing else runs in this process
	VerdictRun    Verdict = "RUN"    // claimed
)

// Begun is the answer to [BeginRequest]: a verdict, and the claim when it is [VerdictRun].
type Begun struct {
	Verdict Verdict
	Wait    time.Duration // with [VerdictBusy]: when to ask again
	Claim   Claim         // with [VerdictRun]
}

// Claim is a step that a worker runs, with everything that its handler needs.
type Claim struct {
	ClaimRef
	Epoch             int
	Worker            string
	Workflow, Version string
	Handler, Queue    string

	Config  json.RawMessage
	Input   json.RawMessage            // of the run
	Outputs map[string]json.RawMessage // of the step's parents; a skipped parent has none

	Timeout       time.Duration
	Retry         Policy
	Attempts      int // this one included
	Failures      int // earlier attempts that failed
	Crashes       int // earlier attempts whose process died
	KeyGeneration int // see [EffectKey]

	Labels        map[string]string
	CorrelationID string
	TraceParent   string
}

// HeartbeatRequest renews a claim.
type HeartbeatRequest struct {
	ClaimRef
	TTL     time.Duration
	Leaving bool // the worker is shutting down: if it goes silent now, that is no crash
}

// Beat is the answer to [HeartbeatRequest].
type Beat struct {
	Lost bool     // another claim holds the step, or none; the handler's work is for nothing
	Run  RunState // of the run, so that cancellation reaches a handler; "" when the run is gone
}

// Reply is what became of a conditional change.
type Reply string

// The answers to conditional changes. Each script has its own subset.
const (
	ReplyOK       Reply = "OK"
	ReplyAlready  Reply = "OK_ALREADY" // this very request was carried out before
	ReplyFenced   Reply = "FENCED"     // the claim is not, or no longer, the caller's; nothing changed
	ReplyTooBig   Reply = "TOOBIG"     // the run would exceed MaxRunBytes; nothing changed
	ReplyRaced    Reply = "RACED"      // the step is not as it was seen; nothing changed
	ReplyAlive    Reply = "ALIVE"      // the claim was renewed meanwhile; nothing changed
	ReplyConflict Reply = "CONFLICT"   // the state does not allow it; nothing changed
	ReplyNoRun    Reply = "NORUN"      // there is no such run
)

// CompleteRequest reports success.
type CompleteRequest struct {
	ClaimRef
	Output json.RawMessage
}

// StepError is why an attempt, and perhaps the step, failed.
type StepError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	// Refused says that a provider's final answer to the effect key was no: an operator's retry needs a new key.
	Refused bool `json:"refused,omitempty"`
	// Stack is kept for a panic.
	Stack string `json:"stack,omitempty"`
}

// FailRequest reports a failed attempt. The step is tried again after Delay unless the error is not retryable or the failures have
// reached the policy's MaxAttempts.
type FailRequest struct {
	ClaimRef
	Error StepError
	Delay time.Duration
}

// Settled is the answer to complete, fail, release and reissue.
type Settled struct {
	Reply Reply
	Step  StepState     // where the step now stands
	Run   RunState      // where its run now stands
	Delay time.Duration // with [StepRetrying]: until it is due
	Sends []Send        // to hand over at once
}

// ReissueRequest gives a step that lost its task or its worker a new epoch, if it still is as it was seen.
type ReissueRequest struct {
	Run, Step string
	Def       string
	State     StepState // as seen
	Epoch     int       // as seen
	Nonce     string    // as seen; "" when no claim
	Crash     bool      // counts as a crash, unless the claim was leaving
	Delay     time.Duration
}

// OperatorRequest is what an operator asks of a run, or of one step of it.
type OperatorRequest struct {
	Run    string
	Step   string          // of retry, skip and resolve; a retry without it means every failed step
	Output json.RawMessage // of resolve
	Nonce  string          // random; the same request again changes nothing
	Actor  string
	Reason string
}

// Operated is the answer to [OperatorRequest].
type Operated struct {
	Reply Reply
	Run   RunState   // where the run stands: after a conflict, the reason for it
	Step  StepState  // after a conflict over a step: where that stands, "" when there is no such step
	Sends []Send     // to hand over at once
	Stale []Delivery // deliveries whose tasks are of no more use
}

// DueLimits bound what one look at a partition returns.
type DueLimits struct {
	Entries int // of the agenda, and as many claims
	Doubts  int
}

// Due is the work that a partition has waiting now.
type Due struct {
	Now    time.Time     // Redis TIME
	Lag    time.Duration // age of the oldest agenda entry that is due, 0 when none is; retention does not count
	Sends  []Send
	Stale  []Delivery // send entries whose step does not wait for them any more: to be dropped as if handed over
	Ends   []string   // runs at their deadline
	Purges []string   // runs at the end of their retention
	Claims []DeadClaim
	Doubts []Doubt
	// Unreadable are entries that this release cannot read or act on; they were put off, so that they do not block the others.
	Unreadable []string
}

// Doubt is a queued or retrying step whose task should be with the queue, and is to be looked for.
type Doubt struct {
	Delivery
	Def      string
	Workflow string    // namespace/name
	State    StepState // queued or retrying
	Queue    string
	Since    time.Time // when it was issued, or, when it is retrying, when it is due
	Seen     time.Time // when its task was first seen active without the step having begun; zero when it was not
}

// Look is what a look at a step's task led to when the step is left as it is.
type Look struct {
	Delivery
	After  time.Duration // until the next look
	Active bool          // the task was active: the first such look is remembered, any other forgets it
}

// BuryRequest fails a step whose task an operator has archived, if it still is as it was seen.
type BuryRequest struct {
	Delivery
	Def   string
	State StepState // as seen: queued or retrying
	Error StepError
}

// StepAt is where a delivery's step stands.
type StepAt struct {
	Delivery
	State StepState // "" when there is no such run
	At    int       // the step's epoch now
}

// AuditPage is what an audit of some runs found.
type AuditPage struct {
	Runs       int
	Mismatches []Mismatch
	Next       string // cursor of the next page, "" after the last
}

// Mismatch is a count or an index that does not agree with the state of its run.
type Mismatch struct {
	Run  string
	What string // for people
}

// SweeperInfo is a process that sweeps, as it asks for its share of the partitions.
type SweeperInfo struct {
	ID   string
	TTL  time.Duration // how long it counts as there without asking again
	Left bool          // it ends
}

// DeadClaim is a claim whose lease ran out.
type DeadClaim struct {
	ClaimRef
	Workflow string // namespace/name
	Epoch    int
	Worker   string
	Crashes  int
	Lease    time.Time // when it ran out
	Leaving  bool
}

// Expired is the answer to an expire.
type Expired struct {
	Reply    Reply
	Workflow string // namespace/name
	Run      RunState
}

// RunView is a run as it stands.
type RunView struct {
	ID                string
	Workflow, Version string // Workflow is namespace/name
	Def               string
	State             RunState
	Input             json.RawMessage
	Key               string
	Labels            map[string]string
	CorrelationID     string
	TraceParent       string
	Progress          Progress
	Steps             []StepView // in topological order

	CreatedAt, StartAt, StartedAt, FinishedAt, Deadline time.Time // zero when there is none
}

// Progress counts settled steps that let a run go on: succeeded and skipped.
type Progress struct {
	Completed, Total int
	Percentage       int // 0 to 100, rounded down
}

// StepView is a StepRun as it stands.
type StepView struct {
	Name           string
	Handler, Queue string
	State          StepState
	Epoch          int
	Attempts       int
	Failures       int
	Crashes        int
	MaxAttempts    int
	KeyGeneration  int
	Error          *StepError
	Output         json.RawMessage
	Worker         string

	QueuedAt, StartedAt, FinishedAt, NextRetryAt time.Time // zero when there is none
}

// LogEntry is one line of a run's history.
type LogEntry struct {
	At      time.Time
	Event   string // for example created, begun, completed, failed, retrying, released, crashed, reissued, retried, expired, run_succeeded, run_failed
	Step    string // "" for the run itself
	Epoch   int
	Attempt int
	Worker  string
	Code    string // of an error
	Message string // of an error, or an operator's reason
	Actor   string // of an operator's action
}

// DeadLetter is a failed step of a run: the system of record for what needs a person.
type DeadLetter struct {
	Run, Step string
	Workflow  string
	Error     StepError
	Attempts  int
	Crashes   int
	Worker    string
	StartedAt time.Time // of the last attempt: with worker, run and step what to look for in the logs; zero when none began
	FailedAt  time.Time

	CorrelationID string // of the run
}

// DeadLetterQuery selects dead letters, latest first. Zero fields select all.
type DeadLetterQuery struct {
	Workflow string // namespace/name
	Step     string
	Code     string    // of the error
	After    time.Time // failed at this time or later
	Before   time.Time // failed earlier than this
	Limit    int       // 1 to 100
	Cursor   string    // of the page before, "" for the first
}

// DeadLetterPage is an answer to [DeadLetterQuery].
type DeadLetterPage struct {
	Letters []DeadLetter
	Next    string // cursor of the next page, "" on the last
}

// Registration is a version of a workflow as it stands in the catalogue.
type Registration struct {
	Workflow     *Workflow
	Digest       string // of the whole definition, profiles and input schema included
	Source       string // text of the definition file, "" when built in Go
	RegisteredAt time.Time
}

// WorkerInfo is a worker process as it announces itself.
type WorkerInfo struct {
	ID       string
	Host     string
	PID      int
	Queues   []string
	Handlers []string
	Running  int // handlers that run now
	TTL      time.Duration
	SeenAt   time.Time // Redis TIME of the last heartbeat
	LeftAt   time.Time // Redis TIME of its sign-off; zero while it works
}

// Alive tells whether the worker was heard of within its TTL before now and has not signed off.
func (w *WorkerInfo) Alive(now time.Time) bool {
	return w.LeftAt.IsZero() && now.Sub(w.SeenAt) <= w.TTL
}

// StoreStats counts what a store holds.
type StoreStats struct {
	Runs        map[RunState]int64
	Running     int64 // steps that a worker holds
	DeadLetters int64
	Lag         time.Duration // age of the oldest agenda entry that is due
}

// Memory is how much a server holds and may hold.
type Memory struct {
	Used int64 // bytes
	Max  int64 // bytes, 0 when unlimited or unknown
}

// StoreInfo describes the server behind a store.
type StoreInfo struct {
	Version     string
	Mode        string // standalone, sentinel, cluster
	UsedMemory  int64  // bytes
	MaxMemory   int64  // bytes, 0 when unlimited
	Persistence string // for example "aof everysec", "none", "unknown" where CONFIG is denied
}
