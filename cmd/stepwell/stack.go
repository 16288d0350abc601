package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stepwell/stepwell/internal/config"
	"github.com/stepwell/stepwell/internal/demo"
)

func demoCommand() *cobra.Command {
	var plain bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play nine orders through real processes, one of them through a kill -9, and check the books",
		Long: `Play nine orders through real processes, one of them through a kill -9, and check the books.

Starts Redis (redis-server or valkey-server if found, else an embedded one), the payment gateway, a mail sink, the API and two workers, and
ends them all afterwards. Exits with 0 only when every order ended as it should and the books balance.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := stackOptions(cmd, false)
			if err != nil {
				return err
			}
			out := os.Stdout
			return demo.Play(cmd.Context(), demo.PlayOptions{
				Options: opts, Out: out, Live: !plain && term.IsTerminal(int(out.Fd())), Now: time.Now,
			})
		},
	}
	cmd.Flags().BoolVar(&plain, "plain", false, "print plain lines also on a terminal")
	config.StackFlags(cmd.Flags())
	return cmd
}

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start the demo's stack, print its addresses and keep it up until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := stackOptions(cmd, true)
			if err != nil {
				return err
			}
			return demo.Keep(cmd.Context(), opts, os.Stdout)
		},
	}
	config.StackFlags(cmd.Flags())
	return cmd
}

// stackOptions reads the configuration of demo and dev. The demo takes a free port unless one was asked for, so that it never meets a busy one.
func stackOptions(cmd *cobra.Command, fixedAddr bool) (demo.Options, error) {
	cfg, err := config.LoadStack(cmd.Flags(), os.Environ())
	if err != nil {
		return demo.Options{}, err
	}
	binary, err := os.Executable()
	if err != nil {
		return demo.Options{}, fmt.Errorf("find this program, to start it again as API and worker: %w", err)
	}
	dir, err := demo.TempDir()
	if err != nil {
		return demo.Options{}, err
	}
	if string(cfg.Redis.URL) != "" && cfg.Redis.TLSCA != "" {
		return demo.Options{}, errors.New("demo and dev take a Redis without TLS files; leave redis.tls_ca out")
	}
	opts := demo.Options{Binary: binary, Dir: dir, RedisURL: string(cfg.Redis.URL), Prefix: cfg.Redis.Prefix, RequireRealRedis: os.Getenv("REQUIRE_REDIS") == "1"}
	if fixedAddr || cmd.Flags().Changed("api-addr") {
		opts.APIAddr = cfg.HTTP.Addr
	}
	return opts, nil
}
