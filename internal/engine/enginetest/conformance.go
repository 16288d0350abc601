package enginetest

import (
	"testing"
)

// scenario is a story with the answers that every store must give.
type scenario struct {
	name string
	play func(s *script)
}

// Conformance plays every scenario against a store of its own. Each call of a scenario is made twice, and after each the whole state
// is tested by [Check].
func Conformance(t *testing.T, open Open) {
	t.Helper()
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			sc.run(t, open)
		})
	}
}

func (sc scenario) run(t TB, open Open) {
	t.Helper()
	sc.play(&script{rig: newRig(t, map[string]Open{"store": open})})
}

func scenarios() []scenario {
	var all []scenario
	all = append(all, startScenarios()...)
	all = append(all, beginScenarios()...)
	all = append(all, settleScenarios()...)
	all = append(all, agendaScenarios()...)
	all = append(all, reissueScenarios()...)
	all = append(all, retryScenarios()...)
	all = append(all, settledScenarios()...)
	all = append(all, holdScenarios()...)
	all = append(all, repairScenarios()...)
	all = append(all, retentionScenarios()...)
	return append(all, readScenarios()...)
}
