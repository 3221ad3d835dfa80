package dataplane

import "fmt"

// A link with very many addresses is slow: for each one that comes, or goes, the
// kernel walks over all the others (net/ipv4/devinet.c, __inet_insert_ifa;
// net/ipv4/fib_semantics.c, fib_sync_up). So beyond manyAddresses the single
// addresses of the way out are routes to the router itself, whose cost does not
// grow.
//
// What is lost with that is which nic an address is on: the kernel then answers
// ARP on this one for any address of the router (arp_ignore), but for those of
// other nics, whose questions the chain answers drops. With several ways out
// there is more to tell apart than such a chain should, and addresses stay what
// they are.

// manyAddresses is where the walk begins to be felt: 20 us an address.
const manyAddresses = 1000

var chainAnswers = ChainID{TableName, "answers"}

// singles are the link that alone leads out, if it has a subnet's address to
// speak with, and how many single addresses are to be on it.
type singles struct {
	link string
	n    int
}

func (w Want) singles() (s singles) {
	for _, nic := range w.Nics {
		if nic.leadsOut() {
			s.link = nic.Link
		}
	}
	subnet := false
	for _, a := range w.Addresses {
		switch {
		case a.Link != s.link:
		case a.Prefix.IsSingleIP():
			s.n++
		default:
			subnet = true
		}
	}
	if !subnet || hasWays(w.Nics) {
		return singles{}
	}
	return s
}

// routed is the link whose single addresses are routes; "" for none.
func (s singles) routed() string {
	if s.n > manyAddresses {
		return s.link
	}
	return ""
}

// on is where an address is; those of the link routed are routes.
func (a Address) on(routed string) LinkAddress {
	return LinkAddress{a.Link, a.Prefix, a.Link == routed && a.Prefix.IsSingleIP()}
}

// renderRouted has the kernel answer for addresses that are routes, and for none
// of another nic.
func renderRouted(s State, w Want, link string) {
	s.Sysctls[confKey(link, keyIgnore)] = "0"
	s.Sysctls[confKey("all", keyIgnore)] = "0" // the higher one counts
	var rules []string
	for _, a := range w.Addresses {
		if a.Link != link {
			rules = append(rules, fmt.Sprintf("iifname %q arp daddr ip %s drop", link, a.Prefix.Addr()))
		}
	}
	s.Chains[chainAnswers] = rules
}
