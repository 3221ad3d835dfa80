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
	dhcpRate     = 500  // exchanges a second
	dhcpFastRate = 2000 // more than dnsmasq keeps, less than Kea does
	dhcpSeconds  = 5
	goalDHCP     = 0.125 // of Kea's CPU time an exchange
)

// dhcpCPU measures the agent, Kea and dnsmasq in turns.
func dhcpCPU(ctx context.Context, b *bench) ([]result, error) {
	l, err := b.wired(ctx)
	if err != nil {
		return nil, err
	}
	c := guests(dhcpBindings)
	c.DNS = nil
	ours, err := b.ours(l, c, b.leases())
	if err != nil {
		return nil, err
	}
	keaServer, err := kea(l, c, b.leases())
	if err != nil {
		return nil, err
	}
	at := func(rate int, servers ...server) ([]float64, error) {
		return b.turns(ctx, l, servers, func(ctx context.Context) (int, error) { return b.loadDHCP(ctx, l, rate) })
	}
	slow, err := at(dhcpRate, ours, keaServer, dnsmasq(l, c, b.leases()))
	if err != nil {
		return nil, err
	}
	fast, err := at(dhcpFastRate, ours, keaServer)
	if err != nil {
		return nil, err
	}
	remark("dhcp-cpu: %d exchanges/s, dhcp-cpu-fast: %d; for %d s, %d bindings, load=%s", dhcpRate, dhcpFastRate, dhcpSeconds, dhcpBindings, load())
	return []result{
		against("dhcp-cpu", "us", slow[0], "kea", slow[1], goalDHCP),
		against("dhcp-cpu-dnsmasq", "us", slow[0], "dnsmasq", slow[2], 1),
		against("dhcp-cpu-fast", "us", fast[0], "kea", fast[1], goalDHCP),
	}, nil
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
func (b *bench) loadDHCP(ctx context.Context, l *lab.Lab, rate int) (int, error) {
	out, err := l.In(ctx, clientNS, pinned(clientCPU, b.self, "dhcp-load",
		"-guests", strconv.Itoa(dhcpBindings), "-rate", strconv.Itoa(rate), "-seconds", strconv.Itoa(dhcpSeconds))...)
	if err != nil {
		return 0, err
	}
	var t tally
	if err := json.Unmarshal([]byte(out), &t); err != nil {
		return 0, fmt.Errorf("read %q: %w", out, err)
	}
	progress("%d of %d exchanges done", t.Done, t.Begun)
	if t.Wrong > 0 {
		return 0, fmt.Errorf("%d answers were wrong: %s", t.Wrong, t.Why)
	}
	return t.Done, nil
}
