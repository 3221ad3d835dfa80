package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// serverCommand reads the configuration for run: flags come before SLUICE_
// variables, and these before what is built in.
func serverCommand(run func(context.Context, app.Config) error) *cobra.Command {
	var c app.Config
	var level string
	cmd := &cobra.Command{
		Use: "server", Short: "run the orchestrator", Args: cobra.NoArgs,
		Long: `server runs the orchestrator until SIGTERM or Ctrl-C. Routers go on without it;
whatever was begun goes on when it is started again.

Root on this machine needs no token on the unix socket. Others need HTTPS and a
bearer token: DATA-DIR/admin-token is made at the first start, DATA-DIR/ca.pem
verifies the server.

Every flag can be set in the environment: --data-dir is SLUICE_DATA_DIR. A flag
comes before its variable.`,
		Example: "  sluice server --data-dir /var/lib/sluice --listen 127.0.0.1:8743",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.LocalNonPersistentFlags()); err != nil {
				return err
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return cli.Usagef("--log-level %q: want debug, info, warn or error", level)
			}
			c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
			c.Version = version
			return run(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.DataDir, "data-dir", "/var/lib/sluice", "everything that the server keeps")
	f.StringSliceVar(&c.Etcd, "etcd", nil, "endpoints of an etcd cluster (default: embedded, in the data directory)")
	f.StringVar(&c.Socket, "socket", "/run/sluice/sluice.sock", "unix socket for root on this machine")
	f.StringVar(&c.Listen, "listen", ":8743", "HTTPS address; empty: none")
	f.StringVar(&c.Instance, "instance", "sluice", "keeps several servers on one libvirt apart")
	f.DurationVar(&c.BootTimeout, "boot-timeout", 90*time.Second, "how long a router may take from its start to its first answer")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// fromEnvironment sets the flags that the command line left alone.
func fromEnvironment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "SLUICE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok && !f.Changed && err == nil {
			if e := f.Value.Set(value); e != nil {
				err = cli.Usagef("%s=%q: %w", name, value, e)
			}
		}
	})
	return err
}
