package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stepwell/stepwell/internal/config"
)

// Exit codes of every binary.
const (
	exitOK      = 0
	exitFailed  = 1 // it could not start or go on
	exitMisused = 2 // flags, environment or configuration file are wrong
)

// Execute runs a command until it returns or SIGINT or SIGTERM asks it to end, prints its error to errOut, and returns the exit code. A
// second signal ends the process at once.
func Execute(cmd *cobra.Command, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM) // the root of every context of the process
	defer stop()
	context.AfterFunc(ctx, stop)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.Version = Version()
	cmd.SetErr(errOut)
	misused := false
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		misused = true
		return fmt.Errorf("%w; %s --help lists the flags", err, c.CommandPath())
	})
	explainArgs(cmd, &misused)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errOut, "%s: %v\n", cmd.Name(), err)
	if _, ok := errors.AsType[*config.Error](err); ok || misused {
		return exitMisused
	}
	return exitFailed
}

// explainArgs adds to what cobra says of unknown commands and arguments where to look, for a command and all below it.
func explainArgs(cmd *cobra.Command, misused *bool) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			*misused = true
			return fmt.Errorf("%w; %s --help shows what there is", err, c.CommandPath())
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		explainArgs(sub, misused)
	}
}

// Version is the module's version and revision as the build recorded them.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + " " + s.Value[:12]
		}
	}
	return version
}
