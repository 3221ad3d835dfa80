package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-nfv/sluice/test/lab"
)

// The DNS load, the same for every server.
const (
	dnsNames   = 10000
	dnsRate    = 20000 // queries a second
	dnsSeconds = 5
	goalDNS    = 0.95 // of unbound's CPU time a query
)

// dnsCPU measures the agent, unbound and dnsmasq in turns.
func dnsCPU(ctx context.Context, b *bench) ([]result, error) {
	l, err := b.wired(ctx)
	if err != nil {
		return nil, err
	}
	c := guests(dnsNames)
	c.DHCP = nil
	ours, err := b.ours(l, c, resolves())
	if err != nil {
		return nil, err
	}
	queries := filepath.Join(l.Dir, "queries")
	var text strings.Builder
	for _, r := range c.DNS[0].Records {
		fmt.Fprintf(&text, "%s.%s A\n", r.Name, c.DNS[0].Domain)
	}
	if err := os.WriteFile(queries, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	servers := []server{ours, unbound(l, c, resolves()), dnsmasq(l, c, resolves())}
	cost, err := b.turns(ctx, l, servers, func(ctx context.Context) (int, error) { return loadDNS(ctx, l, queries) })
	if err != nil {
		return nil, err
	}
	remark("dns-cpu: %d queries/s for %d s, %d names, load=%s", dnsRate, dnsSeconds, dnsNames, load())
	return []result{
		against("dns-cpu", "us", cost[0], "unbound", cost[1], goalDNS),
		against("dns-cpu-dnsmasq", "us", cost[0], "dnsmasq", cost[2], 1),
	}, nil
}

var (
	completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	noError   = regexp.MustCompile(`NOERROR (\d+)`)
)

// loadDNS runs dnsperf; every answer has to be a good one.
func loadDNS(ctx context.Context, l *lab.Lab, queries string) (int, error) {
	out, err := l.In(ctx, clientNS, pinned(clientCPU, "dnsperf", "-s", serverIP.String(), "-d", queries,
		"-Q", strconv.Itoa(dnsRate), "-l", strconv.Itoa(dnsSeconds), "-c", "20", "-T", "1", "-q", "200")...)
	if err != nil {
		return 0, err
	}
	done, good := completed.FindStringSubmatch(out), noError.FindStringSubmatch(out)
	if done == nil || good == nil || done[1] != good[1] {
		return 0, fmt.Errorf("not all queries were answered well: %s", out)
	}
	n, err := strconv.Atoi(done[1])
	progress("%d queries answered", n)
	return n, err
}
