//go:build integration

package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/test/chaos"
)

const (
	readers   = 8               // requests at once
	readLimit = 2 * time.Minute // for one thing to be read, of a fleet at rest
)

// settle reads every accepted run until it has ended, or the limit is over.
func (f *fleet) settle(t *testing.T, orders []chaos.Order, limit time.Duration) (runs map[string]chaos.Run, took time.Duration) {
	t.Helper()
	begun, runs := time.Now(), map[string]chaos.Run{}
	open := make([]string, len(orders))
	for i := range orders {
		open[i] = orders[i].Run
	}
	for {
		open = f.look(t, open, runs)
		if len(open) == 0 || time.Since(begun) > limit {
			return runs, time.Since(begun)
		}
		<-time.After(500 * time.Millisecond)
	}
}

// look reads runs once and returns those that have not ended.
func (f *fleet) look(t *testing.T, ids []string, into map[string]chaos.Run) (open []string) {
	t.Helper()
	var mu sync.Mutex
	each(t, ids, func(ctx context.Context, id string) error {
		run, known, err := f.client.run(ctx, id)
		if err != nil || !known {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		into[id] = run
		if !run.State.Ended() {
			open = append(open, id)
		}
		return nil
	})
	return open
}

// each does something for every ID, several at once.
func each(t *testing.T, ids []string, do func(ctx context.Context, id string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readLimit)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(readers)
	for _, id := range ids {
		g.Go(func() error { return do(ctx, id) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// evidence collects all that there is to know.
func (f *fleet) evidence(t *testing.T, orders []chaos.Order, runs map[string]chaos.Run) *chaos.Evidence {
	t.Helper()
	e := &chaos.Evidence{
		Parents: map[string][]string{processPayment: {validateCart}, reserve: {processPayment}, createOrder: {reserve}, confirm: {createOrder}},
		Makers:  []string{processPayment, reserve, createOrder, confirm},
		Orders:  orders, Runs: runs,
	}
	var err error
	if e.Died, _, err = f.died(); err != nil {
		t.Error(err)
	}
	e.Kills, _ = f.redis.deaths()
	if f.redis.loses {
		e.MayLose = mayLose
	}
	var mu sync.Mutex
	each(t, slices.Collect(maps.Keys(runs)), func(ctx context.Context, id string) error {
		log, err := f.client.log(ctx, id)
		mu.Lock()
		defer mu.Unlock()
		run := runs[id]
		run.Log = log
		runs[id] = run
		return err
	})
	if e.Letters, err = f.client.letters(t.Context()); err != nil {
		t.Error(err)
	}
	books, err := demo.ReadBooks(t.Context(), f.db, f.ledger, f.mail.Mails(), f.before, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Effects = effects(&books)
	return e
}

// effects tells what is in the books.
func effects(b *demo.Books) []chaos.Effect {
	var all []chaos.Effect
	for i := range b.Gateway.Charges {
		c := &b.Gateway.Charges[i]
		all = append(all, chaos.Effect{Run: c.Run, Step: processPayment, ID: c.ID, At: c.CreatedAt})
	}
	for i := range b.Reservations {
		r := &b.Reservations[i]
		all = append(all, chaos.Effect{Run: r.Run, Step: reserve, Item: strconv.FormatInt(r.ProductID, 10), ID: r.ID, At: r.CreatedAt})
	}
	for i := range b.Orders {
		o := &b.Orders[i]
		all = append(all, chaos.Effect{Run: o.Run, Step: createOrder, ID: o.ID, At: o.CreatedAt})
	}
	for _, m := range b.Mails {
		run, _, _ := strings.Cut(strings.TrimPrefix(m.ID, "<"), ".")
		all = append(all, chaos.Effect{Run: run, Step: confirm, ID: m.ID})
	}
	return all
}

// processOf is the process in a worker's ID, host-pid-random; 0 when it names none.
func processOf(worker string) int {
	parts := strings.Split(worker, "-")
	if len(parts) < 3 {
		return 0
	}
	pid, err := strconv.Atoi(parts[len(parts)-2])
	if err != nil {
		return 0
	}
	return pid
}

// bookProblems are what the books say against each other. Money and orders need not agree when a run may be lost or poisoned between the two; the
// stock always has to.
func bookProblems(t *testing.T, f *fleet, all bool) []string {
	t.Helper()
	books, err := demo.ReadBooks(t.Context(), f.db, f.ledger, f.mail.Mails(), f.before, nil)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, c := range books.Checks() {
		if !c.OK && (all || strings.HasPrefix(c.What, "stock")) {
			problems = append(problems, c.What+": "+c.Detail)
		}
	}
	return problems
}

// complaint matches what no process may ever log.
var complaint = regexp.MustCompile(`(?m)^.*(panic:|DATA RACE|"level":"ERROR").*$`)

// complaints finds lines of the processes' logs that should not be there.
func (f *fleet) complaints(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range complaint.FindAll(raw, 3) {
			found = append(found, fmt.Sprintf("%s: %.400s", filepath.Base(file), line))
		}
	}
	return found
}
