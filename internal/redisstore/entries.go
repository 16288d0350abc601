package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// entryKind is why an entry is in its set.
type entryKind int

const (
	entrySend  entryKind = iota // agenda: a delivery to hand over
	entryEnd                    // agenda: a run that reaches its deadline
	entryPurge                  // agenda: a run at the end of its retention
	entryClaim                  // claims: a claim past its lease
	entryDoubt                  // doubts: a step whose task is to be looked for
)

// entry is what is due, with what was read about it.
type entry struct {
	kind   entryKind
	member string
	dag.Delivery

	runCmd, stepCmd, frozenCmd *redis.SliceCmd

	run                  dag.RunState // "" when there is no such run
	def, workflow, trace string
	state                dag.StepState
	epoch                int    // of the step now
	fields               *reply // of the step: the rest
}

// duePage is what one look found: an answer that grows as the entries are looked up.
type duePage struct {
	due        dag.Due
	entries    []entry
	strays     []entry  // of claims and doubts that nobody waits for
	unreadable []string // members to put off
}

func (p *duePage) refuse(member string, why error) {
	p.unreadable = append(p.unreadable, member)
	p.due.Unreadable = append(p.due.Unreadable, fmt.Sprintf("%s: %v", member, why))
}

// add notes a member of one of the sets, or that it cannot be read.
func (p *duePage) add(member string, partition int, parse func(string) (entry, error)) {
	e, err := parse(member)
	if err == nil {
		var at int
		if at, err = dag.RunPartition(e.Run); err == nil && at != partition {
			err = fmt.Errorf("%w: a run of partition %02x", errScript, at)
		}
	}
	switch {
	case err != nil:
		p.refuse(member, err)
	case e.kind == entryPurge:
		p.due.Purges = append(p.due.Purges, e.Run)
	default:
		p.entries = append(p.entries, e)
	}
}

// readDue reads the reply of due: its entries have yet to be looked up.
func readDue(r *reply, partition int) (*duePage, error) {
	p := &duePage{}
	word(r, dag.ReplyOK)
	p.due.Now, p.due.Lag = r.time(), r.duration()
	for _, parse := range []func(string) (entry, error){parseAgenda, parseStepEntry(entryClaim), parseStepEntry(entryDoubt)} {
		members := r.list()
		for len(members.values) > 0 && members.err == nil {
			p.add(members.text(), partition, parse)
		}
		r.err = errors.Join(r.err, members.err)
	}
	return p, r.err
}

// parseAgenda reads a member of the agenda.
func parseAgenda(member string) (entry, error) {
	e := entry{member: member}
	parts := strings.Split(member, ":")
	switch {
	case parts[0] == "end" && len(parts) == 2:
		e.kind, e.Run = entryEnd, parts[1]
	case parts[0] == "purge" && len(parts) == 2:
		e.kind, e.Run = entryPurge, parts[1]
	case parts[0] == "send" && len(parts) == 4:
		epoch, err := strconv.Atoi(parts[3])
		if err != nil {
			return e, fmt.Errorf("its epoch: %w", err)
		}
		e.kind, e.Delivery = entrySend, dag.Delivery{Run: parts[1], Step: parts[2], Epoch: epoch}
		if sendMember(e.Delivery) != member { // it would be dropped under another name, and stay
			return e, fmt.Errorf("%w: an epoch written in another way", errScript)
		}
	default:
		return e, fmt.Errorf("%w: an agenda entry of no known kind", errScript)
	}
	return e, nil
}

// parseStepEntry reads members of claims or doubts.
func parseStepEntry(kind entryKind) func(string) (entry, error) {
	return func(member string) (entry, error) {
		run, step, err := parseMember(member)
		return entry{kind: kind, member: member, Delivery: dag.Delivery{Run: run, Step: step}}, err
	}
}
