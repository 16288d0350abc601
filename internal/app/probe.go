package app

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// probeLimit bounds a health check's one question.
const probeLimit = 3 * time.Second

// ProbeCommand asks a URL and succeeds when the answer is 200, for health checks of containers that have no shell.
func ProbeCommand(name string) *cobra.Command {
	return &cobra.Command{
		Use:     name + " URL",
		Short:   "Ask a URL once; exit with 0 when it answers 200",
		Example: "  stepwell " + name + " http://127.0.0.1:8080/readyz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := http.Client{Timeout: probeLimit}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, args[0], http.NoBody)
			if err != nil {
				return fmt.Errorf("probe: %w", err)
			}
			resp, err := client.Do(req)
			if err != nil {
				return fmt.Errorf("probe: %w", err)
			}
			_ = resp.Body.Close() // only the status counts
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("probe: %s answered %s", args[0], resp.Status)
			}
			return nil
		},
	}
}
