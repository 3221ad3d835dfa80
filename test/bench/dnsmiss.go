package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/test/lab"
)

// Questions that no cache has: from several guests, because one may ask an
// upstream 1,000 times a second at most.
const (
	missGuests = 12
	missRate   = 150 // a second, of each guest
	missFast   = 900
	missNames  = 2000 // of each guest

	dnsmasqCache = 10000 // records, the most that it keeps
)

// dnsMiss measures questions that have to be asked elsewhere.
func dnsMiss(ctx context.Context, b *bench) ([]result, error) {
	l, c, _, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Stop("dns-upstream", 5*time.Second)
	if err := b.startUpstream(ctx, missGuests); err != nil {
		return nil, err
	}
	slow, err := strangers(l, "miss", missGuests, missRate*dnsSeconds)
	if err != nil {
		return nil, err
	}
	fast, err := strangers(l, "fast", missGuests, missNames)
	if err != nil {
		return nil, err
	}
	ours, others, err := b.forwarders(l, c)
	if err != nil {
		return nil, err
	}
	servers := append([]server{ours}, others...)
	equal, err := b.dnsTurns(ctx, l, servers, dnsLoad{queries: slow, rate: missRate, from: missGuests, window: 20, clients: 1, once: true, each: true}.run)
	if err != nil {
		return nil, err
	}
	// Not dnsmasq: with many questions under way it takes milliseconds for each.
	most, err := b.dnsTurns(ctx, l, servers[:2], dnsLoad{queries: fast, rate: missFast, from: missGuests, window: 8, clients: 1, once: true}.run)
	if err != nil {
		return nil, err
	}
	remark("dns-miss: %d questions/s, dns-miss-full: as many as are answered, 96 under way; load=%s", missGuests*missRate, load())
	return []result{
		against("dns-miss-cpu", "us", equal[0].cpu, "unbound", equal[1].cpu, 1),
		against("dns-miss-cpu-dnsmasq", "us", equal[0].cpu, "dnsmasq", equal[2].cpu, 1),
		against("dns-miss-p99", "us", equal[0].p99, "unbound", equal[1].p99, 1),
		against("dns-miss-p99-dnsmasq", "us", equal[0].p99, "dnsmasq", equal[2].p99, 1),
		against("dns-miss-full", "us", most[0].wall, "unbound", most[1].wall, 1),
	}, nil
}

// forwarders are the agent, unbound and dnsmasq with names of their own and the
// upstream for all others.
func (b *bench) forwarders(l *lab.Lab, c agentv1.Content) (ours server, others []server, err error) {
	c.DNS[0].Upstreams = []netip.AddrPort{netip.MustParseAddrPort(upstreamIP + ":53")}
	if ours, err = b.ours(l, c, resolves()); err != nil {
		return ours, nil, err
	}
	u, d := unbound(l, c, resolves()), dnsmasq(l, c, resolves())
	u.files["unbound.conf"] += "forward-zone:\n name: \".\"\n forward-addr: " + upstreamIP + "\n"
	d.files["dnsmasq.conf"] += "server=" + upstreamIP + fmt.Sprintf("\ndns-forward-max=1000\ncache-size=%d\n", dnsmasqCache)
	return ours, []server{u, d}, nil
}

// strangers writes a file a guest of names that nobody asked for before.
func strangers(l *lab.Lab, kind string, guests, each int) (queries string, err error) {
	queries = filepath.Join(l.Dir, "queries-"+kind)
	for g := range guests {
		var text strings.Builder
		for i := range each {
			fmt.Fprintf(&text, "%s-%d-%d.example.com A\n", kind, g, i)
		}
		if err := os.WriteFile(fmt.Sprintf("%s.%d", queries, g), []byte(text.String()), 0o644); err != nil {
			return "", err
		}
	}
	return queries, nil
}

// dnsMemory measures resident memory with 10,000 names and a cache that was
// filled: with 24,000 answers of 25 addresses, each below 512 bytes, which is
// more than the 16 MiB that ours has. A dnsmasq keeps 10,000 records at most.
func dnsMemory(ctx context.Context, b *bench) ([]result, error) {
	l, c, _, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Stop("dns-upstream", 5*time.Second)
	if err := b.startUpstream(ctx, missGuests); err != nil {
		return nil, err
	}
	ours, others, err := b.forwarders(l, c)
	if err != nil {
		return nil, err
	}
	core, err := b.coredns(ctx, l, c, resolves())
	if err != nil {
		return nil, err
	}
	var memory []float64
	for _, s := range []struct {
		server
		answers int // of each guest
	}{{ours, missNames}, {core, missNames}, {others[1], dnsmasqCache / bigRecords / missGuests}} {
		queries, err := strangers(l, "big", missGuests, s.answers)
		if err != nil {
			return nil, err
		}
		fill := dnsLoad{queries: queries, rate: missFast, from: missGuests, window: 8, clients: 1, once: true}
		n, err := filled(ctx, l, s.server, fill)
		if err != nil {
			return nil, err
		}
		memory = append(memory, n)
	}
	remark("dns-rss: %d names, cache filled with %d answers of %d records; dnsmasq with %d records has %.1f MB; load=%s",
		dnsNames, missGuests*missNames, bigRecords, dnsmasqCache, memory[2], load())
	return []result{against("dns-rss", "MB", memory[0], "coredns", memory[1], 1)}, nil
}

// filled is a server's resident memory, 10^6 bytes, after a load.
func filled(ctx context.Context, l *lab.Lab, s server, fill dnsLoad) (float64, error) {
	if err := s.start(ctx, l); err != nil {
		return 0, err
	}
	defer l.Stop(s.name, 5*time.Second)
	if _, err := fill.run(ctx, l); err != nil {
		return 0, fmt.Errorf("load on %s: %w", s.name, err)
	}
	return sampled(ctx, func() (int64, error) { return resident(l.PID(s.name)) })
}
