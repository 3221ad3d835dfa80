package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	goalApply     = 1.0   // seconds
	goalApplyRSS  = 100   // 10^6 bytes, at the largest
	goalChange    = 0.010 // seconds, p99
	changes       = 100
	changesWithin = 20 * time.Second
	oneByOne      = 30 // rules added by one process each
)

// applyAll pushes a large spec to an agent that has none yet.
func applyAll(ctx context.Context, b *bench) (rows []result, err error) {
	var took, most, now []float64
	for range b.runs {
		t, rss, peak, err := b.applyOnce(ctx, many)
		if err != nil {
			return nil, err
		}
		took, now, most = append(took, t.Seconds()), append(now, rss), append(most, peak)
	}
	each, err := b.ruleByRule(ctx)
	if err != nil {
		return nil, err
	}
	rules := 3 * many // an EIP has two
	remark("nat-apply: resident afterwards %.1f MB; %d iptables calls among %d rules took %.1f ms each, times %d rules (an EIP has two), load=%s",
		median(now), oneByOne, many, each*1e3, rules, load())
	memory := bound("nat-apply-rss", "MB", median(most), goalApplyRSS)
	return []result{
		bound("nat-apply", "s", median(took), goalApply),
		against("nat-apply-by-rule", "s", median(took), "iptables-calls", each*float64(rules), 1),
		memory,
	}, nil
}

// applyOnce takes a new router from nothing to n EIPs and n forwardings.
func (b *bench) applyOnce(ctx context.Context, n int) (took time.Duration, rss, peak float64, err error) {
	err = b.withManaged(ctx, func(m *managed) error {
		p, err := m.spec(mapped(m.k, n, n))
		if err != nil {
			return err
		}
		if took, err = m.put(ctx, p); err != nil {
			return err
		}
		progress("%d + %d mappings from nothing: %s", n, n, took)
		rss, peak, err = m.memory()
		return err
	})
	return took, rss, peak, err
}

// bucketsFile is how many buckets the connection table has, which all namespaces
// of a machine share. A machine of more than 4 GiB has 262,144, and reading an
// empty table takes 11 ms then; a router of 192 MiB has about 1,500.
const (
	bucketsFile   = "/proc/sys/net/netfilter/nf_conntrack_buckets"
	bucketsAtMost = 16384
)

// likeRouters gives the machine's connection table no more buckets than that of
// a large router has, until restore.
func likeRouters() (restore func() error, err error) {
	was, err := os.ReadFile(bucketsFile)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(was))); err != nil || n <= bucketsAtMost {
		return func() error { return nil }, err
	}
	return func() error { return os.WriteFile(bucketsFile, was, 0o644) }, os.WriteFile(bucketsFile, []byte(strconv.Itoa(bucketsAtMost)), 0o644)
}

// withManaged makes one router, and removes it after f.
func (b *bench) withManaged(ctx context.Context, f func(*managed) error) (err error) {
	restore, err := likeRouters()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	s, err := b.newRack(ctx, "router")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	m, err := s.manage(ctx, b, "router")
	if err != nil {
		return err
	}
	return f(m)
}

// ruleByRule is how long one rule takes in seconds, as agents have it that call
// iptables for each, with half of all rules there already.
func (b *bench) ruleByRule(ctx context.Context) (each float64, err error) {
	s, err := b.newRack(ctx, "calls")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.restore(ctx, "calls", ruleList(eipRules(1))); err != nil {
		return 0, err
	}
	var script strings.Builder // a shell costs no more than an interpreter's fork
	for i := range oneByOne {
		fmt.Fprintf(&script, "iptables-nft -w -t nat -A MAPPINGS -d %s -j DNAT --to-destination %s\n", vipOf(1, many+i), guestOf(1, many+i))
	}
	began := time.Now()
	if _, err := s.In(ctx, "calls", "sh", "-ec", script.String()); err != nil {
		return 0, err
	}
	return time.Since(began).Seconds() / oneByOne, nil
}

// changeOne moves one EIP after the other to another guest: as a change, the way
// an orchestrator sends it, and with the whole spec each time.
func changeOne(ctx context.Context, b *bench) (rows []result, err error) {
	var took, whole []time.Duration
	var cpu, wholeCPU time.Duration
	err = b.withManaged(ctx, func(m *managed) (err error) {
		if took, cpu, err = m.changes(ctx, many, b.runs*changes, m.change); err != nil {
			return err
		}
		whole, wholeCPU, err = m.changes(ctx, many, changes, func(_, is agentv1.Content) (prepared, error) { return m.spec(is) })
		return err
	})
	if err != nil {
		return nil, err
	}
	remark("nat-change: %d changes among %d + %d mappings, p50 %s, p99 %s, most %s, the agent's CPU time each %s, load=%s",
		len(took), many, many, percentile(took, 50), percentile(took, 99), percentile(took, 100), cpu, load())
	remark("nat-change-whole: the same with the whole spec, %d times, p50 %s, p99 %s, most %s, the agent's CPU time each %s",
		len(whole), percentile(whole, 50), percentile(whole, 99), percentile(whole, 100), wholeCPU)
	return []result{
		bound("nat-change", "s", percentile(took, 99).Seconds(), goalChange),
		against("nat-change-whole", "s", percentile(took, 50).Seconds(), "whole-spec", percentile(whole, 50).Seconds(), 1),
	}, nil
}

// changes applies n EIPs and n forwardings and then moves up to so many EIPs,
// in the time there is. cpu is what one costs the agent.
func (m *managed) changes(ctx context.Context, n, count int, send func(was, is agentv1.Content) (prepared, error)) (took []time.Duration, cpu time.Duration, err error) {
	c := mapped(m.k, n, n)
	p, err := m.spec(c)
	if err != nil {
		return nil, 0, err
	}
	if _, err := m.put(ctx, p); err != nil {
		return nil, 0, err
	}
	var all []prepared // beforehand: what it costs to make them is not to be measured
	for was := c; len(all) < count; {
		is := moved(c, m.k, len(all))
		if p, err = send(was, is); err != nil {
			return nil, 0, err
		}
		all, was = append(all, p), is
	}
	runtime.GC()
	before, err := cpuTime(m.rack.PID(m.name))
	if err != nil {
		return nil, 0, err
	}
	for spent := time.Duration(0); len(took) < len(all) && spent < changesWithin; {
		t, err := m.put(ctx, all[len(took)])
		if err != nil {
			return nil, 0, err
		}
		took, spent = append(took, t), spent+t
	}
	m.generation = all[len(took)-1].generation
	after, err := cpuTime(m.rack.PID(m.name))
	return took, (after - before) / time.Duration(len(took)), err
}

// moved is c with EIP i (of those there are but the last, which loads go
// through) at a guest that no other has.
func moved(c agentv1.Content, k, i int) agentv1.Content {
	c.EIPs = slices.Clone(c.EIPs)
	c.EIPs[i%(len(c.EIPs)-1)].GuestIP = elsewhere(k, i)
	return c
}

// elsewhere is a guest without mappings.
func elsewhere(k, i int) netip.Addr { return guestOf(k, 60_000+i%1000) }

// moves are n EIPs and n forwardings, and changes of them: with each an EIP and
// a forwarding move to guests that no others have, and those before move back.
func (m *managed) moves(n, count int) (first prepared, changes []prepared, err error) {
	c := mapped(m.k, n, n)
	if first, err = m.spec(c); err != nil {
		return first, nil, err
	}
	was, digest := agentv1.Change{}, m.digest(c)
	for i := range count {
		at := i % (n - 1) // the last are for loads
		is := agentv1.Change{
			EIPs:            agentv1.Edit[agentv1.EIP]{Remove: []agentv1.EIP{c.EIPs[at]}, Add: []agentv1.EIP{c.EIPs[at]}},
			PortForwardings: agentv1.Edit[agentv1.PortForwarding]{Remove: []agentv1.PortForwarding{c.PortForwardings[at]}, Add: []agentv1.PortForwarding{c.PortForwardings[at]}},
		}
		is.EIPs.Add[0].GuestIP, is.PortForwardings.Add[0].GuestIP = elsewhere(m.k, i), elsewhere(m.k, i)
		var both agentv1.Sum
		both.Add(was.Reversed())
		both.Add(is)
		p, next, err := m.step(digest, both.Change())
		if err != nil {
			return first, nil, err
		}
		changes, was, digest = append(changes, p), is, next
	}
	return first, changes, nil
}

// percentile is the smallest value that p percent of all are not above.
func percentile(all []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return s[max(0, (len(s)*p+99)/100-1)]
}
