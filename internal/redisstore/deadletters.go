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

// maxRounds bounds the work of one page when a filter drops most letters: the page is then short, and its cursor goes on.
const maxRounds = 20

// letterRef is an entry of a dlq. Pages go by time, the latest first, then by member, the greatest first.
type letterRef struct {
	at     int64 // ms
	member string
}

func (l letterRef) compare(o letterRef) int {
	return cmp.Or(cmp.Compare(o.at, l.at), strings.Compare(o.member, l.member))
}

// DeadLetters implements [engine.Reads]. A page may be shorter than the limit and still have a next one.
func (s *Store) DeadLetters(ctx context.Context, q dag.DeadLetterQuery) (dag.DeadLetterPage, error) {
	after, err := parseCursor(q.Cursor)
	if err != nil {
		return dag.DeadLetterPage{}, err
	}
	var page dag.DeadLetterPage
	for range maxRounds {
		refs, err := s.letterRefs(ctx, after, q.Limit+1)
		if err != nil {
			return dag.DeadLetterPage{}, fmt.Errorf("list dead letters: %w", err)
		}
		more := len(refs) > q.Limit
		refs = refs[:min(len(refs), q.Limit)]
		letters, err := s.letters(ctx, refs)
		if err != nil {
			return dag.DeadLetterPage{}, fmt.Errorf("read dead letters: %w", err)
		}
		for i, l := range letters {
			after = &refs[i]
			if l.Workflow == "" || (q.Workflow != "" && l.Workflow != q.Workflow) {
				continue
			}
			page.Letters = append(page.Letters, l)
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

// letterRefs merges the dead letters of all partitions: the first limit of them after a position.
func (s *Store) letterRefs(ctx context.Context, after *letterRef, limit int) ([]letterRef, error) {
	var cmds []*redis.ZSliceCmd
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range dag.Partitions {
			key := s.keys.key("dlq", place{partition: i})
			earlier := &redis.ZRangeBy{Min: "-inf", Max: "+inf", Count: int64(limit)}
			if after != nil {
				same := strconv.FormatInt(after.at, 10)
				cmds = append(cmds, p.ZRevRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: same, Max: same}))
				earlier.Max = "(" + same
			}
			cmds = append(cmds, p.ZRevRangeByScoreWithScores(ctx, key, earlier))
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

// letters reads what the references name, in one round trip. One whose run is gone has no workflow.
func (s *Store) letters(ctx context.Context, refs []letterRef) ([]dag.DeadLetter, error) {
	letters := make([]dag.DeadLetter, len(refs))
	runs, steps := make([]*redis.SliceCmd, len(refs)), make([]*redis.SliceCmd, len(refs))
	var first string
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, ref := range refs {
			run, step, err := parseMember(ref.member)
			if err != nil {
				return err
			}
			at, err := placeOf(run, "")
			if err != nil {
				return err
			}
			letters[i] = dag.DeadLetter{Run: run, Step: step, FailedAt: instant(ref.at)}
			first = s.keys.key("run", at)
			runs[i] = p.HMGet(ctx, first, "workflow") // unlike HGET no error, which would hide others, when there is none
			steps[i] = p.HMGet(ctx, s.keys.key("steps", at), step+":error", step+":attempts", step+":crashes", step+":worker")
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, []string{first})
	}
	for i := range letters {
		h := hash{values: map[string]string{}}
		for j, name := range []string{"error", "attempts", "crashes", "worker"} {
			h.values[name], _ = steps[i].Val()[j].(string)
		}
		l := &letters[i]
		l.Workflow, _ = runs[i].Val()[0].(string)
		l.Attempts, l.Crashes, l.Worker = h.int("attempts"), h.int("crashes"), h.text("worker")
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
