// Command stepwell is the workbench: the demo, a whole stack for development, the payment simulator, and a probe for health checks.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/stepwell/stepwell/internal/app"
)

func main() {
	root := &cobra.Command{
		Use:   "stepwell",
		Short: "Run workflows that survive crashes, on Redis and asynq",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(demoCommand(), devCommand(), app.GatewayCommand("gateway"), app.ProbeCommand("probe"), app.APICommand("api"), app.WorkerCommand("worker"))
	os.Exit(app.Execute(root, os.Stderr))
}
