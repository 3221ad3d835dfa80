package dataplane

import (
	"fmt"
	"regexp"
	"slices"
)

// ChainPrefix begins the names of all chains of ours; nobody else's do.
const ChainPrefix = "SLUICE-"

// TableName is the nftables table of ours. In a ChainID it stands for its base
// chains whose rules depend on the nics.
const TableName = "sluice"

// Our chains. Those of iptables are hooked into built-in ones; the others are
// hooked themselves.
var (
	chainInput   = ChainID{"filter", ChainPrefix + "INPUT"}
	chainSNAT    = ChainID{"nat", ChainPrefix + "SNAT"}
	chainSource  = ChainID{TableName, "source"}
	chainForward = ChainID{TableName, "forward"}
)

// Tables are the tables of iptables that we change, in order; raw only to take
// away what earlier versions had there.
var Tables = []string{"raw", "filter", "nat"}

// builtins is the hooks. INPUT drops what nobody accepts. FORWARD is left to
// others, as is raw: our rules for what passes are in the sluice table, and a
// chain of iptables that says nothing costs every packet nearly as much as one
// that does. Earlier versions had chains in both.
func builtins() map[ChainID]Builtin {
	return map[ChainID]Builtin{
		{"raw", "PREROUTING"}:  {Target: ChainPrefix + "SOURCE"},
		{"filter", "INPUT"}:    {Policy: "DROP", Target: chainInput.Chain, Jumps: 1},
		{"filter", "FORWARD"}:  {Policy: "ACCEPT", Target: ChainPrefix + "FORWARD"},
		{"nat", "POSTROUTING"}: {Target: chainSNAT.Chain, Jumps: 1},
	}
}

// Hooks lists the built-in chains that an observer reads, with the chain of
// ours that each should jump to, or must no longer.
func Hooks() map[ChainID]string {
	m := map[ChainID]string{}
	for id, b := range builtins() {
		m[id] = b.Target
	}
	return m
}

// chains are the rules as iptables-save prints them, and in the sluice table as
// nft does: they are compared as text.
func chains(w Want) map[ChainID][]string {
	all := map[ChainID][]string{
		chainInput:   inputRules(w),
		chainSNAT:    snatRules(w),
		chainSource:  sourceRules(w),
		chainForward: forwardRules(w.Nics),
	}
	renderFlowtable(all, w)
	return all
}

// sourceRules: guests speak with addresses of their network only, and nobody
// else does. Before tracking, so that a forger neither costs an entry nor
// touches one of others.
//
// What an address costs to compare is less than what a nic's name does: a
// packet from outside is asked for its nic once for each guest network and the
// management network.
func sourceRules(w Want) []string {
	var first, rest []string
	for _, n := range w.Nics {
		if !n.Guest || n.Public {
			continue
		}
		for _, p := range n.Subnets {
			first = append(first,
				fmt.Sprintf("ip saddr %s iifname %q accept", p.Masked(), n.Link),
				fmt.Sprintf("ip saddr %s iifname != \"lo\" drop", p.Masked()))
		}
		// A DHCP client has no address yet (RFC 2131 section 4.1).
		rest = append(rest,
			fmt.Sprintf("ip saddr 0.0.0.0 iifname %q udp sport 68 udp dport 67 accept", n.Link),
			fmt.Sprintf("iifname %q drop", n.Link))
	}
	return slices.Concat(first, rest, managementRules(w))
}

// managementRules: whoever is on the management network speaks with the
// router's address there, and finds none of its others by routing at it.
func managementRules(w Want) []string {
	var rules []string
	for _, n := range w.Nics {
		if !n.manages() {
			continue
		}
		for _, a := range w.Addresses {
			if a.Link == n.Link {
				rules = append(rules, fmt.Sprintf("ip daddr %s iifname %q accept", a.Prefix.Addr(), n.Link))
			}
		}
		rules = append(rules, fmt.Sprintf("iifname %q drop", n.Link))
	}
	return rules
}

const (
	dropInvalid   = "-m conntrack --ctstate INVALID -j DROP"
	acceptAnswers = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
)

func inputRules(w Want) []string {
	rules := append([]string{"-i lo -j ACCEPT"}, ownSideRules(w)...)
	rules = append(rules, dropInvalid, acceptAnswers, "-p icmp -m icmp --icmp-type 8 -j ACCEPT")
	for _, in := range w.Inputs {
		rules = append(rules, in.rule())
	}
	return rules
}

// ownSideRules: management and guest addresses of the router are there for
// their own side only. A public one is for guests, too.
func ownSideRules(w Want) []string {
	var rules []string
	for _, n := range w.Nics {
		if n.Public {
			continue
		}
		for _, a := range w.Addresses {
			if a.Link == n.Link {
				rules = append(rules, fmt.Sprintf("-d %s/32 ! -i %s -j DROP", a.Prefix.Addr(), n.Link))
			}
		}
	}
	return rules
}

var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (in Input) rule() string {
	r := ""
	if in.Link != "" {
		r = "-i " + in.Link + " "
	}
	r += "-p " + in.Protocol
	if in.Protocol != "icmp" {
		r += fmt.Sprintf(" -m %s --dport %d", in.Protocol, in.Port)
	}
	if plainName.MatchString(in.Owner) { // anything else would need quoting
		r += " -m comment --comment " + in.Owner
	}
	return r + " -j ACCEPT"
}

// Conditions of the sluice table, as nft prints them.
const (
	// A SYN may be an answer: both directions.
	clampMSS = "tcp flags syn / syn,rst tcp option maxseg size set rt mtu"
	// A connection is confirmed once its first packet has left, so that it has
	// passed these rules; and translated ones are all that pass to and from
	// public nics.
	passedSNAT  = "ct status confirmed,snat / confirmed,snat"
	passedDNAT  = "ct status confirmed,dnat / confirmed,dnat"
	unconfirmed = "ct status ! confirmed"
	unmapped    = "ct mark 0x00000000"
	// The same where a mark also says by which nic.
	unmappedWay = "ct mark & 0x000000ff == 0x00000000"
)

// forwardRules: what comes from outside gets in only if a mapping turned it to
// a guest, else anybody on the public network could use the router as its
// gateway to the guests. A guest without a mapping gets no further than
// translation, in the same table.
//
// Most packets are of connections that there are, and most of those under
// general SNAT: little precedes their rule. It asks for nothing that a packet
// of an unanswered stream, which tracking calls new, does not have. What
// tracking finds invalid has no connection, and is accepted by none. (A route
// can turn towards the management network at any time.)
func forwardRules(nics []Nic) []string {
	var rules []string
	for _, n := range nics {
		if n.manages() {
			rules = append(rules, fmt.Sprintf("oifname %q drop", n.Link))
		}
	}
	mark := unmapped
	if hasWays(nics) {
		mark = unmappedWay
	}
	rules = append(rules, clampMSS, mark+" "+passedSNAT+" accept", "jump counting", passedSNAT+" accept", passedDNAT+" accept")
	accept := func(from, to Nic, what string) {
		rules = append(rules, fmt.Sprintf("iifname %q oifname %q %s accept", from.Link, to.Link, what))
	}
	for _, g := range nics {
		if !g.Guest || g.Public {
			continue
		}
		for _, n := range nics {
			switch {
			case n.leadsOut():
				accept(g, n, unconfirmed)
				accept(n, g, "ct status dnat")
			case n.Link == g.Link: // hairpin; neighbours speak directly
				accept(g, g, "ct status dnat")
			case n.Guest && !n.Public:
				accept(n, g, "ct state established,related,new")
			}
		}
	}
	return rules
}

// snatRules are met after the EIPs' (the sluice table hooks in earlier, and
// the first translation stands). Hairpin first: a guest that reached another,
// or itself, by a public address must get the answer through us.
func snatRules(w Want) []string {
	var rules []string
	for _, to := range w.Nics {
		if !to.Guest || to.Public {
			continue
		}
		for _, from := range w.Nics {
			if !from.Guest || from.Public {
				continue
			}
			for _, p := range from.Subnets {
				rules = append(rules, fmt.Sprintf("-s %s -o %s -m conntrack --ctstate DNAT -j MASQUERADE --random-fully", p.Masked(), to.Link))
			}
		}
	}
	for _, s := range w.SNAT { // longest prefix first
		rules = append(rules, fmt.Sprintf("-s %s ! -d 224.0.0.0/4 -o %s -j SNAT --to-source %s --random-fully", s.Source.Masked(), s.Link, s.Address))
	}
	return rules
}
