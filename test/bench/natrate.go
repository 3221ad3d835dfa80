package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	// many mappings; the goals are about the last of them.
	many = 10_000
	// goalRate is of the rate with one mapping.
	goalRate = 0.95
	// A figure is the median of slices of it; those of all routers take turns.
	slice     = 200 * time.Millisecond
	turnsEach = 8 // times the runs
)

// eipRate measures new connections through EIPs: ours with one and with many,
// and lists and trees of iptables rules with as many.
func eipRate(ctx context.Context, b *bench) ([]result, error) {
	last := func(n int) func(k int) netip.AddrPort {
		return func(k int) netip.AddrPort { return netip.AddrPortFrom(vipOf(k, n-1), echoPort) }
	}
	return b.rates(ctx, "nat-eip-cps", []rated{
		{name: "one", to: last(1), content: func(k int) agentv1.Content { return mapped(k, 1, 0) }},
		{name: "many", to: last(many), content: func(k int) agentv1.Content { return mapped(k, many, 0) }},
		{name: "list", to: last(many), content: nothing, rules: func(k int) string { return ruleList(eipRules(k)) }},
		{name: "tree", to: last(many), content: nothing, rules: func(k int) string { return ruleTree(eipRules(k)) }},
	})
}

// forwardRate is the same for ports of one address.
func forwardRate(ctx context.Context, b *bench) ([]result, error) {
	last := func(n int) func(k int) netip.AddrPort {
		return func(k int) netip.AddrPort { return netip.AddrPortFrom(sharedVIP(k), forwardedPort(n-1)) }
	}
	return b.rates(ctx, "nat-pf-cps", []rated{
		{name: "one", to: last(1), content: func(k int) agentv1.Content { return mapped(k, 0, 1) }},
		{name: "many", to: last(many), content: func(k int) agentv1.Content { return mapped(k, 0, many) }},
		{name: "list", to: last(many), content: nothing, rules: func(k int) string { return ruleList(portRules(k)) }},
		{name: "tree", to: last(many), content: nothing, rules: func(k int) string { return ruleTree(portRules(k)) }},
	})
}

// rated is a router whose rate is measured: ours with a content, and with
// mappings by rules of iptables in the place of our own.
type rated struct {
	name    string
	to      func(k int) netip.AddrPort // of router k
	content func(k int) agentv1.Content
	rules   func(k int) string
}

// nothing is the policy alone.
func nothing(k int) agentv1.Content { return mapped(k, 0, 0) }

func (b *bench) rates(ctx context.Context, name string, all []rated) (rows []result, err error) {
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.name
	}
	s, err := b.newRack(ctx, names...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.accepting(ctx, b); err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := s.prepare(ctx, b, r); err != nil {
			return nil, fmt.Errorf("router %s: %w", r.name, err)
		}
	}
	rate, err := taken(b.runs*turnsEach, names, func(i int) (float64, error) {
		return b.connects(ctx, s.Lab, all[i].to(i+1), slice)
	})
	if err != nil {
		return nil, err
	}
	remark("%s: %d mappings, connections one way by %d at a time, slices of %s, load=%s", name, many, together, slice, load())
	return []result{
		atLeast(name, "/s", rate[1], "one", rate[0], goalRate),
		atLeast(name+"-list", "/s", rate[1], "iptables-list", rate[2], 1),
		atLeast(name+"-tree", "/s", rate[1], "iptables-tree", rate[3], 1),
	}, nil
}

// taken is the median figure of each of several, which take turns.
func taken(rounds int, names []string, measure func(i int) (float64, error)) ([]float64, error) {
	all, err := turns(rounds, names, measure)
	if err != nil {
		return nil, err
	}
	medians := make([]float64, len(all))
	for i := range all {
		medians[i] = median(all[i])
	}
	return medians, nil
}

// turns is the figures of each of several.
func turns(rounds int, names []string, measure func(i int) (float64, error)) ([][]float64, error) {
	all := make([][]float64, len(names))
	for range rounds {
		for i, name := range names {
			f, err := measure(i)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all[i] = append(all[i], f)
		}
	}
	for i, name := range names {
		progress("%s: %.0f", name, median(all[i]))
	}
	return all, nil
}

// prepare makes a router as it has to be.
func (s *rack) prepare(ctx context.Context, b *bench, r rated) error {
	k := s.number(r.name)
	if err := s.house(ctx, r.name, guestOf(k, many-1)); err != nil {
		return err
	}
	if err := s.ours(ctx, b, r.name, r.content(k)); err != nil {
		return err
	}
	if r.rules != nil {
		if err := s.restore(ctx, r.name, r.rules(k)); err != nil {
			return err
		}
	}
	// Connections that were reset are forgotten before they are too many.
	_, err := s.In(ctx, r.name, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
	return err
}

// dnat is a rule of iptables that sends what matches to a guest; those of one
// group have something in common that a tree can ask first.
type dnat struct{ group, match, to string }

func eipRules(k int) []dnat {
	rules := make([]dnat, many)
	for i := range rules {
		vip := vipOf(k, i)
		rules[i] = dnat{"-d " + netip.PrefixFrom(vip, 24).Masked().String(), "-d " + vip.String(), guestOf(k, i).String()}
	}
	return rules
}

func portRules(k int) []dnat {
	rules := make([]dnat, many)
	for i := range rules {
		at, first := "-d "+sharedVIP(k).String()+" -p tcp -m tcp --dport ", forwardedPort(i/100*100)
		rules[i] = dnat{fmt.Sprintf("%s%d:%d", at, first, first+99), fmt.Sprintf("%s%d", at, forwardedPort(i)), fmt.Sprintf("%s:%d", guestOf(k, i), echoPort)}
	}
	return rules
}

// ruleList is one chain with a rule a mapping, as kube-proxy's services are.
func ruleList(rules []dnat) string {
	var text strings.Builder
	text.WriteString("*nat\n:MAPPINGS - [0:0]\n-A PREROUTING -j MAPPINGS\n")
	for _, r := range rules {
		fmt.Fprintf(&text, "-A MAPPINGS %s -j DNAT --to-destination %s\n", r.match, r.to)
	}
	text.WriteString("COMMIT\n")
	return text.String()
}

// ruleTree asks for the group first: two short lists in the place of a long one.
func ruleTree(rules []dnat) string {
	var chains, jumps, leaves strings.Builder
	groups := map[string]string{}
	for _, r := range rules {
		chain, ok := groups[r.group]
		if !ok {
			chain = fmt.Sprintf("GROUP-%d", len(groups))
			groups[r.group] = chain
			fmt.Fprintf(&chains, ":%s - [0:0]\n", chain)
			fmt.Fprintf(&jumps, "-A PREROUTING %s -j %s\n", r.group, chain)
		}
		fmt.Fprintf(&leaves, "-A %s %s -j DNAT --to-destination %s\n", chain, r.match, r.to)
	}
	return "*nat\n" + chains.String() + jumps.String() + leaves.String() + "COMMIT\n"
}
