package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// Audit implements [engine.Repairs]. Each run is judged as it stands at one moment. A page goes by the list of all runs, in three round trips; the
// first page also compares how many runs the lists have, because a run that is not in the first list is met nowhere else.
func (s *Store) Audit(ctx context.Context, partition int, cursor string, limit int) (dag.AuditPage, error) {
	page, err := s.audit(ctx, place{partition: partition}, cursor, limit)
	if err != nil {
		return dag.AuditPage{}, fmt.Errorf("audit partition %02x: %w", partition, err)
	}
	return page, nil
}

func (s *Store) audit(ctx context.Context, at place, cursor string, limit int) (page dag.AuditPage, err error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return page, err
	}
	if after == nil {
		if page.Mismatches, err = s.countLists(ctx, at); err != nil {
			return page, err
		}
	}
	refs, err := s.listed(ctx, at, after, limit)
	if err != nil || len(refs) == 0 {
		return page, err
	}
	page.Runs = len(refs)
	if len(refs) == limit {
		page.Next = refs[limit-1].cursor()
	}
	runs, calls, err := s.auditCalls(ctx, at, refs)
	if err != nil {
		return page, err
	}
	replies, errs := s.runEach(ctx, calls)
	for i, run := range runs {
		if isAnswer(errs[i]) {
			page.Mismatches = append(page.Mismatches, dag.Mismatch{Run: run, What: errs[i].Error()})
			continue
		}
		if errs[i] != nil {
			return page, errs[i]
		}
		word(replies[i], dag.ReplyOK)
		texts := replies[i].list()
		for len(texts.values) > 0 && texts.err == nil {
			page.Mismatches = append(page.Mismatches, dag.Mismatch{Run: run, What: texts.text()})
		}
		if texts.err != nil {
			return page, texts.err
		}
	}
	return page, nil
}

// runEach is runAll with an error for each call: when one of them fails, they are made one by one, to see which.
func (s *Store) runEach(ctx context.Context, calls []call) ([]*reply, []error) {
	errs := make([]error, len(calls))
	replies, err := s.runAll(ctx, calls)
	if err == nil {
		return replies, errs
	}
	replies = make([]*reply, len(calls))
	for i := range calls {
		if replies[i], errs[i] = s.run(ctx, calls[i]); errs[i] != nil && !isAnswer(errs[i]) {
			break // away: the caller stops there
		}
	}
	return replies, errs
}

// countLists compares how many runs the lists of a partition have, at one moment.
func (s *Store) countLists(ctx context.Context, at place) ([]dag.Mismatch, error) {
	var all *redis.IntCmd
	var states []*redis.IntCmd
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		all = p.ZCard(ctx, s.keys.key("idx_all", at))
		for _, state := range runStates() {
			states = append(states, p.ZCard(ctx, s.keys.key("idx_"+string(state), at)))
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, []string{s.keys.key("idx_all", at)})
	}
	var sum int64
	for _, n := range states {
		sum += n.Val()
	}
	if sum == all.Val() {
		return nil, nil
	}
	return []dag.Mismatch{{What: fmt.Sprintf("partition %02x lists %d runs, and %d by state", at.partition, all.Val(), sum)}}, nil
}

// listed returns the first runs of a partition after a position, by creation.
func (s *Store) listed(ctx context.Context, at place, after *letterRef, limit int) ([]letterRef, error) {
	key := s.keys.key("idx_all", at)
	later := &redis.ZRangeBy{Min: "-inf", Max: "+inf", Count: int64(limit)}
	var cmds []*redis.ZSliceCmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		if after != nil {
			same := strconv.FormatInt(after.at, 10)
			cmds = append(cmds, p.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: same, Max: same}))
			later.Min = "(" + same
		}
		cmds = append(cmds, p.ZRangeByScoreWithScores(ctx, key, later))
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, []string{key})
	}
	var refs []letterRef
	for _, cmd := range cmds {
		for _, z := range cmd.Val() {
			member, _ := z.Member.(string)
			if ref := (letterRef{at: int64(z.Score), member: member}); after == nil || after.compare(ref) > 0 {
				refs = append(refs, ref)
			}
		}
	}
	return refs[:min(len(refs), limit)], nil
}

// auditCalls makes the calls for runs that are listed. Where a run's own key cannot be read the call will tell why.
func (s *Store) auditCalls(ctx context.Context, at place, refs []letterRef) (runs []string, calls []call, err error) {
	cmds := make([]*redis.SliceCmd, len(refs))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands tell
		for i, ref := range refs {
			at.run = ref.member
			cmds[i] = p.HMGet(ctx, s.keys.key("run", at), "def", "workflow")
		}
		return nil
	})
	for i, ref := range refs {
		at.run, at.def, at.workflow = ref.member, "", ""
		values, err := cmds[i].Result()
		if err = mapError(err); err != nil && !isAnswer(err) {
			return nil, nil, err
		}
		if err == nil {
			r := newReply("run", values)
			at.def, at.workflow = r.text(), r.text()
		}
		runs, calls = append(runs, at.run), append(calls, s.call("audit", at, nil, at.run))
	}
	return runs, calls, nil
}
