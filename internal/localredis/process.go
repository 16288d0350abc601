package localredis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopGrace is the time between SIGTERM and SIGKILL.
const stopGrace = 5 * time.Second

// process is one life of a server.
type process struct {
	cmd     *exec.Cmd
	version string
	done    chan struct{} // closed when the process has ended
}

// run starts the binary with its output appended to log. The process outlives ctx.
func run(ctx context.Context, binary string, args, env []string, log string) (*process, error) {
	// A file and not a pipe: a pipe would also have to be closed by children that outlive a killed server.
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own handle
	p := &process{done: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, args...) //nolint:gosec // found in PATH under a fixed name
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if len(env) > 0 {
		p.cmd.Env = append(os.Environ(), env...)
	}
	detach(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is of no interest: its log says why
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the process to end and kills it after stopGrace or when ctx ends.
func (p *process) stop(ctx context.Context) error {
	if p.ended() {
		return nil
	}
	if p.signal(syscall.SIGTERM) != nil || p.wake() != nil {
		return p.kill() // a system without SIGTERM
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	return p.kill()
}

// wake lets a paused process hear the signals that it was sent.
func (p *process) wake() error {
	if err := p.resume(); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// kill ends the process at once and waits for it.
func (p *process) kill() error {
	if err := p.signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// signal sends to the process by its handle, which package os guards against a process ID that is in use again.
// An ended process is no error.
func (p *process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d: %w", sig, p.pid(), err)
	}
	return nil
}
