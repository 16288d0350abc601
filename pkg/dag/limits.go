package dag

import "time"

// Limits of a definition and of a run. Beyond them a caller gets an error that wraps [ErrInvalid] and names the
// limit. They bound what one atomic script may touch, so that no run can stall the Redis that all runs share.
const (
	MaxSteps          = 2048      // steps a workflow
	MaxEdges          = 4096      // dependencies a workflow
	MaxInputBytes     = 256 << 10 // JSON bytes of a run's input
	MaxOutputBytes    = 256 << 10 // JSON bytes of one step's output
	MaxRunBytes       = 4 << 20   // JSON bytes of a run's input and outputs together
	MaxProfiles       = 64        // profiles a workflow
	MaxNameBytes      = 63        // bytes of a namespace, workflow, step or profile name
	MaxVersionBytes   = 64        // bytes of a workflow's version
	MaxHandlerBytes   = 128       // bytes of a handler name
	MaxKeyBytes       = 255       // printable ASCII characters of an idempotency key
	MaxLabels         = 16        // labels a run
	MaxLabelNameBytes = 64        // bytes of a label's name
	MaxLabelBytes     = 256       // bytes of a label's value
	MaxJSONDepth      = 64        // nesting of any JSON that comes from outside
	MaxSourceBytes    = 256 << 10 // bytes of a definition file
	MaxLogEntries     = 1000      // entries kept of a run's log
	MaxErrorBytes     = 2 << 10   // bytes kept of an error's message
	MaxAttempts       = 1000      // bound of a retry policy's max_attempts
	MaxCrashes        = 3         // crashes of one step that make it poison; an operator's retry counts anew
	MaxReasonBytes    = 1 << 10   // bytes of an operator's reason
)

// Bounds and defaults of a step's and a run's time.
const (
	MinStepTimeout     = time.Second
	MaxStepTimeout     = 12 * time.Hour // asynq's own timeout of 24 h must stay out of the way
	DefaultStepTimeout = 30 * time.Second
	MinRunTimeout      = time.Second
	MaxRunTimeout      = 366 * 24 * time.Hour
	DefaultRunTimeout  = 24 * time.Hour
	MaxRetryDelay      = MaxRunTimeout // bound of a retry policy's max_delay
)

// How long a run is kept after its end.
const (
	DefaultKeep       = 7 * 24 * time.Hour  // one that succeeded or was cancelled
	DefaultKeepFailed = 30 * 24 * time.Hour // one that failed
	Forever           = time.Duration(-1)   // instead of a time: never removed
	ForeverWord       = "forever"           // how definitions spell it
	MinKeep           = time.Minute
	MaxKeep           = 10 * 366 * 24 * time.Hour // what books must be kept for in most countries; beyond it say Forever
)

// The retry policy of a step that names none.
const (
	DefaultMaxAttempts = 3
	DefaultBaseDelay   = time.Second
	DefaultMaxDelay    = 5 * time.Minute
	DefaultJitter      = 0.1
)

// Codes of errors that the engine itself gives to a step; handlers bring their own.
const (
	CodePoison           = "POISON"            // the step's process died MaxCrashes times
	CodeArchived         = "ARCHIVED"          // a person archived the step's task in the queue's dashboard
	CodeDeadlineExceeded = "DEADLINE_EXCEEDED" // the run's deadline passed while the step was active
	CodeTimeout          = "TIMEOUT"           // the handler did not return within the step's timeout
	CodePanic            = "PANIC"             // the handler panicked
	CodeOutputTooLarge   = "OUTPUT_TOO_LARGE"  // the output or the run's outputs together are over their limit
	CodeInvalidOutput    = "INVALID_OUTPUT"    // the handler's result cannot be written as JSON
	CodeError            = "ERROR"             // the handler returned an error without a code
)
