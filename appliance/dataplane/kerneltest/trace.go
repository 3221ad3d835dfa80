package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Packet is the first one of a connection, as it comes in.
type Packet struct {
	In string
	// Protocol is "tcp" or "udp".
	Protocol string
	From, To netip.AddrPort
}

// Way is what becomes of a packet.
type Way struct {
	// Out is the link it leaves by; "" where it stays or is dropped, and "lo"
	// where the router itself gets it.
	Out string
	// Source is whom the receiver sees, and To who receives it; a port that
	// the kernel chooses is 0.
	Source netip.Addr
	To     netip.AddrPort
	// By is the rule, or the map's element, that decided.
	By string
}

// String is for tables of tests.
func (w Way) String() string {
	if w.Out == "" {
		return "dropped by " + w.By
	}
	return fmt.Sprintf("out %s from %s to %s by %s", w.Out, w.Source, w.To, w.By)
}

// Trace follows a packet through a state, hook by hook, as the kernel does
// with the rules and maps that it has.
func Trace(s dataplane.State, p Packet) Way {
	at := hook{Packet: p, states: []string{"NEW"}}
	drop := func(by string) Way { return Way{By: by} }
	if target, by := at.chain(s, dataplane.TableName, "source"); target == "DROP" {
		return drop(by)
	}
	mark := at.via(s)
	mapped := at.arrive(s.Mappings)
	if at.out = route(s, at.To.Addr(), mark); at.out == "lo" {
		if target, by := at.chain(s, "filter", "SLUICE-INPUT"); target != "ACCEPT" {
			return drop(by)
		} else {
			return Way{Out: "lo", Source: p.From.Addr(), To: at.To, By: by}
		}
	}
	if at.out == "" {
		return drop("no route")
	}
	target, by := at.chain(s, dataplane.TableName, "forward")
	if target != "ACCEPT" {
		return drop(by)
	}
	if mapped != "" {
		by = mapped
	}
	source, translated := at.depart(s)
	if translated != "" && mapped == "" {
		by = translated
	}
	_, public := s.Mappings.Public[at.out]
	for g := range s.Mappings.Guests {
		if public && g.Contains(source) {
			return drop("leaking")
		}
	}
	return Way{Out: at.out, Source: source, To: at.To, By: by}
}

type hook struct {
	Packet
	out    string
	states []string
}

// arrive is the chain of that table: EIP, forward, limited forward.
func (h *hook) arrive(e dataplane.Elements) string {
	number := map[string]uint8{"tcp": 6, "udp": 17}[h.Protocol]
	before, by := h.To, ""
	key := dataplane.Endpoint{Addr: before.Addr(), Protocol: number, Port: before.Port()}
	if guest, ok := e.Inbound[before.Addr()]; ok {
		h.To, by = netip.AddrPortFrom(guest, before.Port()), "inbound"
	} else if t, ok := e.Forward[key]; ok {
		h.To, by = netip.AddrPortFrom(t.Addr, t.Port), "forward"
	} else if t, ok := e.Limited[key]; ok {
		for g := range e.Grants {
			if g.VIP == key.Addr && g.Protocol == number && g.First <= key.Port && key.Port <= g.Last && g.Source.Contains(h.From.Addr()) {
				h.To, by = netip.AddrPortFrom(t.Addr, t.Port), "limited"
			}
		}
	}
	if by != "" {
		h.states = append(h.states, "DNAT")
	}
	return by
}

// depart is the source after translation, and by what.
func (h *hook) depart(s dataplane.State) (netip.Addr, string) {
	source := h.From.Addr()
	if _, public := s.Mappings.Public[h.out]; public && !h.To.Addr().IsMulticast() {
		if vip, ok := s.Mappings.Outbound[source]; ok {
			return vip, "outbound"
		}
	}
	switch target, by := h.chain(s, "nat", "SLUICE-SNAT"); target {
	case "SNAT":
		words := strings.Fields(by)
		return netip.MustParseAddr(words[slices.Index(words, "--to-source")+1]), by
	case "MASQUERADE":
		for at := range s.Addresses {
			if at.Link == h.out && !at.Prefix.IsSingleIP() {
				return at.Prefix.Addr(), by
			}
		}
	}
	return source, ""
}

// via is the mark that chooses a nic, where there are several.
func (h *hook) via(s dataplane.State) (mark uint32) {
	for _, rule := range s.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: "via"}] {
		condition, action, _ := strings.Cut(rule, "meta mark set ")
		if strings.HasPrefix(condition, "ct mark") { // of first packets, none has one
			continue
		}
		if condition == "" {
			if mark, ok := s.Mappings.Ways[h.From.Addr()]; ok {
				return mark
			}
		} else if _, ok := h.match(condition); ok {
			mark, _ := strconv.ParseUint(strings.Fields(action)[0], 0, 32)
			return uint32(mark)
		}
	}
	return 0
}

// route is the link towards an address: "lo" for the router's own.
func route(s dataplane.State, to netip.Addr, mark uint32) string {
	for at := range s.Addresses {
		if at.Prefix.Addr() == to {
			return "lo"
		}
	}
	for rule := range s.Rules {
		if link := lookup(s, to, rule.Table); rule.Mark == mark && link != "" {
			return link
		}
	}
	return lookup(s, to, 0)
}

func lookup(s dataplane.State, to netip.Addr, table int) (link string) {
	best := -1
	for r := range s.Routes {
		if r.Table == table && r.Prefix.Contains(to) && r.Prefix.Bits() > best {
			best, link = r.Prefix.Bits(), r.Link
		}
	}
	return link
}

// chain is the target of the first rule that matches, and the rule; the
// policy of the chain that jumps here where none does.
func (h *hook) chain(s dataplane.State, table, name string) (target, by string) {
	for _, rule := range s.Chains[dataplane.ChainID{Table: table, Chain: name}] {
		if target, ok := h.match(rule); ok && target != "" {
			return target, rule
		}
	}
	if table == dataplane.TableName {
		return map[string]string{"source": "ACCEPT", "forward": "DROP"}[name], "policy of " + name
	}
	for id, b := range s.Builtins {
		if id.Table == table && b.Target == name {
			return b.Policy, "policy of " + id.Chain
		}
	}
	return "", ""
}

// match reads a rule as iptables or nft prints it: "" is the target of one that
// decides nothing. A word that it does not know is a mistake of this tracer's,
// not a packet's.
func (h *hook) match(rule string) (target string, ok bool) {
	not, words := false, strings.Fields(h.first(rule))
	for i := 0; i < len(words); i++ {
		word, value := words[i], ""
		switch word {
		case "!":
			not = true
			continue
		case "accept", "drop":
			return strings.ToUpper(word), true
		}
		if i++; i < len(words) {
			value = words[i]
		}
		if value == "!=" {
			not = true
			i++
			value = words[i]
		}
		if word == "-j" {
			return value, true
		}
		if h.holds(word, value, rule) == not {
			return "", false
		}
		not = false
	}
	return "", true
}

// first is a rule of the sluice table for the first packet of a connection, in
// the words of iptables.
func (h *hook) first(rule string) string {
	return strings.NewReplacer(
		"ct status ! confirmed ", "", "ct mark 0x00000000 ", "", "ct mark & 0x000000ff == 0x00000000 ", "", "ct state established,related,new ", "",
		"ct status confirmed,snat / confirmed,snat", "--ctstate none", "ct status confirmed,dnat / confirmed,dnat", "--ctstate none",
		"ct status assured,confirmed,snat / assured,confirmed,snat flow add @fast", "--ctstate none",
		"ct status dnat", "--ctstate DNAT", "jump counting", "", "tcp flags syn / syn,rst tcp option maxseg size set rt mtu", "",
		"iifname", "-i", "oifname", "-o", "ip saddr", "-s", "ip daddr", "-d", "udp sport", "-p udp --sport", "udp dport", "--dport",
	).Replace(rule)
}

func (h *hook) holds(word, value, rule string) bool {
	switch word {
	case "-s":
		return prefix(value).Contains(h.From.Addr())
	case "-d":
		return prefix(value).Contains(h.To.Addr())
	case "-i":
		return strings.Trim(value, `"`) == h.In
	case "-o":
		return strings.Trim(value, `"`) == h.out
	case "-p":
		return value == h.Protocol
	case "--sport":
		return value == strconv.Itoa(int(h.From.Port()))
	case "--dport":
		return value == strconv.Itoa(int(h.To.Port()))
	case "--ctstate":
		return slices.ContainsFunc(strings.Split(value, ","), func(x string) bool { return slices.Contains(h.states, x) })
	case "-m", "--comment", "--icmp-type":
		return true
	}
	panic(fmt.Sprintf("trace: %q in rule %q", word, rule))
}

func prefix(text string) netip.Prefix {
	if !strings.Contains(text, "/") {
		text += "/32"
	}
	return netip.MustParsePrefix(text)
}
