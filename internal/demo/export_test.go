package demo

import "io"

// ReportEnds prints the end of a performance in which each order's problem is as given, "" for none.
func ReportEnds(out io.Writer, problems []string, checks []Check) bool {
	orders := make([]order, len(problems))
	for i, p := range problems {
		orders[i] = order{scenario: &scenario{name: "scenario"}, problem: p}
	}
	return report(out, orders, checks)
}

// Differs says how a run differs from what the named scenario wants.
func Differs(name string, r Run, dead map[string]string) string {
	for _, s := range scenarios() {
		if s.name == name {
			return s.differs(&r, dead)
		}
	}
	return "no such scenario"
}
