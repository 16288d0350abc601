package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 20 * time.Second       // for a process until it is ready
	stopLimit  = 40 * time.Second       // from SIGTERM until SIGKILL; longer than a worker's grace
	pollEvery  = 50 * time.Millisecond  // while something is awaited
	logTail    = 4 << 10                // bytes of a process's log that an error shows
	probeLimit = 500 * time.Millisecond // for one look at a probe
)

// Process is a child of ours: this very binary again, as API, worker or gateway.
type Process struct {
	Name string
	PID  int

	cmd  *exec.Cmd
	log  string        // file that it logs to
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// Command says how to start a process.
type Command struct {
	Binary string
	Args   []string
	Env    []string // KEY=value, besides the environment without STEPWELL_…
	Dir    string   // working directory; "" is ours
	LogDir string
}

// StartProcess starts a process that logs to a file of its name.
func StartProcess(name string, c Command) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(c.LogDir, strings.ReplaceAll(name, " ", "-")+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = out.Close() }()                         // the child has its own descriptor
	p.cmd = exec.Command(c.Binary, c.Args...)                  //nolint:gosec,noctx // our own binary; it is ended by Stop or Kill, not by a context
	p.cmd.Env, p.cmd.Dir = append(cleanEnv(), c.Env...), c.Dir // a stray STEPWELL_ variable must not reach it
	p.cmd.Stdout, p.cmd.Stderr = out, out                      // files, so that Wait does not wait for copies
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}    // Ctrl-C goes to the launcher alone, which ends the rest in order
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "STEPWELL_") {
			env = append(env, kv)
		}
	}
	return env
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s (pid %d): %w", p.Name, p.PID, err)
	}
	return nil
}

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	<-p.done
	return err
}

// Stop asks the process to end, waits, and kills it when it takes too long. The error says that it ended badly.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("%s (pid %d) did not end within %s of SIGTERM", p.Name, p.PID, stopLimit), p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w; the end of its log:\n%s", p.Name, p.err, p.Tail())
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Tail is the end of the process's log.
func (p *Process) Tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-logTail):])
}

// Ready waits until the URL answers 200.
func (p *Process) Ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := p.until(ctx, func() bool { return answers(ctx, url) })
	if err != nil {
		return fmt.Errorf("%s is not ready: %w; the end of its log:\n%s", p.Name, err, p.Tail())
	}
	return nil
}

// until polls a condition until it holds, the process ends or ctx does.
func (p *Process) until(ctx context.Context, holds func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-p.done:
			return errors.New("it has ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body) // only the status counts
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
