package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/backup"
)

// restore is app.Restore with a log of what matters.
func restore(ctx context.Context, dataDir string, from io.ReadSeeker) (backup.Info, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return app.Restore(ctx, app.Config{DataDir: dataDir, Log: log}, from)
}
