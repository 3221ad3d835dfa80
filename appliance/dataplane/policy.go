package dataplane

import (
	"fmt"
	"regexp"
)

// ChainPrefix begins the names of all chains of ours; nobody else's do.
const ChainPrefix = "SLUICE-"

// Our chains, and what they are hooked into. The order of the tables is that
// of a packet's way: raw is before connection tracking.
var (
	chainSource  = ChainID{"raw", ChainPrefix + "SOURCE"}
	chainInput   = ChainID{"filter", ChainPrefix + "INPUT"}
	chainForward = ChainID{"filter", ChainPrefix + "FORWARD"}
	chainSNAT    = ChainID{"nat", ChainPrefix + "SNAT"}
)

// Tables are the tables of iptables that we change, in the order in which they
// are: who may pass is right before anything is translated.
var Tables = []string{"raw", "filter", "nat"}

// builtins is the hooks. INPUT and FORWARD drop what nobody accepts.
func builtins() map[ChainID]Builtin {
	return map[ChainID]Builtin{
		{"raw", "PREROUTING"}:  {Target: chainSource.Chain, Jumps: 1},
		{"filter", "INPUT"}:    {Policy: "DROP", Target: chainInput.Chain, Jumps: 1},
		{"filter", "FORWARD"}:  {Policy: "DROP", Target: chainForward.Chain, Jumps: 1},
		{"nat", "POSTROUTING"}: {Target: chainSNAT.Chain, Jumps: 1},
	}
}

// Hooks lists the built-in chains that an observer reads, with the chain of
// ours that each should jump to.
func Hooks() map[ChainID]string {
	m := map[ChainID]string{}
	for id, b := range builtins() {
		m[id] = b.Target
	}
	return m
}

// chains are the rules as iptables-save prints them: they are compared as text.
func chains(w Want) map[ChainID][]string {
	return map[ChainID][]string{
		chainSource:  sourceRules(w),
		chainInput:   inputRules(w),
		chainForward: forwardRules(w.Nics),
		chainSNAT:    snatRules(w),
	}
}

// sourceRules: guests speak with addresses of their network only, and nobody
// else does. In raw, so that a forger does not even cost a conntrack entry.
func sourceRules(w Want) []string {
	var rules []string
	for _, n := range w.Nics {
		if !n.Guest || n.Public {
			continue
		}
		for _, p := range n.Subnets {
			rules = append(rules, fmt.Sprintf("-s %s -i %s -j RETURN", p.Masked(), n.Link))
		}
		// A DHCP client has no address yet (RFC 2131 section 4.1).
		rules = append(rules,
			fmt.Sprintf("-s 0.0.0.0/32 -i %s -p udp -m udp --sport 68 --dport 67 -j RETURN", n.Link),
			fmt.Sprintf("-i %s -j DROP", n.Link))
		for _, other := range w.Nics {
			if other.Guest {
				continue
			}
			for _, p := range n.Subnets {
				rules = append(rules, fmt.Sprintf("-s %s -i %s -j DROP", p.Masked(), other.Link))
			}
		}
	}
	return append(rules, managementRules(w)...)
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
				rules = append(rules, fmt.Sprintf("-d %s/32 -i %s -j RETURN", a.Prefix.Addr(), n.Link))
			}
		}
		rules = append(rules, fmt.Sprintf("-i %s -j DROP", n.Link))
	}
	return rules
}

const (
	clampMSS      = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
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

// forwardRules: what comes from outside gets in only if a mapping turned it to
// a guest, else anybody on the public network could use the router as its
// gateway to the guests. That a guest without a mapping leaves with its own
// address is prevented after translation, in the sluice table.
//
// Most packets are of connections that there are: little precedes their rule,
// and what tracking finds invalid is accepted by none. (A SYN may be an answer;
// a route can turn towards the management network at any time.)
func forwardRules(nics []Nic) []string {
	rules := []string{clampMSS}
	for _, n := range nics {
		if n.manages() {
			rules = append(rules, "-i "+n.Link+" -j DROP", "-o "+n.Link+" -j DROP")
		}
	}
	rules = append(rules, acceptAnswers)
	accept := func(from, to Nic, state string) {
		rules = append(rules, fmt.Sprintf("-i %s -o %s -m conntrack --ctstate %s -j ACCEPT", from.Link, to.Link, state))
	}
	for _, g := range nics {
		if !g.Guest || g.Public {
			continue
		}
		for _, n := range nics {
			switch {
			case n.leadsOut():
				accept(g, n, "NEW")
				accept(n, g, "DNAT")
			case n.Link == g.Link: // hairpin; neighbours speak directly
				accept(g, g, "DNAT")
			case n.Guest && !n.Public:
				accept(n, g, "NEW")
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
