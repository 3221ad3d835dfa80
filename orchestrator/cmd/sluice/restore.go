package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/backup"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// restore is app.Restore with a log of what matters.
func restore(ctx context.Context, to cli.RestoreTarget, from io.ReadSeeker) (backup.Info, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return app.Restore(ctx, app.Config{DataDir: to.DataDir, Etcd: to.Etcd, EtcdTLS: app.EtcdTLS(to.EtcdFiles), AuditDir: to.AuditDir, Log: log}, from)
}
