package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := program(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The profiles: what `make bench` measures, and what CI has the time for.
func fullProfile() options {
	return options{Runs: 2000, Rounds: 5, Idle: 120, Wire: 100, Memory: 512, Concurrency: 20, Fsync: "everysec"}
}

func shortProfile() options {
	return options{Runs: 200, Rounds: 2, Idle: 10, Wire: 40, Memory: 64, Concurrency: 20, Fsync: "everysec"}
}

// program is main without the process.
func program(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	opts := fullProfile()
	var (
		short    = flags.Bool("short", false, "200 runs, 2 rounds: do all runs end, is the number of script calls right; its times say little")
		runs     = flags.Int("runs", opts.Runs, "runs of a burst")
		rounds   = flags.Int("rounds", opts.Rounds, "measured rounds, after one that is discarded")
		workers  = flags.Int("concurrency", opts.Concurrency, "handlers at work at a time, and goroutines that start runs")
		fsync    = flags.String("fsync", opts.Fsync, "appendfsync of the Redis that is started: always, everysec or no")
		url      = flags.String("redis", "", "use the Redis at this URL, redis://host:port/db, as it is configured, instead of starting one")
		file     = flags.String("json", "bench/latest.json", "where the report goes")
		lines    = flags.String("benchfmt", "", "also write a file for benchstat")
		contrast = flags.Bool("compare", false, "measure nothing; compare two reports, OLD.json NEW.json")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *contrast {
		return compareFiles(stdout, flags.Args())
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *short {
		opts = shortProfile()
	}
	flags.Visit(func(f *flag.Flag) { // what is said counts, whatever the profile
		switch f.Name {
		case "runs":
			opts.Runs = *runs
		case "rounds":
			opts.Rounds = *rounds
		}
	})
	opts.Concurrency, opts.Fsync, opts.URL = *workers, *fsync, *url
	r, err := measure(ctx, opts, stderr)
	if err != nil {
		return err
	}
	return errors.Join(r.print(stdout), r.save(*file), r.saveLines(*lines), r.check())
}

func compareFiles(stdout io.Writer, files []string) error {
	if len(files) != 2 {
		return fmt.Errorf("-compare needs two reports, OLD.json NEW.json; got %d", len(files))
	}
	before, err := loadReport(files[0])
	if err != nil {
		return err
	}
	after, err := loadReport(files[1])
	if err != nil {
		return err
	}
	return compare(stdout, before, after)
}

func (o options) validate() error {
	var problems []error
	for _, n := range []struct {
		flag            string
		value, low, top int
	}{
		{"runs", o.Runs, 1, 1_000_000}, {"rounds", o.Rounds, 1, 1000}, {"concurrency", o.Concurrency, 1, 10_000},
	} {
		if n.value < n.low || n.value > n.top {
			problems = append(problems, fmt.Errorf("-%s %d, must be from %d to %d", n.flag, n.value, n.low, n.top))
		}
	}
	if !slices.Contains([]string{"always", "everysec", "no"}, o.Fsync) {
		problems = append(problems, fmt.Errorf("-fsync %q, must be always, everysec or no", o.Fsync))
	}
	return errors.Join(problems...)
}

// measure starts a Redis, unless options name one, and runs the bench on it.
func measure(ctx context.Context, opts options, progress io.Writer) (_ *report, err error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	srv, err := startServer(ctx, opts.URL, opts.Fsync)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, srv.Close(context.WithoutCancel(ctx))) }()
	r := newReport(ctx, opts)
	b := &bench{options: opts, server: srv, progress: progress}
	b.say("Redis %s, appendonly %s, appendfsync %s", srv.Info.Version, srv.Info.AppendOnly, srv.Info.AppendFsync)
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	r.fill(b)
	return r, nil
}
