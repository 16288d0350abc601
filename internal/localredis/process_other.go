//go:build !unix

package localredis

import (
	"errors"
	"os/exec"
)

func detach(*exec.Cmd) {}

func (p *process) pause() error { return errors.ErrUnsupported }

func (p *process) resume() error { return errors.ErrUnsupported }
