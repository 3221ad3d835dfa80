package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Diff is the steps from have to want, in the order in which nothing is open
// that should not be: forwarding goes off first and on last; who may pass
// changes together with the mappings, and the rest of the policy before
// addresses. Whether the router answers ARP for all of its addresses goes off
// before the rules that limit it, and on after them. A link goes up with its
// addresses: while it is up, each one more costs the kernel a walk over all
// their routes.
func Diff(have, want State) []Step {
	closing, opening := diffForwarding(have, want)
	silent, sysctls := diffSysctls(have, want)
	steps := slices.Concat(closing, silent, diffMappings(have, want), diffPolicy(have, want),
		sysctls, diffAddresses(have, want), diffLinks(have, want))
	gone, added := diffRules(have, want)
	return slices.Concat(steps, gone, diffRoutes(have, want), added, opening)
}

// diffForwarding is the switch itself and what the kernel resets with it.
func diffForwarding(have, want State) (closing, opening []Step) {
	is, known := have.Sysctls[keyForward]
	to := want.Sysctls[keyForward]
	steps := forwardingOfLinks(have, want, is)
	if known && is != to {
		// The kernel sets all links' forwarding with it, and redirects to the
		// opposite (inet_forward_change).
		steps = append([]Step{SetSysctl{keyForward, to, ownerPlane}}, forwardingOfLinks(have, want, to)...)
		if to == "0" {
			steps = append(steps, SetSysctl{keyRedirects, want.Sysctls[keyRedirects], ownerPlane})
		}
	}
	if to == "0" {
		return steps, nil
	}
	return nil, steps
}

// forwardingOfLinks corrects links; base is what the switch has made of them,
// when it is about to be moved.
func forwardingOfLinks(have, want State, base string) []Step {
	moved := have.Sysctls[keyForward] != base
	var steps []Step
	for _, key := range sortedKeys(want.Sysctls, cmp.Compare[string]) {
		if !strings.HasSuffix(key, "/forwarding") || !strings.HasPrefix(key, "net/ipv4/") {
			continue
		}
		is, known := have.Sysctls[key]
		if moved {
			is = base
		}
		if to := want.Sysctls[key]; known && is != to {
			steps = append(steps, SetSysctl{key, to, ownerPlane})
		}
	}
	return steps
}

// diffSysctls are the values that close something, and the others.
func diffSysctls(have, want State) (closing, steps []Step) {
	for _, key := range sortedKeys(want.Sysctls, cmp.Compare[string]) {
		if key == keyForward || strings.HasPrefix(key, "net/ipv4/") && strings.HasSuffix(key, "/forwarding") {
			continue
		}
		// A key that the kernel does not have switches on nothing.
		is, known := have.Sysctls[key]
		switch to := want.Sysctls[key]; {
		case !known || is == to:
		case to == "1" && strings.HasSuffix(key, "/"+keyIgnore):
			closing = append(closing, SetSysctl{key, to, ownerPlane})
		default:
			steps = append(steps, SetSysctl{key, to, ownerPlane})
		}
	}
	return closing, steps
}

func diffPolicy(have, want State) []Step {
	var change SetPolicy
	for _, table := range Tables {
		var declared, rules []string
		for _, id := range sortedKeys(want.Chains, ChainID.Compare) {
			is, exists := have.Chains[id]
			if id.Table != table || exists && slices.Equal(is, want.Chains[id]) {
				continue
			}
			declared = append(declared, fmt.Sprintf(":%s - [0:0]", id.Chain)) // empties it, too
			for _, r := range want.Chains[id] {
				rules = append(rules, "-A "+id.Chain+" "+r)
			}
		}
		hooks, policies := diffHooks(table, have, want)
		lines := slices.Concat(policies, declared, rules, hooks, diffGone(table, have, want))
		if len(lines) > 0 {
			change = append(change, TableChange{Table: table, Lines: lines})
		}
	}
	if len(change) == 0 {
		return nil
	}
	return []Step{change}
}

func diffHooks(table string, have, want State) (hooks, policies []string) {
	for _, id := range sortedKeys(want.Builtins, ChainID.Compare) {
		if id.Table != table {
			continue
		}
		is, to := have.Builtins[id], want.Builtins[id]
		absent := is.Policy == "" // nobody made the chain: nothing is dropped
		if to.Policy != "" && is.Policy != to.Policy && !(absent && to.Policy == "ACCEPT") {
			policies = append(policies, fmt.Sprintf(":%s %s [0:0]", id.Chain, to.Policy))
		}
		for range is.Jumps - to.Jumps {
			hooks = append(hooks, fmt.Sprintf("-D %s -j %s", id.Chain, to.Target))
		}
		if is.Jumps == 0 && to.Jumps > 0 {
			hooks = append(hooks, fmt.Sprintf("-I %s 1 -j %s", id.Chain, to.Target))
		}
	}
	return hooks, policies
}

// diffGone removes chains of ours that are not used any more.
func diffGone(table string, have, want State) []string {
	var flush, remove []string
	for _, id := range sortedKeys(have.Chains, ChainID.Compare) {
		if _, wanted := want.Chains[id]; id.Table == table && !wanted {
			flush = append(flush, "-F "+id.Chain)
			remove = append(remove, "-X "+id.Chain)
		}
	}
	return append(flush, remove...)
}

func diffMappings(have, want State) []Step {
	s := diffTable(have, want)
	if s.Rebuild {
		s.Add = want.Mappings
		return []Step{s}
	}
	h, w := have.Mappings, want.Mappings
	diffMap(h.Public, w.Public, s.Del.Public, s.Add.Public)
	diffMap(h.Guests, w.Guests, s.Del.Guests, s.Add.Guests)
	diffMap(h.Inbound, w.Inbound, s.Del.Inbound, s.Add.Inbound)
	diffMap(h.Outbound, w.Outbound, s.Del.Outbound, s.Add.Outbound)
	diffMap(h.Ways, w.Ways, s.Del.Ways, s.Add.Ways)
	diffMap(h.Forward, w.Forward, s.Del.Forward, s.Add.Forward)
	diffMap(h.Limited, w.Limited, s.Del.Limited, s.Add.Limited)
	diffMap(h.Grants, w.Grants, s.Del.Grants, s.Add.Grants)
	if s.empty() {
		return nil
	}
	return []Step{s}
}

// diffTable is the sluice table but for its elements.
func diffTable(have, want State) SetMappings {
	s := SetMappings{Rebuild: !have.Layout, Chains: map[string][]string{}, Del: NewElements(), Add: NewElements()}
	for id, rules := range want.Chains {
		if is, exists := have.Chains[id]; id.Table == TableName && (s.Rebuild || !exists || !slices.Equal(is, rules)) {
			s.Chains[id.Chain] = rules
		}
	}
	for _, id := range sortedKeys(have.Chains, ChainID.Compare) {
		if _, wanted := want.Chains[id]; id.Table == TableName && !wanted && !s.Rebuild {
			s.Gone = append(s.Gone, id.Chain)
		}
	}
	s.replaceFlowtable(have, want)
	return s
}

func diffMap[K, V comparable](have, want, del, add map[K]V) {
	for k, v := range have {
		if w, ok := want[k]; !ok || w != v {
			del[k] = v
		}
	}
	if len(del) == 0 && len(have) == len(want) {
		return // all there is is wanted, and no more is
	}
	for k, v := range want {
		if h, ok := have[k]; !ok || h != v {
			add[k] = v
		}
	}
}

func diffLinks(have, want State) []Step {
	var steps []Step
	for _, name := range sortedKeys(want.Links, cmp.Compare[string]) {
		is, exists := have.Links[name]
		to := want.Links[name]
		if !exists || !is.Up || to.MTU != 0 && is.MTU != to.MTU {
			steps = append(steps, SetLink{Link: name, MTU: to.MTU, By: "interfaces"})
		}
	}
	return steps
}

// diffAddresses adds before it removes, so that a changed one leaves no gap.
func diffAddresses(have, want State) []Step {
	var steps []Step
	missing := func(at LinkAddress) bool { _, ok := have.Addresses[at]; return !ok }
	for _, at := range sortedIf(want.Addresses, missing, compareAddresses) {
		steps = append(steps, AddAddress{at, want.Addresses[at].Owner})
	}
	gone := func(at LinkAddress) bool { _, ok := want.Addresses[at]; return !ok && have.Addresses[at].Ours }
	for _, at := range sortedIf(have.Addresses, gone, compareAddresses) {
		steps = append(steps, DelAddress{at, ownerPlane})
	}
	return steps
}

func compareAddresses(a, b LinkAddress) int {
	return cmp.Or(cmp.Compare(a.Link, b.Link), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		cmp.Compare(a.form(), b.form()))
}

// diffRoutes removes before it adds: a table has one default route only.
func diffRoutes(have, want State) []Step {
	var steps []Step
	for _, r := range sortedKeys(have.Routes, compareRoutes) {
		if _, ok := want.Routes[r]; !ok && have.Routes[r].Ours {
			steps = append(steps, DelRoute{r, ownerPlane})
		}
	}
	for _, r := range sortedKeys(want.Routes, compareRoutes) {
		to := want.Routes[r]
		if _, ok := have.Routes[r]; !ok && (!to.Source.IsValid() || have.carries(r, to.Source)) {
			steps = append(steps, AddRoute{r, to.Source, to.Owner})
		}
	}
	return steps
}

// carries is whether the address that a subnet's route belongs to is there and
// its link up; else the kernel makes the route together with them.
func (s State) carries(r Route, source netip.Addr) bool {
	_, ok := s.Addresses[LinkAddress{Link: r.Link, Prefix: netip.PrefixFrom(source, r.Prefix.Bits())}]
	return ok && s.Links[r.Link].Up
}

func compareRoutes(a, b Route) int {
	// Subnets first, for a gateway needs its own; then the longest prefix.
	return cmp.Or(cmp.Compare(gateways(a), gateways(b)), cmp.Compare(a.Table, b.Table), cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()), cmp.Compare(a.Link, b.Link), a.Prefix.Compare(b.Prefix), a.Gateway.Compare(b.Gateway))
}

func gateways(r Route) int {
	if r.Gateway.IsValid() {
		return 1
	}
	return 0
}

// guestsOf are the guest networks of a state, to recognize flows of networks
// that are no longer wanted.
func guestsOf(s State) map[netip.Prefix]struct{} {
	if !s.Layout {
		return nil
	}
	return s.Mappings.Guests
}
