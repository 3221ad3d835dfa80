package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// The DNS load, the same for every server.
const (
	dnsNames    = 10000
	dnsRate     = 20000 // queries a second
	dnsFastRate = 60000
	dnsSeconds  = 3

	goalDNS  = 0.95 // of unbound's CPU time a query
	goalEcho = 1.15 // of the echo's: the rest is the socket path
	// goalEchoRate is of the echo's time a query: 0.95 of its rate.
	goalEchoRate = 1 / 0.95
)

// dnsCPU measures CPU time a query at an equal rate.
func dnsCPU(ctx context.Context, b *bench) ([]result, error) {
	l, c, queries, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := b.ours(l, c, resolves())
	if err != nil {
		return nil, err
	}
	core, err := b.coredns(ctx, l, c, resolves())
	if err != nil {
		return nil, err
	}
	servers := []server{ours, b.echo(), unbound(l, c, resolves()), dnsmasq(l, c, resolves()), core}
	cost, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: queries, rate: dnsRate, each: true}.run)
	if err != nil {
		return nil, err
	}
	remark("dns-cpu: %d queries/s for %d s, %d names, load=%s", dnsRate, dnsSeconds, dnsNames, load())
	return []result{
		against("dns-cpu", "us", cost[0].cpu, "unbound", cost[2].cpu, goalDNS),
		against("dns-cpu-echo", "us", cost[0].cpu, "echo", cost[1].cpu, goalEcho),
		against("dns-cpu-dnsmasq", "us", cost[0].cpu, "dnsmasq", cost[3].cpu, 1),
		against("dns-cpu-coredns", "us", cost[0].cpu, "coredns", cost[4].cpu, 1),
		against("dns-p99", "us", cost[0].p99, "unbound", cost[2].p99, 1),
	}, nil
}

// dnsFast measures CPU time a query at a rate that dnsmasq does not keep, and
// time a query when as many are asked as are answered.
func dnsFast(ctx context.Context, b *bench) ([]result, error) {
	l, c, queries, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := b.ours(l, c, resolves())
	if err != nil {
		return nil, err
	}
	servers := []server{ours, b.echo(), unbound(l, c, resolves())}
	cost, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: queries, rate: dnsFastRate}.run)
	if err != nil {
		return nil, err
	}
	most, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: queries}.run)
	if err != nil {
		return nil, err
	}
	remark("dns-fast: %d queries/s, dns-full: as many as are answered; for %d s, %d names, load=%s", dnsFastRate, dnsSeconds, dnsNames, load())
	return []result{
		against("dns-fast-cpu", "us", cost[0].cpu, "unbound", cost[2].cpu, goalDNS),
		against("dns-fast-cpu-echo", "us", cost[0].cpu, "echo", cost[1].cpu, goalEcho),
		against("dns-full", "us", most[0].wall, "unbound", most[2].wall, 1),
		against("dns-full-echo", "us", most[0].wall, "echo", most[1].wall, goalEchoRate),
	}, nil
}

// dnsTCP measures time a query over TCP, on one connection and on a hundred.
func dnsTCP(ctx context.Context, b *bench) ([]result, error) {
	l, c, queries, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	// A guest has 16 connections: the hundred come from ten addresses.
	const sources = 10
	if err := b.clientAddresses(ctx, l, sources); err != nil {
		return nil, err
	}
	ours, err := b.ours(l, c, resolves())
	if err != nil {
		return nil, err
	}
	servers := []server{ours, unbound(l, c, resolves())}
	one, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: queries, tcp: true, clients: 1}.run)
	if err != nil {
		return nil, err
	}
	hundred, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: queries, tcp: true, clients: 100 / sources, window: 20, from: sources}.run)
	if err != nil {
		return nil, err
	}
	remark("dns-tcp: as many queries as are answered for %d s, load=%s", dnsSeconds, load())
	return []result{
		against("dns-tcp", "us", one[0].wall, "unbound", one[1].wall, 1),
		against("dns-tcp-cpu", "us", one[0].cpu, "unbound", one[1].cpu, 1),
		against("dns-tcp-100", "us", hundred[0].wall, "unbound", hundred[1].wall, 1),
		against("dns-tcp-100-cpu", "us", hundred[0].cpu, "unbound", hundred[1].cpu, 1),
	}, nil
}

// dnsSite is the wire, what is served on it, and a file that asks for each name.
func (b *bench) dnsSite(ctx context.Context) (*lab.Lab, agentv1.Content, string, error) {
	l, err := b.wired(ctx)
	if err != nil {
		return nil, agentv1.Content{}, "", err
	}
	c := guests(dnsNames)
	c.DHCP = nil
	var text strings.Builder
	for _, r := range c.DNS[0].Records {
		fmt.Fprintf(&text, "%s.%s A\n", r.Name, c.DNS[0].Domain)
	}
	queries := filepath.Join(l.Dir, "queries")
	return l, c, queries, os.WriteFile(queries, []byte(text.String()), 0o644)
}

// clientAddresses gives the client addresses of its own for n guests.
func (b *bench) clientAddresses(ctx context.Context, l *lab.Lab, n int) error {
	for i := range n {
		at := netip.PrefixFrom(sourceIP(i), subnet.Bits()).String()
		if _, err := l.In(ctx, clientNS, "ip", "addr", "replace", at, "dev", "eth0"); err != nil {
			return err
		}
	}
	return nil
}

// sourceIP is the client's address number i.
func sourceIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 95, 254, byte(1 + i)}) }
