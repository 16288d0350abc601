package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stepwell/stepwell/internal/gatewaysim"
	"github.com/stepwell/stepwell/internal/telemetry"
)

// GatewayConfig says where the payment simulator listens and keeps its books.
type GatewayConfig struct {
	Addr      string
	Ledger    string
	LogFormat string
}

// Gateway runs the payment simulator until ctx ends.
func Gateway(ctx context.Context, cfg GatewayConfig, logTo io.Writer) error {
	log := telemetry.NewLogger(logTo, "info", cfg.LogFormat, isTerminal(logTo))
	if err := os.MkdirAll(filepath.Dir(cfg.Ledger), 0o750); err != nil {
		return fmt.Errorf("directory of the ledger: %w", err)
	}
	g, err := gatewaysim.New(gatewaysim.Config{LedgerPath: cfg.Ledger, Seed: uint64(time.Now().UnixNano()), Now: time.Now, Logger: log})
	if err != nil {
		return err
	}
	l, err := listen(ctx, cfg.Addr, "--addr")
	if err != nil {
		return errors.Join(err, g.Close())
	}
	log.InfoContext(ctx, "gateway listens", "addr", l.Addr().String(), "ledger", cfg.Ledger)
	return errors.Join(g.Run(ctx, l), g.Close())
}

// listen opens a TCP address; the error names the setting that changes it.
func listen(ctx context.Context, addr, setting string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is in use; end what listens there or choose another with %s", addr, setting)
	default:
		return nil, fmt.Errorf("listen on %s: %w; choose another address with %s", addr, err, setting)
	}
}
