package demo_test

import (
	"strings"
	"testing"

	"github.com/stepwell/stepwell/internal/demo"
)

func TestReportTellsWhetherEverythingIsAsItShouldBe(t *testing.T) {
	t.Parallel()
	good, bad := demo.Check{What: "w", Detail: "d", OK: true}, demo.Check{What: "w", Detail: "d"}
	for name, c := range map[string]struct {
		problems []string
		checks   []demo.Check
		want     bool
	}{
		"all well":                 {[]string{"", ""}, []demo.Check{good, good}, true},
		"a check fails":            {[]string{"", ""}, []demo.Check{good, bad}, false},
		"an order ended otherwise": {[]string{"", "is running, should be failed"}, []demo.Check{good, good}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if got := demo.ReportEnds(&out, c.problems, c.checks); got != c.want {
				t.Errorf("balanced %t, want %t; printed\n%s", got, c.want, out.String())
			}
			if strings.Contains(out.String(), "✗") == c.want {
				t.Errorf("balanced %t, but printed\n%s", c.want, out.String())
			}
		})
	}
}

func TestScenarioNoticesAnotherEnd(t *testing.T) {
	t.Parallel()
	step := func(name, state string, attempts int, code string) demo.StepRun {
		s := demo.StepRun{Name: name, State: state, Attempts: attempts, Queue: "ecommerce"}
		if code != "" {
			s.Error = &demo.StepError{Code: code}
		}
		return s
	}
	declined := step("process_payment", "failed", 1, "PAYMENT_DECLINED")
	for name, c := range map[string]struct {
		scenario string
		run      demo.Run
		dead     map[string]string
		says     string // "" when all is as wanted
	}{
		"as wanted":      {"declined", demo.Run{ID: "r", State: "failed", Steps: []demo.StepRun{declined}}, map[string]string{"r": "process_payment"}, ""},
		"other state":    {"declined", demo.Run{ID: "r", State: "succeeded"}, nil, "should be failed"},
		"no dead letter": {"declined", demo.Run{ID: "r", State: "failed", Steps: []demo.StepRun{declined}}, nil, "dead letters"},
		"other code":     {"declined", demo.Run{ID: "r", State: "failed", Steps: []demo.StepRun{step("process_payment", "failed", 1, "OTHER")}}, nil, "PAYMENT_DECLINED"},
		"other attempts": {"success", demo.Run{State: "succeeded", Steps: []demo.StepRun{step("process_payment", "succeeded", 2, "")}}, nil, "2 attempts"},
		"other queue":    {"express, premium", demo.Run{State: "succeeded", Steps: []demo.StepRun{step("process_payment", "succeeded", 1, "")}}, nil, "ecommerce-critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := demo.Differs(c.scenario, c.run, c.dead)
			if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("differs: %q, want %q in it", got, c.says)
			}
		})
	}
}
