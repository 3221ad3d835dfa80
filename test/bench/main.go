// Command bench measures Sluice against its peers: other programs that do the
// same work, run on the same machine in the same run, or a goal where nobody
// else does it. See README.md for how to read what it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/sluice-nfv/sluice/test/lab"
)

func main() {
	if len(os.Args) > 1 { // what bench starts of itself in namespaces
		switch os.Args[1] {
		case "peer":
			end(lab.PeerMain(os.Args[2:]))
		case "dhcp-load":
			end(dhcpLoadMain(os.Args[2:]))
		case "connect-load":
			end(connectLoadMain(os.Args[2:]))
		case "accept":
			end(acceptMain(os.Args[2:]))
		case "udp-load":
			end(udpLoadMain(os.Args[2:]))
		case "discard":
			end(discardMain(os.Args[2:]))
		case "steady":
			end(steadyMain(os.Args[2:]))
		case "answer":
			end(answerMain(os.Args[2:]))
		case "who":
			end(whoMain(os.Args[2:]))
		case "mappings":
			end(mappingsMain(os.Args[2:]))
		case "dns-echo":
			end(dnsEchoMain(os.Args[2:]))
		case "dns-upstream":
			end(dnsUpstreamMain(os.Args[2:]))
		case "dhcp-echo":
			end(dhcpEchoMain())
		case "dhcp-wait":
			end(dhcpWaitMain(os.Args[2:]))
		case "dhcp-change":
			end(dhcpChangeMain())
		case "dns-change":
			end(dnsChangeMain())
		case "supervise":
			end(superviseMain(os.Args[2:]))
		case "dns-probe":
			end(dnsProbeMain(os.Args[2:]))
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	end(err)
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// benchmark measures one thing; it may give several results.
type benchmark struct {
	name  string
	about string
	run   func(context.Context, *bench) ([]result, error)
}

var benchmarks = []benchmark{
	{"first-guest-cold", "start of the first guest of a network to its lease, its router made and booted meanwhile", firstGuest},
	{"second-guest", "start of further guests behind a router that runs, and their leases", secondGuest},
	{"agent-rss", "memory of the agent in a router, idle", agentMemory},
	{"boot-ratio", "the router template's boot, and its size", bootRatio},
	{"dhcp-cpu", "server CPU per DHCP exchange, 1,000 fixed bindings", dhcpCPU},
	{"dhcp-rate", "DHCP exchanges a second kept without a loss, 1,000 fixed bindings", dhcpKept},
	{"dhcp-start", "DHCP with 65,000 bindings: start, one change, memory", dhcpSize},
	{"dhcp-kill-gap", "time without DHCP after the agent is killed", dhcpKillGap},
	{"dns-cpu", "server CPU per DNS query, 10,000 local names", dnsCPU},
	{"scale", "a server with 100,000 nics in its store: calls, memory, start", scale},
	{"nat-eip-cps", "new connections a second through the last of 10,000 EIPs", eipRate},
	{"nat-pf-cps", "new connections a second through the last of 10,000 port forwardings", forwardRate},
	{"nat-apply", "10,000 EIPs and 10,000 port forwardings from nothing", applyAll},
	{"nat-change", "one change among 10,000 EIPs and 10,000 port forwardings", changeOne},
	{"nat-move", "an EIP moved by the orchestrator's API among 10,000 and 10,000 port forwardings", moveOne},
	{"nat-change-loss", "packets lost and connections broken during 100 changes a second", changeLoss},
	{"nat-restart", "writes and lost packets while the agent is killed and started", restarts},
	{"nat-throughput", "TCP throughput through all rules and 20,000 mappings", streamRate},
	{"nat-pps", "64-byte packets through all rules and 20,000 mappings", packetRate},
	{"nat-flowtable", "64-byte packets by the kernel's fast path, and by the rules", fastPath},
	{"nat-library", "ways to put 10,000 mappings into the kernel", libraries},
	{"nat-curve", "from 10 to 50,000 mappings", curve},
	{"dns-fast", "the same at a higher rate, and as many queries as are answered", dnsFast},
	{"dns-tcp", "DNS queries over one connection, and over a hundred", dnsTCP},
	{"dns-miss", "DNS questions that an upstream has to answer", dnsMiss},
	{"dns-kill-gap", "time without DNS after a kill -9 under load", dnsKillGap},
	{"dns-start", "DNS with 65,000 names: start, one change", dnsSize},
	{"dns-rss", "memory with 10,000 names and a full cache", dnsMemory},
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("run", "", "run the benchmarks whose names match this `regexp`")
	runs := f.Int("n", 3, "runs of each; the median counts")
	kills := f.Int("kills", 30, "how often nat-restart kills the agent")
	list := f.Bool("list", false, "list the benchmarks")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if *runs < 1 || *kills < 1 || f.NArg() > 0 {
		return errors.New("usage: bench [-run regexp] [-n runs, 1 or more] [-kills times, 1 or more] [-list]")
	}
	if *list {
		for _, b := range benchmarks {
			fmt.Printf("%-18s %s\n", b.name, b.about)
		}
		return nil
	}
	return measure(ctx, chosen, *runs, *kills)
}

// measure runs what was chosen, goes on after a failure, and removes all.
func measure(ctx context.Context, chosen *regexp.Regexp, runs, kills int) error {
	b, err := newBench(runs, kills)
	if err != nil {
		return err
	}
	header()
	var failed []error
	for _, each := range benchmarks {
		if !chosen.MatchString(each.name) || ctx.Err() != nil {
			continue
		}
		progress("%s", each.name)
		results, err := each.run(ctx, b)
		for _, r := range results {
			fmt.Println(r)
			if !r.met() {
				fmt.Println("# missed:", r.name)
			}
		}
		if err != nil {
			failed = append(failed, errors.New(each.name+" could not run"))
			progress("%s could not run: %v", each.name, err)
			fmt.Println("# could not run:", each.name)
		}
	}
	progress("removing all")
	return errors.Join(errors.Join(failed...), context.Cause(ctx), b.close())
}

// progress is for people who wait.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// remark is a line on stdout that is no result.
func remark(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }
