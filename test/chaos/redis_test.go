//go:build integration

package chaos_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stepwell/stepwell/internal/localredis"
)

const (
	sizeEvery = 10 * time.Millisecond
	sizeKept  = 1200 * time.Millisecond
	restarts  = 10 // tries
)

// mortal is a Redis that is killed and started again. A kill -9 of a process leaves to the kernel what it has written; so that everysec loses what a
// lost machine would lose, the end of its file is cut off as well, back to where it was up to a second before.
type mortal struct {
	*localredis.Server
	dir   string
	loses bool // appendfsync everysec

	one   sync.Mutex // one death at a time
	mu    sync.Mutex
	sizes []fileSize // of the append-only file that is being written, oldest first
	kills []time.Time
	cut   int64 // bytes that were lost in all
}

type fileSize struct {
	at   time.Time
	path string
	size int64
}

// watch notes the size of the file until ctx ends.
func (m *mortal) watch(ctx context.Context) error {
	if !m.loses {
		return nil
	}
	ticker := time.NewTicker(sizeEvery)
	defer ticker.Stop()
	for {
		if err := m.note(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (m *mortal) note() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(m.dir, "appendonlydir", "*.incr.aof"))
	if err != nil {
		return err
	}
	now := time.Now()
	newest := fileSize{at: now}
	var changed time.Time
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			continue // a rewrite has removed it
		}
		if !info.ModTime().Before(changed) {
			changed, newest.path, newest.size = info.ModTime(), path, info.Size()
		}
	}
	m.sizes = append(m.sizes, newest)
	for len(m.sizes) > 1 && now.Sub(m.sizes[0].at) > sizeKept {
		m.sizes = m.sizes[1:]
	}
	return nil
}

// die kills Redis, takes away what was written since some time before, and starts it again after a pause.
func (m *mortal) die(ctx context.Context, loss, pause time.Duration) error {
	m.one.Lock()
	defer m.one.Unlock()
	m.mu.Lock()
	at := time.Now()
	err := m.Kill()
	m.kills = append(m.kills, time.Now())
	if err == nil && m.loses {
		err = m.forget(at.Add(-loss))
	}
	m.sizes = nil
	m.mu.Unlock()
	if err != nil {
		return err
	}
	<-time.After(pause)
	return m.restart(ctx)
}

// restart starts Redis again. It may take longer to read its file, on a busy machine, than one start is given.
func (m *mortal) restart(ctx context.Context) error {
	var err error
	for range restarts {
		if err = m.Restart(ctx); err == nil {
			return nil
		}
	}
	return err
}

// forget cuts the file to the size that it had then, or as early as its size is known.
func (m *mortal) forget(then time.Time) error {
	if len(m.sizes) == 0 {
		return nil
	}
	last := m.sizes[len(m.sizes)-1]
	for _, s := range m.sizes {
		if s.path != last.path || s.at.Before(then) {
			continue
		}
		info, err := os.Stat(s.path)
		if err != nil {
			return fmt.Errorf("append-only file: %w", err)
		}
		m.cut += info.Size() - s.size
		return os.Truncate(s.path, s.size)
	}
	return nil
}

func (m *mortal) deaths() (kills []time.Time, cut int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kills, m.cut
}
