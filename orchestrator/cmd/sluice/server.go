package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// maxRate is more requests a second than any server answers.
const maxRate = 1e6

// maxAuditMiB is more than any disk has.
const maxAuditMiB = 1 << 30

// serverCommand reads the configuration for run.
func serverCommand(run func(context.Context, app.Config) error) *cobra.Command {
	var c app.Config
	var level string
	var auditMiB int64
	var etcd cli.EtcdFiles
	cmd := &cobra.Command{
		Use: "server", Short: "run the orchestrator", Args: cobra.NoArgs,
		Long: `server runs the orchestrator until SIGTERM or Ctrl-C. Routers go on without it;
whatever was begun goes on when it is started again.

Root on this machine needs no token on the unix socket. Others need HTTPS and a
bearer token: DATA-DIR/admin-token is made at the first start, DATA-DIR/ca.pem
verifies the server.

Every flag can be set in the environment, --data-dir as SLUICE_DATA_DIR, and in
the configuration file, as data-dir. A flag comes before its variable, and that
before the file; ` + "`sluice config show`" + ` tells which it was.`,
		Example: "  sluice server --data-dir /var/lib/sluice --listen 127.0.0.1:8743",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.Configure(cmd); err != nil {
				return err
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return cli.Usagef("--log-level %q: want debug, info, warn or error", level)
			}
			if !(c.RequestsPerSecond >= 0 && c.RequestsPerSecond <= maxRate) { // NaN is neither
				return cli.Usagef("--requests-per-second %g: want 0, for any number, to %g", c.RequestsPerSecond, maxRate)
			}
			if auditMiB < audit.MinSize>>20 || auditMiB > maxAuditMiB {
				return cli.Usagef("--audit-size %d: want %d to %d MiB", auditMiB, audit.MinSize>>20, maxAuditMiB)
			}
			c.AuditSize, c.EtcdTLS = auditMiB<<20, app.EtcdTLS(etcd)
			c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
			c.Version = version
			return run(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.DataDir, "data-dir", "/var/lib/sluice", "everything that the server keeps")
	f.StringSliceVar(&c.Etcd, "etcd", nil, "endpoints of an etcd cluster (default: embedded, in the data directory)")
	etcd.Bind(f)
	f.Int64Var(&c.EtcdQuota, "etcd-quota", store.DefaultQuota, "size of the embedded etcd's database beyond which it takes no writes, in bytes")
	f.StringVar(&c.AuditDir, "audit-dir", "", "where the audit records are written; servers on one store may share it, and then each shows all (default: audit in the data directory)")
	f.Int64Var(&auditMiB, "audit-size", audit.DefaultSize>>20, "how much of this server's audit records is kept, in MiB; older ones are removed")
	f.StringVar(&c.Socket, "socket", "/run/sluice/sluice.sock", "unix socket for root on this machine")
	f.StringVar(&c.Listen, "listen", ":8743", "HTTPS address; empty: none")
	f.StringVar(&c.Instance, "instance", "sluice", "keeps several servers on one libvirt apart")
	f.DurationVar(&c.BootTimeout, "boot-timeout", 90*time.Second, "how long a router may take from its start to its first answer")
	f.Float64Var(&c.RequestsPerSecond, "requests-per-second", httpapi.DefaultRate.PerSecond, "how many requests a token may make; twice as many at once; 0: any number")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cli.Configurable(f)
	return cmd
}
