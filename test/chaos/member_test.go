//go:build integration

package chaos_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stepwell/stepwell/internal/demo"
)

// restartPause is what a supervisor waits before it starts a process again.
const restartPause = 250 * time.Millisecond

// member is a place in the fleet: an API or a worker that is started again whenever it ends.
type member struct {
	name    string
	url     string
	proxy   *proxy
	command demo.Command

	mu     sync.Mutex
	proc   *demo.Process // nil while there is none
	frozen bool          // stopped by SIGSTOP: nobody else may touch it
	killed bool          // by us; what is there is dead or dying
	died   []int         // IDs of all processes that ended or were stopped
	alone  []string      // last words of processes that ended by themselves
	broken error         // it could not be started
}

// supervise keeps a process running until ctx ends, then ends it in good order.
func (m *member) supervise(ctx context.Context) error {
	for {
		p, err := demo.StartProcess(m.name, m.command)
		m.mu.Lock()
		m.proc, m.killed, m.broken = p, false, err
		m.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-p.Done():
			m.buried(p)
		case <-ctx.Done():
			return p.Stop()
		}
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *member) buried(p *demo.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc = nil
	m.died = append(m.died, p.PID)
	if !m.killed {
		words := strings.TrimSpace(p.Tail())
		m.alone = append(m.alone, m.name+": "+words[strings.LastIndexByte(words, '\n')+1:])
	}
}

var errNobody = errors.New("no process there at the moment")

// kill ends the process that is there now, as kill -9 does.
func (m *member) kill() error {
	m.mu.Lock()
	p := m.proc
	if p == nil || m.frozen || m.killed {
		m.mu.Unlock()
		return errNobody
	}
	m.killed = true
	m.mu.Unlock()
	return p.Kill()
}

// freeze stops the process for a while.
func (m *member) freeze(d time.Duration) error {
	m.mu.Lock()
	p := m.proc
	if p == nil || m.frozen || m.killed {
		m.mu.Unlock()
		return errNobody
	}
	m.frozen = true
	m.died = append(m.died, p.PID)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.frozen = false
		m.mu.Unlock()
	}()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	<-time.After(d) // also when the test is over: a stopped process could not be ended in good order
	if err := p.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	select {
	case <-p.Done():
		return errNobody // it was about to end by itself
	default:
		return nil
	}
}

// obituary tells the processes that died here, what those said that ended by themselves, and why there is none.
func (m *member) obituary() (died []int, alone []string, broken error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.died, m.alone, m.broken
}
