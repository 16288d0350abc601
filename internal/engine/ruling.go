package engine

import (
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Action is what the sweeper does about a step in doubt.
type Action string

// The actions. All but leave and adopt are compare-and-set on the step as it was seen.
const (
	ActionLeave   Action = "leave"   // all is well, or nothing can be said: look again later
	ActionReissue Action = "reissue" // its task will not come: a new epoch, with a new task
	ActionBury    Action = "bury"    // a person put its task away: the step fails and becomes a dead letter
	ActionAdopt   Action = "adopt"   // make its queue known again, then look again later
)

// TaskUnanswered is the state of a task of which the queue could not be asked.
const TaskUnanswered TaskState = "unanswered"

// Condition is what a [Ruling] may depend on besides the two states.
type Condition string

// The conditions.
const (
	Always      Condition = ""
	WhenOverdue Condition = "overdue" // the queue should have delivered the task more than a minute ago
	WhenStuck   Condition = "stuck"   // the task was active at a look three minutes ago or earlier, and the step has not begun since
	WhenVerdict Condition = "verdict" // the task was archived because its step failed, which a roll-back of Redis has undone
)

const (
	overdueAfter = time.Minute     // a busy queue forwards in time; asynq looks each second, and floors times to seconds
	stuckAfter   = 3 * time.Minute // asynq itself gives a task back 60 to 120 s after its worker died
)

// Ruling is a row of the table that says what a step in doubt and the state of its task mean together.
type Ruling struct {
	Step dag.StepState // queued or retrying
	Task TaskState
	When Condition
	Then Action
	Else Action // of a condition that does not hold; "" when there is none
}

// Rulings is the whole table. A combination that it lacks is left alone.
func Rulings() []Ruling {
	const queued, retrying = dag.StepQueued, dag.StepRetrying
	return []Ruling{
		{queued, TaskPending, Always, ActionLeave, ""},
		{queued, TaskScheduled, WhenOverdue, ActionReissue, ActionLeave},
		{queued, TaskRetry, WhenOverdue, ActionReissue, ActionLeave},
		{queued, TaskActive, WhenStuck, ActionReissue, ActionLeave},
		{queued, TaskArchived, WhenVerdict, ActionReissue, ActionBury},
		{queued, TaskCompleted, Always, ActionReissue, ""},
		{queued, TaskNone, Always, ActionReissue, ""},
		{queued, TaskZombie, Always, ActionReissue, ""},
		{queued, TaskNoQueue, Always, ActionAdopt, ""},
		{queued, TaskUnanswered, Always, ActionLeave, ""},

		{retrying, TaskPending, Always, ActionLeave, ""},
		{retrying, TaskScheduled, WhenOverdue, ActionReissue, ActionLeave},
		{retrying, TaskRetry, WhenOverdue, ActionReissue, ActionLeave},
		{retrying, TaskActive, WhenStuck, ActionReissue, ActionLeave},
		{retrying, TaskArchived, WhenVerdict, ActionReissue, ActionBury},
		{retrying, TaskCompleted, Always, ActionReissue, ""},
		{retrying, TaskNone, Always, ActionReissue, ""},
		{retrying, TaskZombie, Always, ActionReissue, ""},
		{retrying, TaskNoQueue, Always, ActionAdopt, ""},
		{retrying, TaskUnanswered, Always, ActionLeave, ""},
	}
}

// judge applies the table to a step and its task at an instant.
func judge(rulings []Ruling, d *dag.Doubt, task TaskInfo, now time.Time) Action {
	for _, r := range rulings {
		if r.Step != d.State || r.Task != task.State {
			continue
		}
		if r.When.holds(d, task, now) {
			return r.Then
		}
		return r.Else
	}
	return ActionLeave
}

func (c Condition) holds(d *dag.Doubt, task TaskInfo, now time.Time) bool {
	switch c {
	case WhenOverdue:
		return now.Sub(task.Next) > overdueAfter
	case WhenStuck:
		return !d.Seen.IsZero() && now.Sub(d.Seen) >= stuckAfter
	case WhenVerdict:
		return task.Verdict
	case Always:
	}
	return true
}
