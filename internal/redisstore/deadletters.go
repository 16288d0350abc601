package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stepwell/stepwell/pkg/dag"
)

// A filter is applied while a page is read. These bound the work of one page when it drops most letters: the page is then short, and its cursor goes on.
const (
	maxRounds   = 10
	filterChunk = 200 // letters a round
)

// letterRef is an entry of a dlq, or of a list of runs. Pages of dead letters go by time, the latest first, then by member, the greatest first.
type letterRef struct {
	at     int64 // ms
	member string
}

func (l letterRef) compare(o letterRef) int {
	return cmp.Or(cmp.Compare(o.at, l.at), strings.Compare(o.member, l.member))
}

// DeadLetters implements [engine.Reads]. A page may be shorter than the limit, even empty, and still have a next one.
func (s *Store) DeadLetters(ctx context.Context, q dag.DeadLetterQuery) (dag.DeadLetterPage, error) {
	after, err := parseCursor(q.Cursor)
	if err != nil {
		return dag.DeadLetterPage{}, err
	}
	chunk := q.Limit
	if q.Workflow != "" || q.Step != "" || q.Code != "" {
		chunk = max(chunk, filterChunk)
	}
	var page dag.DeadLetterPage
	for range maxRounds {
		refs, err := s.letterRefs(ctx, &q, after, chunk+1)
		if err != nil {
			return dag.DeadLetterPage{}, fmt.Errorf("list dead letters: %w", err)
		}
		more := len(refs) > chunk
		refs = refs[:min(len(refs), chunk)]
		letters, err := s.letters(ctx, refs)
		if err != nil {
			return dag.DeadLetterPage{}, fmt.Errorf("read dead letters: %w", err)
		}
		for i := range letters {
			after = &refs[i]
			if !selected(&q, &letters[i]) {
				continue
			}
			page.Letters = append(page.Letters, letters[i])
			if len(page.Letters) == q.Limit {
				more = more || i < len(letters)-1
				break
			}
		}
		if !more {
			return page, nil
		}
		if len(page.Letters) == q.Limit {
			break
		}
	}
	page.Next = after.cursor()
	return page, nil
}

// selected tells whether the query is about a letter of its time. One whose run is gone is none.
func selected(q *dag.DeadLetterQuery, l *dag.DeadLetter) bool {
	return l.Workflow != "" && (q.Workflow == "" || q.Workflow == l.Workflow) && (q.Step == "" || q.Step == l.Step) && (q.Code == "" || q.Code == l.Error.Code)
}

// letterRefs merges the dead letters of all partitions: the first limit of them after a position, of the time that the query is about.
func (s *Store) letterRefs(ctx context.Context, q *dag.DeadLetterQuery, after *letterRef, limit int) ([]letterRef, error) {
	from, to := "-inf", "+inf"
	if !q.After.IsZero() {
		from = strconv.FormatInt(q.After.UnixMilli(), 10)
	}
	if !q.Before.IsZero() {
		to = "(" + strconv.FormatInt(q.Before.UnixMilli(), 10)
	}
	var same string
	if after != nil {
		same = strconv.FormatInt(after.at, 10)
		to = "(" + same // a cursor comes from a page of the same query
	}
	var cmds []*redis.ZSliceCmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range dag.Partitions {
			key := s.keys.key("dlq", place{partition: i})
			if after != nil {
				cmds = append(cmds, p.ZRevRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: same, Max: same}))
			}
			cmds = append(cmds, p.ZRevRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: from, Max: to, Count: int64(limit)}))
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, []string{s.keys.key("dlq", place{})})
	}
	var refs []letterRef
	for _, cmd := range cmds {
		for _, z := range cmd.Val() {
			member, _ := z.Member.(string)
			ref := letterRef{at: int64(z.Score), member: member}
			if after == nil || after.compare(ref) < 0 {
				refs = append(refs, ref)
			}
		}
	}
	slices.SortFunc(refs, letterRef.compare)
	return refs[:min(len(refs), limit)], nil
}

// letters reads what the references name, in one round trip. One whose run is gone, or that names none, has no workflow.
func (s *Store) letters(ctx context.Context, refs []letterRef) ([]dag.DeadLetter, error) {
	letters := make([]dag.DeadLetter, len(refs))
	runs, steps := make([]*redis.SliceCmd, len(refs)), make([]*redis.SliceCmd, len(refs))
	var first string
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, ref := range refs {
			run, step, err := parseMember(ref.member)
			at, noRun := placeOf(run, "")
			if err != nil || noRun != nil {
				continue // damaged: it keeps no other from being shown
			}
			letters[i] = dag.DeadLetter{Run: run, Step: step, FailedAt: instant(ref.at)}
			first = s.keys.key("run", at)
			runs[i] = p.HMGet(ctx, first, "workflow", "correlation_id")
			steps[i] = p.HMGet(ctx, s.keys.key("steps", at), step+":error", step+":attempts", step+":crashes", step+":worker", step+":started_at")
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, []string{first})
	}
	for i := range letters {
		if runs[i] == nil {
			continue
		}
		h := hash{values: map[string]string{}}
		for j, name := range []string{"error", "attempts", "crashes", "worker", "started_at"} {
			h.values[name], _ = steps[i].Val()[j].(string)
		}
		l := &letters[i]
		l.Workflow, _ = runs[i].Val()[0].(string)
		l.CorrelationID, _ = runs[i].Val()[1].(string)
		l.Attempts, l.Crashes, l.Worker, l.StartedAt = h.int("attempts"), h.int("crashes"), h.text("worker"), h.time("started_at")
		h.json("error", &l.Error)
		if h.err != nil {
			return nil, fmt.Errorf("step %s of run %s: %w", l.Step, l.Run, h.err)
		}
	}
	return letters, nil
}

func (l letterRef) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(l.at, 10) + " " + l.member))
}

func parseCursor(cursor string) (*letterRef, error) {
	if cursor == "" {
		return nil, nil //nolint:nilnil // no cursor, no position
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	at, member, ok := strings.Cut(string(raw), " ")
	ms, numErr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || numErr != nil {
		return nil, fmt.Errorf("%w cursor; take it from next_cursor of the page before", dag.ErrInvalid)
	}
	return &letterRef{at: ms, member: member}, nil
}
