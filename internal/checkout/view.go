package checkout

import (
	"encoding/json"

	"github.com/stepwell/stepwell/pkg/dag"
)

// OrderView is an order as a customer's shop front sees it: the run of [Workflow], in the words of a shop.
type OrderView struct {
	RunID       string       `json:"run_id"`
	Status      string       `json:"status" enum:"processing,completed,failed,cancelled"`
	CurrentStep string       `json:"current_step,omitempty" doc:"What is being done, or waits to be tried again."`
	Progress    ViewProgress `json:"progress"`
	OrderID     string       `json:"order_id,omitempty"`
	OrderNumber string       `json:"order_number,omitempty"`
	TotalAmount Money        `json:"total_amount,omitzero" doc:"Known from the validated cart on."`
	FailedStep  string       `json:"failed_step,omitempty"`
	Error       *ViewError   `json:"error,omitempty"`
	Links       ViewLinks    `json:"links"`
}

// ViewProgress counts steps.
type ViewProgress struct {
	Completed  int `json:"completed"`
	Total      int `json:"total"`
	Percentage int `json:"percentage" doc:"0 to 100, rounded down."`
}

// ViewError is why the failed step failed.
type ViewError struct {
	Message   string `json:"message"`
	Code      string `json:"code"`
	Retryable bool   `json:"retryable"`
}

// ViewLinks lead on.
type ViewLinks struct {
	Run   string `json:"run" doc:"Everything about the run."`
	Retry string `json:"retry,omitempty" doc:"POST here goes on at the failed step; only on failed orders."`
}

func orderPath(id string) string { return "/v1/orders/" + id }

// viewOf tells a run in the words of the shop.
func viewOf(run *dag.RunView) OrderView {
	v := OrderView{
		RunID: run.ID, Status: statusOf(run.State), Links: ViewLinks{Run: "/v1/runs/" + run.ID},
		Progress: ViewProgress{Completed: run.Progress.Completed, Total: run.Progress.Total, Percentage: run.Progress.Percentage},
	}
	if v.Status == "failed" {
		v.Links.Retry = orderPath(run.ID) + "/retry"
	}
	for i := range run.Steps {
		v.tell(&run.Steps[i])
	}
	return v
}

func (v *OrderView) tell(step *dag.StepView) {
	switch step.State {
	case dag.StepQueued, dag.StepRunning, dag.StepRetrying, dag.StepWaiting:
		if v.CurrentStep == "" {
			v.CurrentStep = step.Name
		}
	case dag.StepFailed:
		if v.FailedStep == "" {
			v.FailedStep = step.Name
			v.Error = viewError(step.Error)
		}
	case dag.StepSucceeded:
		v.tellOutput(step)
	case dag.StepPending, dag.StepSkipped, dag.StepCancelled:
	}
}

// tellOutput takes over what a customer wants to know. An output that is not of the usual form (an operator may have given it) tells nothing.
func (v *OrderView) tellOutput(step *dag.StepView) {
	switch step.Name {
	case stepCart:
		var cart Cart
		if json.Unmarshal(step.Output, &cart) == nil {
			v.TotalAmount = cart.Total
		}
	case stepOrder:
		var placed Placed
		if json.Unmarshal(step.Output, &placed) == nil {
			v.OrderID, v.OrderNumber = placed.OrderID, placed.OrderNumber
			if !placed.TotalAmount.IsZero() {
				v.TotalAmount = placed.TotalAmount
			}
		}
	}
}

func viewError(e *dag.StepError) *ViewError {
	if e == nil {
		return nil
	}
	return &ViewError{Message: e.Message, Code: e.Code, Retryable: e.Retryable}
}

func statusOf(state dag.RunState) string {
	switch state {
	case dag.RunSucceeded:
		return "completed"
	case dag.RunFailed, dag.RunCompensated:
		return "failed"
	case dag.RunCancelled:
		return "cancelled"
	case dag.RunScheduled, dag.RunRunning, dag.RunPaused, dag.RunCompensating, dag.RunCancelling:
	}
	return "processing"
}
