package app

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stepwell/stepwell/internal/config"
)

// APICommand is the command that serves the API, under the name.
func APICommand(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name,
		Short: "Serve the REST API: start runs, show them, retry what failed",
		Long: `Serve the REST API: start runs, show them, retry what failed.

Every flag can also be set by the environment variable named behind it, or in the YAML file of --config;
flags win over the environment, the environment over the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadAPI(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			return API(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	config.APIFlags(cmd.Flags())
	return cmd
}

// WorkerCommand is the command that runs steps, under the name.
func WorkerCommand(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name,
		Short: "Run the steps of workflows",
		Long: `Run the steps of workflows. Start as many workers as the load needs, on as many machines as there are: they share it
through Redis. SIGTERM lets running steps finish within --worker-grace and gives the others back.

Every flag can also be set by the environment variable named behind it, or in the YAML file of --config;
flags win over the environment, the environment over the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadWorker(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			return Worker(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	config.WorkerFlags(cmd.Flags())
	return cmd
}

// GatewayCommand is the command that runs the payment simulator alone, under the name.
func GatewayCommand(name string) *cobra.Command {
	var cfg GatewayConfig
	cmd := &cobra.Command{
		Use:   name,
		Short: "Run the payment gateway simulator alone",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Gateway(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&cfg.Addr, "addr", "127.0.0.1:8090", "`host:port` to listen on")
	cmd.Flags().StringVar(&cfg.Ledger, "ledger", "data/gateway.jsonl", "`file` of the durable ledger, made if needed")
	cmd.Flags().StringVar(&cfg.LogFormat, "log-format", "auto", "`format` of the log: text, json, or auto (text on a terminal, else json)")
	return cmd
}

// isTerminal tells whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	return term.IsTerminal(int(f.Fd()))
}
