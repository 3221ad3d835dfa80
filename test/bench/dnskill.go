package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Gaps in the service while the agent is killed under load and started again, as
// the router's process 1 does at once.
const (
	dnsKills    = 10 // times the runs
	dnsKillRate = 5000
	goalDNSGap  = 0.5 // seconds, 99 % of the gaps
)

// dnsKillGap measures how long nobody answers after a kill -9.
func dnsKillGap(ctx context.Context, b *bench) ([]result, error) {
	l, c, queries, err := b.dnsSite(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := b.ours(l, c, resolves())
	if err != nil {
		return nil, err
	}
	if err := ours.start(ctx, l); err != nil {
		return nil, err
	}
	defer l.Stop(ours.name, 5*time.Second)
	const prober, loader = "dns-probe", "dns-load"
	if err := l.Start(ctx, clientNS, loader, pinned(clientCPU, "dnsperf", "-s", serverIP.String(), "-d", queries, "-l", "600", "-t", "1", "-Q", fmt.Sprint(dnsKillRate))...); err != nil {
		return nil, err
	}
	defer l.Stop(loader, time.Second)
	if err := l.Start(ctx, clientNS, prober, pinned(clientCPU, b.self, "dns-probe")...); err != nil {
		return nil, err
	}
	defer l.Stop(prober, time.Second)
	kills := dnsKills * b.runs
	for range kills {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		l.Kill(ours.name)
		if err := l.Start(ctx, serverNS, ours.name, pinned(serverCPU, ours.command...)...); err != nil {
			return nil, err
		}
	}
	time.Sleep(time.Second)
	if err := syscall.Kill(l.PID(prober), syscall.SIGINT); err != nil {
		return nil, fmt.Errorf("end the probe: %w", err)
	}
	for l.Running(prober) {
		time.Sleep(10 * time.Millisecond)
	}
	var seen probed
	if err := json.Unmarshal([]byte(l.Log(prober)), &seen); err != nil {
		return nil, fmt.Errorf("read the probe's %q: %w", l.Log(prober), err)
	}
	if seen.Wrong > 0 || len(seen.Gaps) < kills {
		return nil, fmt.Errorf("%d gaps after %d kills, %d wrong answers", len(seen.Gaps), kills, seen.Wrong)
	}
	slices.Sort(seen.Gaps) // the longest are the kills'
	longest := seen.Gaps[len(seen.Gaps)-kills:]
	p99 := longest[(kills*99+99)/100-1]
	remark("dns-kill-gap: %d kills under %d queries/s, median %.3f s, load=%s", kills, dnsKillRate, median(longest), load())
	return []result{bound("dns-kill-gap", "s", p99, goalDNSGap)}, nil
}

// probed is what a probe saw: the time between two answers, in seconds, where
// it was longer than some probes, and the answers that were not the right one.
type probed struct {
	Gaps  []float64
	Wrong int
}

// probeEvery is the time between probes; a gap is longer than some of them.
const (
	probeEvery = 2 * time.Millisecond
	leastGap   = 5 * probeEvery
)

// dnsProbeMain asks for one name all the time until it is interrupted.
func dnsProbeMain(args []string) error {
	if err := flag.NewFlagSet("dns-probe", flag.ContinueOnError).Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := guests(1).DNS[0]
	q := new(dns.Msg)
	q.SetQuestion(c.Records[0].Name+"."+c.Domain+".", dns.TypeA)
	pkt, err := q.Pack()
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp4", serverIP.String()+":53")
	if err != nil {
		return err
	}
	defer conn.Close()
	var seen probed
	last := time.Now()
	for buf := make([]byte, 512); ctx.Err() == nil; {
		_, _ = conn.Write(pkt) // nobody there is an error, now and then
		if err := conn.SetReadDeadline(time.Now().Add(probeEvery)); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if err != nil {
			time.Sleep(probeEvery / 2) // refused: at once
			continue
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != c.Records[0].IP.String() {
			seen.Wrong++
		}
		if gap := time.Since(last); gap > leastGap {
			seen.Gaps = append(seen.Gaps, gap.Seconds())
		}
		last = time.Now()
		time.Sleep(probeEvery)
	}
	return json.NewEncoder(os.Stdout).Encode(seen)
}
