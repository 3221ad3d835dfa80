// Command sluice is the orchestrator, and its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/orchestrator/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, version, os.Args[1:], os.Stdout, os.Stderr, serverCommand(app.Run), cli.RestoreCommand(restore), cli.DoctorCommand(app.Examine))
	cancel()
	os.Exit(code)
}
