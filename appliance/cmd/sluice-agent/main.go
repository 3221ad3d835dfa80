// Command sluice-agent is everything that runs in a virtual router: process 1,
// and the agent with its DHCP and DNS servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/sluice-nfv/sluice/appliance/app"
	"github.com/sluice-nfv/sluice/appliance/boot"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "dev"

const usage = `sluice-agent runs a Sluice virtual router.

Usage:
  sluice-agent run --config DIR [--state DIR] [--no-flowtables] [--debug]
        Run as the agent of a router. DIR is its config drive, with sluice.json
        in it: the management nic, whom to trust, and the join token. The agent
        configures that nic, listens on its address for the orchestrator, and
        forwards nothing before it has got a spec.
  sluice-agent run --spec FILE [--state DIR] [--listen ADDR] [--no-flowtables] [--debug]
        Run without an orchestrator, in the network namespace this is started
        in: FILE is a RouterSpec (JSON). A changed FILE is applied; a bad one is
        reported and the last good one kept. Nothing listens unless asked to.
  sluice-agent validate FILE
        Check a RouterSpec and say what is wrong with it, and where.
  sluice-agent init
        Be process 1 of a router: mounts, modules, console, and the agent,
        supervised. Refused as any other process.
  sluice-agent version

Exit status: 0 done, 1 failed, 2 wrong usage.
"sluice-agent COMMAND --help" explains a command's flags.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage)
		return 2
	}
	switch args[0] {
	case "run":
		return runAgent(args[1:], out, errs)
	case "validate":
		return validate(args[1:], out, errs)
	case "init":
		return boot.Main(args[1:])
	case "version", "--version":
		fmt.Fprintln(out, version)
		return 0
	case "help", "-h", "--help":
		fmt.Fprint(out, usage)
		return 0
	}
	fmt.Fprintf(errs, "sluice-agent: no command %q\n\n%s", args[0], usage)
	return 2
}

func runAgent(args []string, out, errs io.Writer) int {
	cfg := app.Config{Version: version, Console: out, Log: errs}
	f := flag.NewFlagSet("sluice-agent run", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&cfg.Drive, "config", "", "`directory` of the config drive, with sluice.json in it; needs --spec not to be given")
	f.StringVar(&cfg.SpecFile, "spec", "", "RouterSpec `file` (JSON) to serve without an orchestrator; changes to it are applied")
	f.StringVar(&cfg.StateDir, "state", "", "`directory` of ledger and identity, to survive a restart of the agent; should be a tmpfs\n"+
		"(default "+ledger.Dir+" with --config, a fresh one with --spec)")
	f.StringVar(&cfg.Listen, "listen", "", "loopback `address:port` on which status, spec, events and metrics can be read\n"+
		"without TLS; with --spec only (default: nothing listens)")
	f.BoolVar(&cfg.NoFlowtables, "no-flowtables", false, "have every packet pass the rules, also where the kernel has a fast path")
	f.BoolVar(&cfg.Debug, "debug", false, "log each change of the kernel")
	if code, ok := parse(f, args, errs); !ok {
		return code
	}
	if f.NArg() > 0 || (cfg.Drive == "") == (cfg.SpecFile == "") || (cfg.Listen != "" && cfg.SpecFile == "") {
		fmt.Fprintln(errs, "sluice-agent run: give either --config DIR or --spec FILE; --listen goes with --spec; nothing else is taken")
		return 2
	}
	limitMemory()
	if err := work(cfg); err != nil {
		fmt.Fprintln(errs, "sluice-agent:", err)
		return 1
	}
	return 0
}

// work runs until SIGINT or SIGTERM.
func work(cfg app.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if cfg.StateDir == "" {
		if cfg.StateDir = ledger.Dir; cfg.SpecFile != "" {
			dir, err := os.MkdirTemp("", "sluice-agent-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			cfg.StateDir = dir
		}
	}
	a, err := app.New(cfg)
	if err != nil {
		return err
	}
	return errors.Join(a.Run(ctx), a.Close())
}

func validate(args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("sluice-agent validate", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() {
		fmt.Fprintln(errs, "Usage: sluice-agent validate FILE\nChecks a RouterSpec (JSON): exit status 0 when an agent would take its content,\n1 with the JSON pointer of the first wrong field. Generation, hash and fence are not looked at.")
	}
	if code, ok := parse(f, args, errs); !ok {
		return code
	}
	if f.NArg() != 1 {
		f.Usage()
		return 2
	}
	spec, ignored, err := app.Validate(f.Arg(0))
	for _, field := range ignored {
		fmt.Fprintf(errs, "%s: unknown field %s is ignored\n", f.Arg(0), field)
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v\n", f.Arg(0), err)
		return 1
	}
	fmt.Fprintf(out, "%s: good (router %s, content hash %s)\n", f.Arg(0), spec.RouterUUID, spec.Content.Hash())
	return 0
}

// parse reports whether to go on, and the exit status if not.
func parse(f *flag.FlagSet, args []string, errs io.Writer) (int, bool) {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, false
	case err != nil: // printed already, with the flags
		return 2, false
	}
	return 0, true
}

// limitMemory keeps the agent small in a router of 192 MB, of which some 100
// are free: the collector runs at half the usual growth, and all the time
// before the machine would run out. GOGC and GOMEMLIMIT still win.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(72 << 20)
	}
}
