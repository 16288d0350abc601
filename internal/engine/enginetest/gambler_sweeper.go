package enginetest

import (
	"context"
	"maps"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// playSweeper does what a sweeper does.
func (g *gambler) playSweeper(c command) played {
	switch c.Do {
	case "due":
		return g.playDue(c)
	case "hand over", "later":
		return g.playHandOver(c)
	case "bury":
		return g.playBury(c)
	case "look again":
		return g.playLookAgain(c)
	case "purge":
		return g.playPurge(c)
	case "share":
		g.share([]string{"s1", "s2", "s3"}[c.Pick%3], c.How%4 == 0)
		return true
	case "steps at":
		return g.playStepsAt(c)
	case "look":
		return g.playLook(c)
	default:
		return false
	}
}

// partition is one of those in which the runs of a sequence are.
func (g *gambler) partition(n int) int {
	run, ok := pick(g.runs(), n)
	if !ok {
		return 5
	}
	p, err := dag.RunPartition(run)
	g.want("partition", err, nil)
	return p
}

func (g *gambler) playDue(c command) played {
	if c.How%4 == 0 {
		g.waiting()
		return true
	}
	g.dueWithin(g.partition(c.Pick), dag.DueLimits{Entries: 1 + c.How%10, Doubts: c.How / 10 % 5})
	return true
}

func (g *gambler) playHandOver(c command) played {
	p, ok := g.at(c.Pick, dag.StepQueued)
	if !ok {
		return false
	}
	d := g.delivery(p.step)
	if c.Do == "later" {
		g.later(d, time.Duration(c.How%5000)*time.Millisecond)
		return true
	}
	old := d
	old.Epoch--
	g.handedOver(old, d)
	return true
}

// until moves the clock to a time of an entry, if that is ahead.
func (g *gambler) until(entry int64) {
	if at := time.UnixMilli(entry); at.After(g.now) {
		g.advance(at.Sub(g.now))
	}
}

// playBury buries a step as it is, or as it no longer is.
func (g *gambler) playBury(c command) played {
	p, ok := g.at(c.Pick, dag.StepQueued, dag.StepRetrying)
	if !ok {
		return false
	}
	req := g.archived(p.step)
	switch c.How % 8 {
	case 1:
		req.Epoch++
	case 2:
		req.State = dag.StepRunning
	}
	g.bury(req)
	return true
}

// playLookAgain puts off the doubts of a run as a sweeper does, which most of the time looks because they are due.
func (g *gambler) playLookAgain(c command) played {
	p, ok := g.at(c.Pick, dag.StepQueued, dag.StepRetrying, dag.StepRunning)
	if !ok {
		return false
	}
	if doubt, ok := g.state.Doubts[p.run+":"+p.step]; ok && c.How%3 > 0 {
		g.until(doubt)
		g.due(g.partition(0), 10)
	} else if g.step(p.step).step() == dag.StepQueued && c.How%3 == 0 {
		g.handedOver(g.delivery(p.step))
	}
	look := g.look(p.step, clockSteps()[c.How%8], c.How%2 == 0)
	other := look
	other.Epoch--
	if c.How%5 == 0 {
		g.lookAgain(other)
	} else {
		g.lookAgain(other, look)
	}
	return true
}

// playPurge purges a run that has ended, mostly when its retention is over, or one that has not.
func (g *gambler) playPurge(c command) played {
	run, ok := pick(g.runs(), c.Pick)
	if !ok {
		return false
	}
	if at, ok := g.state.Agenda["purge:"+run]; ok && c.How%3 > 0 {
		g.until(at)
		g.due(g.partition(c.Pick), 10)
	}
	g.purge(run, dag.NewRunID(5, "00000000000000000000000ZZZ"))
	return true
}

func (g *gambler) playStepsAt(c command) played {
	p, ok := g.at(c.Pick, dag.AllStepStates()...)
	if ok {
		g.stepsAt(g.delivery(p.step), dag.Delivery{Run: dag.NewRunID(5, "00000000000000000000000ZZZ"), Step: "a", Epoch: 1})
	}
	return played(ok)
}

// playLook compares what subjects show of a run and of the whole.
func (g *gambler) playLook(c command) played {
	run, ok := pick(g.runs(), c.Pick)
	if !ok {
		return false
	}
	g.run = run
	g.quiet = true
	g.view()
	g.log()
	_, _ = read(g.rig, "graph", func(ctx context.Context, s Subject) (*dag.Graph, error) { return s.Graph(ctx, run) })
	_, _ = read(g.rig, "stats", func(ctx context.Context, s Subject) (dag.StoreStats, error) {
		stats, err := s.Stats(ctx)
		maps.DeleteFunc(stats.Runs, func(_ dag.RunState, n int64) bool { return n == 0 })
		return stats, err
	})
	_, _ = read(g.rig, "dead letters", func(ctx context.Context, s Subject) ([]dag.DeadLetter, error) {
		q := dag.DeadLetterQuery{Limit: 1 + c.How%5}
		switch c.How / 5 % 4 {
		case 1:
			q.Step = "a"
		case 2:
			q.Code = "C0"
		case 3:
			q.Before = g.now
		}
		return allLetters(ctx, s, q)
	})
	g.quiet = false
	g.audit(g.partition(c.Pick), 1+c.How%5)
	return true
}

// allLetters reads page after page.
func allLetters(ctx context.Context, s Subject, q dag.DeadLetterQuery) ([]dag.DeadLetter, error) {
	var all []dag.DeadLetter
	for {
		page, err := s.DeadLetters(ctx, q)
		all = append(all, page.Letters...)
		if err != nil || page.Next == "" {
			return all, err
		}
		q.Cursor = page.Next
	}
}
