package dataplane

import (
	"slices"
	"strings"
)

// A flowtable (net/netfilter/nf_flow_table_core.c) is the kernel's fast path:
// what it has of a connection is enough to translate a packet and send it on at
// the hook of the nic it came in on, before tracking, rules and routes. Here it
// has connections of general SNAT, and no others: those of mappings are counted
// by rules, a packet at a time.

// FlowtableName is its name. Among the chains of a State it is its nics, as nft
// prints them; the rest of it is always the same.
const FlowtableName = "fast"

var chainFast = ChainID{TableName, FlowtableName}

const devicesBegin, devicesEnd = "devices = { ", " }"

// FlowtableText is a flowtable of these nics, which are sorted.
func FlowtableText(links []string) string {
	return devicesBegin + strings.Join(links, ", ") + devicesEnd
}

// FlowtableLinks are the nics of a FlowtableText; ok is false of other texts.
func FlowtableLinks(text string) (links []string, ok bool) {
	list, begins := strings.CutPrefix(text, devicesBegin)
	list, ends := strings.CutSuffix(list, devicesEnd)
	return strings.Split(list, ", "), begins && ends
}

// passedAnswered is passedSNAT of a connection that is worth its place in the
// flowtable: one of TCP that is established, or one of UDP that was answered
// and has lasted for two seconds (the kernel's own measure of a stream). So
// neither a question to a name server nor a flood of packets with ever new
// ports makes an entry.
const passedAnswered = "ct status assured,confirmed,snat / assured,confirmed,snat"

// fastLinks are the nics between which general SNAT works; none where there is
// nothing to be made faster.
func (w Want) fastLinks() []string {
	var guests, out []string
	for _, n := range w.Nics {
		switch {
		case n.leadsOut():
			out = append(out, n.Link)
		case n.Guest && !n.Public:
			guests = append(guests, n.Link)
		}
	}
	if !w.Flowtables || len(w.SNAT) == 0 || len(guests) == 0 || len(out) == 0 {
		return nil
	}
	links := slices.Concat(guests, out)
	slices.Sort(links)
	return links
}

// renderFlowtable adds the flowtable, and the rule that puts connections in.
func renderFlowtable(chains map[ChainID][]string, w Want) {
	links := w.fastLinks()
	if len(links) == 0 {
		return
	}
	chains[chainFast] = []string{FlowtableText(links)}
	rules := chains[chainForward]
	at := slices.IndexFunc(rules, func(r string) bool { return strings.HasSuffix(r, " "+passedSNAT+" accept") })
	mark := strings.TrimSuffix(rules[at], " "+passedSNAT+" accept")
	// What cannot be put in ends the rule, and meets the next.
	chains[chainForward] = slices.Insert(rules, at, mark+" "+passedAnswered+" flow add @"+chainFast.Chain+" accept")
}

// replaceFlowtable has the flowtable replaced, where it changes, and not
// changed in place: a nic that is gone has taken itself out of it, and cannot be
// taken out again. A rule that speaks of it goes and comes with it.
func (s *SetMappings) replaceFlowtable(have, want State) {
	is, exists := have.Chains[chainFast]
	to, wanted := want.Chains[chainFast]
	if s.Rebuild || !exists || wanted && slices.Equal(is, to) {
		return
	}
	if wanted {
		s.Gone = append(s.Gone, chainFast.Chain)
	}
	s.Chains[chainForward.Chain] = want.Chains[chainForward]
}

// Offloads implements Applier.
func (p *Plane) Offloads() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.have.Chains[chainFast]) > 0
}
