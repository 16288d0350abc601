//go:build unix

package localredis

import (
	"os/exec"
	"syscall"
)

// detach gives the child a process group of its own, so that Ctrl-C in a terminal does not end it before its users.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func (p *process) pause() error { return p.signal(syscall.SIGSTOP) }

func (p *process) resume() error { return p.signal(syscall.SIGCONT) }
