package simulation

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stepwell/stepwell/internal/asynqueue"
	"github.com/stepwell/stepwell/internal/engine"
)

const (
	envActions  = "SW_SIM_ACTIONS" // how many in all
	envSeed     = "SW_SIM_SEED"    // of the first episode; later ones count up
	fewActions  = 40_000           // unless the environment asks for more
	allActions  = 1_000_000        // of so many it is demanded that they meet everything
	episodeSize = 1000             // actions of an episode
	lanes       = 4                // episodes side by side
)

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// report is what the first failing episode looks like when it is as short as it gets.
func report(seed int, actions []action, off string) string {
	short := shrink(actions, off)
	w := episode(short, off)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d of %d actions: %v\n", seed, len(short), len(actions), w.broke)
	for _, a := range short {
		fmt.Fprintf(&b, "  {%q, %d, %d},\n", a.Do, a.Pick, a.How)
	}
	for run, lines := range w.store.Dump().Logs {
		fmt.Fprintf(&b, "%s\n  %s\n", run, strings.Join(lines, "\n  "))
	}
	return b.String()
}

// TestEveryRunEndsWhateverHappens plays episodes. A seed that fails is printed with the shortest list of actions that fails as well.
func TestEveryRunEndsWhateverHappens(t *testing.T) {
	t.Parallel()
	total, first := number(t, envActions, fewActions), number(t, envSeed, 1)
	episodes := (total + episodeSize - 1) / episodeSize
	t.Logf("seeds %d to %d, %d actions each", first, first+episodes-1, episodeSize)
	var mu sync.Mutex
	seen, next := map[string]int{}, first
	var group sync.WaitGroup
	for range lanes {
		group.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				stop := seed >= first+episodes || t.Failed()
				mu.Unlock()
				if stop {
					return
				}
				w := episode(drawEpisode(uint64(seed), episodeSize), "")
				if w.broke != nil {
					t.Errorf("%s", report(seed, drawEpisode(uint64(seed), episodeSize), ""))
				}
				mu.Lock()
				for what, n := range w.seen {
					seen[what] += n
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%9d %s", seen[what], what)
	}
	if total >= allActions && !t.Failed() {
		wantCovered(t, seen)
	}
}

// wantCovered demands that everything was met that can happen.
func wantCovered(t *testing.T, seen map[string]int) {
	t.Helper()
	var want []string
	for name := range weights() {
		want = append(want, "action "+name)
	}
	elsewhere := []string{ // what the wrapper meets before or without a call of the engine; its own tests do
		"NO_HANDLER", "REFUSED", "BAD_PAYLOAD", "unexpected",
		// What cannot be: nothing waits in this release, and these states come with another settled nonce, or none.
		"fail OK_ALREADY waiting", "fail OK_ALREADY pending", "fail OK_ALREADY skipped", "fail OK_ALREADY succeeded",
	}
	for _, name := range asynqueue.Answers() {
		if !slices.Contains(elsewhere, name) {
			want = append(want, "verdict "+name)
		}
	}
	for _, r := range engine.Rulings() {
		for _, action := range []engine.Action{r.Then, r.Else} {
			if action != "" {
				want = append(want, fmt.Sprintf("look %s %s %s", r.Step, r.Task, action))
			}
		}
	}
	for _, name := range want {
		if seen[name] == 0 {
			t.Errorf("never met: %s", name)
		}
	}
}

// TestItFindsWhatIsBroken takes protections out: each time an episode must go wrong soon.
func TestItFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for _, off := range []string{offSweeper, offFence, offDoubts} {
		t.Run(off, func(t *testing.T) {
			t.Parallel()
			for seed := range 100 {
				actions := drawEpisode(uint64(seed), episodeSize)
				for i := 0; i < len(actions); i += 20 { // claims are lost more often than by chance alone
					actions[i].Do = "stop"
				}
				if w := episode(actions, off); w.broke != nil {
					t.Logf("seed %d: %v", seed, w.broke)
					return
				}
			}
			t.Errorf("100 episodes without the %s, and nothing went wrong", off)
		})
	}
}
