package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Where several nics lead out, each is a way with a number: connections have it
// in their mark, and packets with it in theirs are routed by a table of their
// own. With one such nic there is none of this, and no packet pays for it.

// A way's mark is its number in the second byte; the first one says what mapped
// a connection.
const (
	wayShift = 8
	wayMask  = 0xff << wayShift
	// FirstWayTable and LastWayTable are the routing tables of ways, and the
	// priorities of the rules that lead there.
	FirstWayTable, LastWayTable = 8301, 8555
)

var chainVia = ChainID{TableName, "via"}

type way struct {
	Nic
	number uint32
}

func (w way) mark() uint32 { return w.number << wayShift }
func (w way) table() int   { return FirstWayTable - 1 + int(w.number) }
func (w way) rule() Rule {
	return Rule{Priority: w.table(), Mark: w.mark(), Mask: wayMask, Table: w.table()}
}

// ways are the nics that lead out, if there are several. A number is that in
// the name (eth2: 2), so that a nic keeps it while others come and go, and its
// connections with it; else the lowest that is free.
func (w Want) ways() []way {
	var ways []way
	taken := map[uint32]bool{}
	for _, n := range w.Nics {
		if !n.leadsOut() {
			continue
		}
		digits := n.Link[len(strings.TrimRight(n.Link, "0123456789")):]
		number, err := strconv.ParseUint(digits, 10, 8)
		if err != nil || taken[uint32(number)] {
			number = 0
		}
		taken[uint32(number)] = true
		ways = append(ways, way{n, uint32(number)})
	}
	if len(ways) < 2 {
		return nil
	}
	for i := range ways {
		for free := uint32(1); ways[i].number == 0; free++ {
			if !taken[free] {
				ways[i].number, taken[free] = free, true
			}
		}
	}
	return ways
}

// viaRules decide by which nic a connection leaves, with its first packet: by
// the one it came in on, or that of the guest's EIP, or of its SNAT.
func viaRules(w Want, ways []way) []string {
	rules := []string{fmt.Sprintf("ct mark & 0x%08x != 0x00000000 meta mark set ct mark & 0x%08x accept", wayMask, wayMask)}
	set := func(condition string, mark uint32) {
		rules = append(rules, fmt.Sprintf("%s meta mark set 0x%08x ct mark set 0x%08x accept", condition, mark, mark))
	}
	for _, x := range ways {
		set(fmt.Sprintf("iifname %q", x.Link), x.mark())
	}
	rules = append(rules, "meta mark set ip saddr map @ways ct mark set meta mark accept")
	for _, s := range w.SNAT { // longest prefix first
		for _, x := range ways {
			if x.Link == s.Link {
				set("ip saddr "+strings.TrimSuffix(s.Source.Masked().String(), "/32"), x.mark())
			}
		}
	}
	return rules
}

// route adds a way's table: its gateway, and all networks of the router but
// those of other ways.
func (x way) route(s State, w Want) {
	if x.NextHop.IsValid() {
		s.Routes[Route{Table: x.table(), Link: x.Link, Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: x.NextHop}] = RouteState{Owner: x.Owner}
	}
	for _, n := range w.Nics {
		if n.leadsOut() && n.Link != x.Link {
			continue
		}
		for _, r := range n.Routes {
			s.Routes[Route{Table: x.table(), Link: n.Link, Prefix: r.Prefix, Gateway: r.Gateway}] = RouteState{Owner: n.Owner}
		}
		for _, a := range w.Addresses {
			if a.Link == n.Link && !a.Prefix.IsSingleIP() {
				s.Routes[Route{Table: x.table(), Link: a.Link, Prefix: a.Prefix.Masked()}] = RouteState{Owner: a.Owner, Source: a.Prefix.Addr()}
			}
		}
	}
	s.Rules[x.rule()] = RuleState{Owner: x.Owner}
}

// renderWays adds what several ways need.
func renderWays(s State, w Want) {
	ways := w.ways()
	if len(ways) == 0 {
		return
	}
	s.Chains[chainVia] = viaRules(w, ways)
	links := map[netip.Addr]string{}
	for _, a := range w.Addresses {
		links[a.Prefix.Addr()] = a.Link
	}
	marks := map[string]uint32{}
	for _, x := range ways {
		x.route(s, w)
		marks[x.Link] = x.mark()
	}
	for guest, vip := range s.Mappings.Outbound {
		if mark, ok := marks[links[vip]]; ok {
			s.Mappings.Ways[guest] = mark
		}
	}
}

// diffRules: who is led to a table comes after what is in it, and goes before.
func diffRules(have, want State) (gone, added []Step) {
	for _, r := range sortedKeys(have.Rules, compareRules) {
		if _, ok := want.Rules[r]; !ok && have.Rules[r].Ours {
			gone = append(gone, DelRule{r, ownerPlane})
		}
	}
	for _, r := range sortedKeys(want.Rules, compareRules) {
		if _, ok := have.Rules[r]; !ok {
			added = append(added, AddRule{r, want.Rules[r].Owner})
		}
	}
	return gone, added
}

func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.Mask, b.Mask), cmp.Compare(a.Table, b.Table))
}

// String prints a rule as iproute2 does.
func (r Rule) String() string {
	return fmt.Sprintf("%d: from all fwmark %#x/%#x lookup %d", r.Priority, r.Mark, r.Mask, r.Table)
}

// hasWays is whether several nics lead out.
func hasWays(nics []Nic) bool {
	first := slices.IndexFunc(nics, Nic.leadsOut)
	return first >= 0 && slices.ContainsFunc(nics[first+1:], Nic.leadsOut)
}
