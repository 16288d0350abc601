//go:build integration

package soak_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/test/soak"
)

const (
	sampleEvery = 2 * time.Second
	retention   = time.Minute // the shortest that the configuration takes
	// warmUp is what passes before the first runs of the load are removed, and as many are as are started.
	warmUp = retention + 15*time.Second
)

// What is read of each process, with its bounds.
func processMeasures() []soak.Series {
	return []soak.Series{
		{Name: "go_goroutines", Growth: 0.15, Slack: 25},
		{Name: "process_resident_memory_bytes", Unit: "B", Growth: 0.15, Slack: 12 << 20},
		{Name: "go_memstats_heap_alloc_bytes", Unit: "B", Growth: 0.2, Slack: 6 << 20},
	}
}

// The series of Redis.
const (
	seriesClients  = "redis connections"
	seriesMemory   = "redis memory"
	seriesKeys     = "redis keys"
	seriesRuns     = "runs kept"
	seriesArchived = "archived tasks"
)

func redisMeasures() []soak.Series {
	return []soak.Series{
		{Name: seriesClients, Growth: 0.15, Slack: 40}, // pools grow when many calls meet, and keep that for half an hour; a leak of one in forty runs is more
		{Name: seriesMemory, Unit: "B", Growth: 0.15, Slack: 4 << 20},
		{Name: seriesKeys, Growth: 0.1, Slack: 500}, // without archived tasks
		{Name: seriesRuns, Growth: 0.1, Slack: 100},
		{Name: seriesArchived},
	}
}

// sampler gathers the series.
type sampler struct {
	stage *stage
	names []string // of the processes
	urls  []string
	all   []soak.Series // of each process in turn, then of Redis
	stray []string      // what could not be read
}

func newSampler(s *stage) *sampler {
	m := &sampler{stage: s, names: []string{"api"}, urls: []string{s.APIURL}}
	for _, w := range s.Workers() {
		m.names, m.urls = append(m.names, w.Name), append(m.urls, w.URL)
	}
	for _, name := range m.names {
		for _, measure := range processMeasures() {
			short := strings.NewReplacer("go_memstats_", "", "process_", "", "go_", "", "_bytes", "", "_", " ").Replace(measure.Name)
			measure.Name = name + " " + short
			m.all = append(m.all, measure)
		}
	}
	m.all = append(m.all, redisMeasures()...)
	return m
}

// run samples until ctx ends.
func (m *sampler) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		values, err := m.look(ctx)
		if err != nil {
			if ctx.Err() == nil {
				m.stray = append(m.stray, err.Error())
			}
			continue
		}
		for i, v := range values {
			m.all[i].Values = append(m.all[i].Values, v)
		}
	}
}

// look reads every series once.
func (m *sampler) look(ctx context.Context) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var values []float64
	for i, url := range m.urls {
		got, err := m.stage.metrics(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", m.names[i], err)
		}
		for _, measure := range processMeasures() {
			values = append(values, got[measure.Name])
		}
	}
	keys, err := m.stage.redis.DBSize(ctx).Result()
	if err != nil {
		return nil, err
	}
	archived, err := m.stage.archived(ctx)
	if err != nil {
		return nil, err
	}
	clients, memory := redistest.Info(ctx, m.stage.redis, "clients"), redistest.Info(ctx, m.stage.redis, "memory")
	var runs int64
	for _, n := range m.stage.stats(ctx) {
		runs += n
	}
	return append(values, number(clients["connected_clients"]), number(memory["used_memory"]), float64(keys-archived), float64(runs), float64(archived)), nil
}

// archived counts asynq's dead tasks, which have a key each.
func (s *stage) archived(ctx context.Context) (int64, error) {
	return s.redis.ZCard(ctx, "asynq:{"+queue+"}:archived").Result()
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64) // 0 where there is none
	return n
}

// metrics reads the metrics of a process. Those with labels are summed up.
func (s *stage) metrics(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); strings.Contains(name, "{") && i > 0 {
			name, value = name[:strings.IndexByte(name, '{')], lines.Text()[i+1:]
		}
		got[name] += number(value)
	}
	return got, lines.Err()
}

// total sums a counter up over processes.
func (s *stage) total(t *testing.T, name string, urls ...string) (sum float64) {
	t.Helper()
	for _, url := range urls {
		got, err := s.metrics(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		sum += got[name]
	}
	return sum
}

// judge fails the test for what rises.
func (m *sampler) judge(t *testing.T) {
	t.Helper()
	warm := int(warmUp / sampleEvery)
	for i := range m.all {
		if s := &m.all[i]; s.Judged() {
			if err := s.Rise(warm); err != nil {
				t.Error(err)
			}
		}
	}
	if len(m.stray) > 3 {
		t.Errorf("%d samples could not be taken: %s", len(m.stray), slices.Compact(m.stray))
	}
}
