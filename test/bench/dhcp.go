package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sluice-nfv/sluice/test/lab"
)

// The DHCP load, the same for every server.
const (
	dhcpBindings = 1000
	dhcpSlowRate = 500  // exchanges a second
	dhcpRate     = 2000 // more than dnsmasq keeps
	dhcpFastRate = 4000 // nearly what Kea keeps
	dhcpSeconds  = 4
	goalDHCP     = 0.125 // of Kea's CPU time an exchange
)

// dhcpCPU measures the agent, Kea and dnsmasq in turns.
func dhcpCPU(ctx context.Context, b *bench) ([]result, error) {
	l, ours, keaServer, dnsmasqServer, err := b.dhcpServers(ctx, dhcpBindings)
	if err != nil {
		return nil, err
	}
	slow, _, err := b.atRate(ctx, l, dhcpSlowRate, ours, keaServer, dnsmasqServer)
	if err != nil {
		return nil, err
	}
	usual, wait, err := b.atRate(ctx, l, dhcpRate, ours, keaServer)
	if err != nil {
		return nil, err
	}
	fast, _, err := b.atRate(ctx, l, dhcpFastRate, ours, keaServer)
	if err != nil {
		return nil, err
	}
	remark("dhcp-cpu: %d exchanges/s, dhcp-cpu-%d, dhcp-cpu-%d: as many; for %d s, %d bindings, load=%s", dhcpFastRate, dhcpRate, dhcpSlowRate, dhcpSeconds, dhcpBindings, load())
	return []result{
		against("dhcp-cpu", "us", fast[0], "kea", fast[1], goalDHCP),
		against("dhcp-cpu-2000", "us", usual[0], "kea", usual[1], goalDHCP),
		against("dhcp-cpu-500", "us", slow[0], "kea", slow[1], goalDHCP),
		against("dhcp-cpu-dnsmasq", "us", slow[0], "dnsmasq", slow[2], 1),
		against("dhcp-p99", "ms", wait[0].P99, "kea", wait[1].P99, 1),
	}, nil
}

// atRate loads servers in turns, and gives the medians of their CPU time an
// exchange, microseconds, and of the times that guests waited.
func (b *bench) atRate(ctx context.Context, l *lab.Lab, rate int, servers ...server) (cpu []float64, wait []tally, err error) {
	var p50, p99 []float64
	cpu, err = b.turns(ctx, l, servers, func(ctx context.Context) (int, error) {
		t, err := b.loadDHCP(ctx, l, rate, dhcpSeconds)
		p50, p99 = append(p50, t.P50), append(p99, t.P99)
		return t.Done, err
	})
	if err != nil {
		return nil, nil, err
	}
	for i, s := range servers {
		wait = append(wait, tally{P50: median(everyNth(p50, i, len(servers))), P99: median(everyNth(p99, i, len(servers)))})
		remark("dhcp-cpu: %s at %d exchanges/s: p50 %.2f ms, p99 %.2f ms", s.name, rate, wait[i].P50, wait[i].P99)
	}
	return cpu, wait, nil
}

// everyNth are the values of one server where some took turns.
func everyNth(all []float64, first, n int) (out []float64) {
	for i := first; i < len(all); i += n {
		out = append(out, all[i])
	}
	return out
}

// dhcpServers makes the wire, and the three servers of the first n guests.
func (b *bench) dhcpServers(ctx context.Context, n int) (l *lab.Lab, ours, keaServer, dnsmasqServer server, err error) {
	if l, err = b.wired(ctx); err != nil {
		return
	}
	c := guests(n)
	c.DNS = nil
	if ours, err = b.ours(l, c, b.leases()); err != nil {
		return
	}
	keaServer, err = kea(l, c, b.leases())
	return l, ours, keaServer, dnsmasq(l, c, b.leases()), err
}

// turns measures each server once a run, one after the other, and returns the
// medians of their CPU time per unit of work, microseconds.
func (b *bench) turns(ctx context.Context, l *lab.Lab, servers []server, load func(context.Context) (int, error)) ([]float64, error) {
	all := make([][]float64, len(servers))
	for range b.runs {
		for i, s := range servers {
			each, err := measured(ctx, l, s, load)
			if err != nil {
				return nil, err
			}
			progress("%s: %.1f us", s.name, float64(each.Nanoseconds())/1e3)
			all[i] = append(all[i], float64(each.Nanoseconds())/1e3)
		}
	}
	var medians []float64
	for _, a := range all {
		medians = append(medians, median(a))
	}
	return medians, nil
}

// loadDHCP runs the load in the client's namespace.
func (b *bench) loadDHCP(ctx context.Context, l *lab.Lab, rate int, seconds float64) (t tally, err error) {
	out, err := l.In(ctx, clientNS, pinned(clientCPU, b.self, "dhcp-load",
		"-guests", strconv.Itoa(dhcpBindings), "-rate", strconv.Itoa(rate), "-seconds", fmt.Sprint(seconds))...)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		return t, fmt.Errorf("read %q: %w", out, err)
	}
	progress("%d of %d exchanges done, p50 %.2f ms, p99 %.2f ms", t.Done, t.Begun, t.P50, t.P99)
	if t.Wrong > 0 {
		return t, fmt.Errorf("%d answers were wrong: %s", t.Wrong, t.Why)
	}
	return t, nil
}
