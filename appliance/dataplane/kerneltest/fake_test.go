package kerneltest

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func TestFakeConforms(t *testing.T) {
	Conform(t, func(*testing.T) Lab {
		f := NewFake(MACs)
		stranger := dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("203.0.113.200/32")}
		return Lab{Kernel: f, Enter: func(g func()) { g() },
			Disturb: func(t *testing.T, what string) { disturbFake(t, f, what, stranger) },
			Rules:   func(*testing.T) string { return fmt.Sprint(f.State.Rules) },
			Strangers: func(*testing.T) int {
				n := 2 // chain and table: the fake keeps none of others
				if _, ok := f.State.Addresses[stranger]; ok {
					n++
				}
				return n
			}}
	})
}

func disturbFake(t *testing.T, f *Fake, what string, stranger dataplane.LinkAddress) {
	s := &f.State
	input, forward := dataplane.ChainID{Table: "filter", Chain: "INPUT"}, dataplane.ChainID{Table: "filter", Chain: "FORWARD"}
	ours := func(name string) dataplane.ChainID { return dataplane.ChainID{Table: dataplane.TableName, Chain: name} }
	hook := func(id dataplane.ChainID, change func(*dataplane.Builtin)) {
		b := s.Builtins[id]
		change(&b)
		s.Builtins[id] = b
	}
	switch what {
	case "flush input chain", "unhook input":
		hook(input, func(b *dataplane.Builtin) { b.Jumps = 0 })
	case "hook input twice":
		hook(input, func(b *dataplane.Builtin) { b.Jumps = 2 })
	case "drop by policy":
		hook(forward, func(b *dataplane.Builtin) { b.Policy = "DROP" })
	case "flush our chain":
		s.Chains[dataplane.ChainID{Table: "filter", Chain: "SLUICE-INPUT"}] = nil
	case "flush forward":
		s.Chains[ours("forward")] = nil
	case "delete source":
		delete(s.Chains, ours("source"))
	case "add a foreign rule":
		s.Rules[dataplane.Rule{Priority: 8400, Mark: 1, Mask: 1, Table: 8400}] = dataplane.RuleState{}
	case "delete a way's rule":
		maps.DeleteFunc(s.Rules, func(r dataplane.Rule, _ dataplane.RuleState) bool { return r.Table == 8302 })
	case "flush a way's table":
		maps.DeleteFunc(s.Routes, func(r dataplane.Route, _ dataplane.RouteState) bool { return r.Table == 8302 })
	case "delete via":
		delete(s.Chains, ours("via"))
	case "accept before":
		s.Chains[ours("forward")] = append([]string{"accept"}, s.Chains[ours("forward")]...)
	case "delete table", "delete rule", "add chain to table":
		s.Layout, s.Mappings = false, dataplane.NewElements()
		maps.DeleteFunc(s.Chains, func(id dataplane.ChainID, _ []string) bool { return id.Table == dataplane.TableName })
	case "delete mapping":
		delete(s.Mappings.Inbound, netip.MustParseAddr("203.0.113.50"))
	case "add mapping":
		s.Mappings.Inbound[netip.MustParseAddr("203.0.113.90")] = netip.MustParseAddr("10.0.0.9")
	case "delete address":
		delete(s.Addresses, dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("203.0.113.50/32")})
	case "delete route":
		delete(s.Routes, dataplane.DefaultRoute("p0", netip.MustParseAddr("203.0.113.1")))
	case "delete management route":
		delete(s.Routes, dataplane.Route{Link: "m0", Prefix: netip.MustParsePrefix("198.18.0.0/15"), Gateway: netip.MustParseAddr("192.0.2.1")})
	case "delete all routes":
		clear(s.Routes)
	case "stop forwarding":
		if err := f.setSysctl("net/ipv4/ip_forward", "0"); err != nil {
			t.Fatal(err)
		}
	case "forward management":
		s.Sysctls["net/ipv4/conf/m0/forwarding"] = "1"
	case "link down":
		l := s.Links["p0"]
		l.Up = false
		s.Links["p0"] = l
		maps.DeleteFunc(s.Routes, func(r dataplane.Route, _ dataplane.RouteState) bool { return r.Link == "p0" })
	case "mtu":
		l := s.Links["g0"]
		l.MTU = 1400
		s.Links["g0"] = l
	case "delete a routed address":
		delete(s.Addresses, dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("198.51.2.7/32"), Routed: true})
	case "flush addresses":
		maps.DeleteFunc(s.Addresses, func(at dataplane.LinkAddress, _ dataplane.AddressState) bool { return at.Link == "p0" })
		maps.DeleteFunc(s.Routes, func(r dataplane.Route, _ dataplane.RouteState) bool { return r.Link == "p0" })
	case "delete the table for ARP":
		delete(s.Chains, ours("answers"))
	case "flush answers":
		s.Chains[ours("answers")] = nil
	case "answer less":
		s.Sysctls["net/ipv4/conf/p0/arp_ignore"] = "1"
	case "add foreign things":
		s.Addresses[stranger] = dataplane.AddressState{}
	default:
		t.Fatalf("unknown disturbance %q", what)
	}
}
