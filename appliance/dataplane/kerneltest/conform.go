package kerneltest

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Lab is a fresh kernel with four nics, down: m0, p0, g0 and p1, whose MACs are
// MACs.
type Lab struct {
	Kernel dataplane.Kernel
	// Enter runs f where the kernel's methods may be called.
	Enter func(f func())
	// Disturb does, as a stranger, one of Disturbances.
	Disturb func(t *testing.T, what string)
	// Strangers is how many of the things that "add foreign things" added are
	// still there; it added three.
	Strangers func(t *testing.T) int
	// Rules lists all routing rules, of anybody.
	Rules func(t *testing.T) string
}

func (b *bench) rules() string { b.t.Helper(); return b.Rules(b.t) }

// MACs of the nics of a Lab, by name.
var MACs = map[string]string{"m0": "02:00:00:00:01:01", "p0": "02:00:00:00:01:02", "g0": "02:00:00:00:01:03", "p1": "02:00:00:00:01:04"}

// Disturbances are foreign changes of what is ours; each is healed.
var Disturbances = []string{
	"flush input chain", "unhook input", "hook input twice", "flush our chain", "drop by policy",
	"delete table", "delete rule", "flush forward", "delete source", "accept before", "delete mapping", "add mapping", "add chain to table",
	"delete address", "delete route", "delete management route", "delete all routes", "stop forwarding", "forward management", "link down", "mtu",
}

// WantAll is a want with something of everything, for a Lab.
func WantAll() dataplane.Want {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	w, err := dataplane.Merge(map[string]dataplane.Want{
		"interfaces": {
			Nics: []dataplane.Nic{
				{Link: "m0", Management: true, MTU: 1500, Routes: []dataplane.GatewayRoute{{Prefix: prefix("198.18.0.0/15"), Gateway: addr("192.0.2.1")}, {Prefix: prefix("198.18.0.7/32"), Gateway: addr("192.0.2.9")}}},
				{Link: "p0", Public: true, MTU: 1500, Gateway: addr("203.0.113.1")},
				{Link: "g0", Guest: true, MTU: 1450, Subnets: []netip.Prefix{prefix("10.0.0.0/24")}},
			},
			Addresses: []dataplane.Address{
				{Link: "m0", Prefix: prefix("192.0.2.2/24")}, {Link: "p0", Prefix: prefix("203.0.113.2/24")}, {Link: "g0", Prefix: prefix("10.0.0.1/24")},
			},
			Inputs: []dataplane.Input{{Link: "m0", Protocol: "tcp", Port: 7443, Owner: "agent"}, {Link: "m0", Protocol: "icmp", Owner: "Odd name"}},
		},
		"dhcp": {Inputs: []dataplane.Input{{Link: "g0", Protocol: "udp", Port: 67}}},
		"snat": {SNAT: []dataplane.SNAT{
			{Source: prefix("10.0.0.0/24"), Link: "p0", Address: addr("203.0.113.2")},
			{Source: prefix("10.0.0.128/32"), Link: "p0", Address: addr("203.0.113.2")},
		}},
		"eip": {
			EIPs: []dataplane.EIP{
				{VIP: addr("203.0.113.50"), Guest: addr("10.0.0.10"), Order: 2},
				{VIP: addr("203.0.113.51"), Guest: addr("10.0.0.10"), Order: 1},
			},
			Addresses: []dataplane.Address{{Link: "p0", Prefix: prefix("203.0.113.50/32")}, {Link: "p0", Prefix: prefix("203.0.113.51/32")}},
		},
		"port-forwarding": {
			Forwards: []dataplane.Forward{
				{VIP: addr("203.0.113.2"), Protocol: "tcp", First: 80, Last: 89, Guest: addr("10.0.0.11"), To: 8080},
				{VIP: addr("203.0.113.2"), Protocol: "udp", First: 80, Last: 89, Guest: addr("10.0.0.12"), To: 80},
				{VIP: addr("203.0.113.2"), Protocol: "tcp", First: 22, Last: 22, Guest: addr("10.0.0.12"), To: 22, Allowed: prefix("198.51.100.0/24")},
			},
		},
	})
	if err != nil {
		panic(err)
	}
	return w
}

// WantWays is WantAll with a second nic that leads out, for p1: an EIP and the
// SNAT of a part of the guests are there.
func WantWays() dataplane.Want {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	w := WantAll()
	w.Nics = append(w.Nics, dataplane.Nic{Link: "p1", Public: true, MTU: 1500, NextHop: addr("192.88.99.1"), Owner: "interfaces"})
	for i := range w.Nics {
		if w.Nics[i].Link == "p0" {
			w.Nics[i].NextHop = w.Nics[i].Gateway
		}
	}
	w.Addresses = append(w.Addresses,
		dataplane.Address{Link: "p1", Prefix: prefix("192.88.99.2/24"), Owner: "interfaces"},
		dataplane.Address{Link: "p1", Prefix: prefix("192.88.99.50/32"), Owner: "eip"})
	w.EIPs = append(w.EIPs, dataplane.EIP{VIP: addr("192.88.99.50"), Guest: addr("10.0.0.13"), Owner: "eip"})
	w.SNAT = append([]dataplane.SNAT{{Source: prefix("10.0.0.14/32"), Link: "p1", Address: addr("192.88.99.2"), Owner: "snat"}}, w.SNAT...)
	w, err := dataplane.Merge(map[string]dataplane.Want{"all": w})
	if err != nil {
		panic(err)
	}
	return w
}

// WantMany is WantAll with so many more EIPs of p0, each with an address.
func WantMany(n int) dataplane.Want {
	w := WantAll()
	for i := range n {
		vip := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip, Guest: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Order: 9})
		w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(vip, 32)})
	}
	return w
}

// Conform is what every Kernel does.
func Conform(t *testing.T, fresh func(t *testing.T) Lab) {
	tests := map[string]func(*bench){
		"reaches what is wanted": func(b *bench) {
			b.apply(WantAll())
			b.is(WantAll())
		},
		"knows its nics": func(b *bench) {
			b.Enter(func() {
				links, err := b.Kernel.Links(b.t.Context())
				for name, mac := range MACs {
					if err != nil || links[mac] != name {
						b.t.Errorf("links %v, %v: want %s to be %s", links, err, mac, name)
					}
				}
			})
		},
		"exchanges names":              renames,
		"moves and removes":            moves,
		"changes a part":               changesPart,
		"leaves strangers alone":       strangers,
		"refuses as a whole":           refuses,
		"names what it refuses":        names,
		"is at peace with the missing": missing,
		"locks down":                   locksDown,
		"has several ways out":         severalWays,
		"maps every port":              everyPort,
		"has many addresses":           manyAddresses,
	}
	for _, what := range Disturbances {
		tests["heals: "+what] = func(b *bench) {
			b.apply(WantAll())
			b.Disturb(b.t, what)
			if r := b.apply(WantAll()); r.Writes == 0 {
				b.t.Errorf("%s: nothing written", what)
			}
			b.is(WantAll())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			lab := fresh(t)
			tests[name](&bench{t: t, Lab: lab, plane: dataplane.New(lab.Kernel, nil)})
		})
	}
}

type bench struct {
	Lab
	t     *testing.T
	plane *dataplane.Plane
}

// apply applies, and checks that once is enough.
func (b *bench) apply(w dataplane.Want) (first dataplane.Reached) {
	b.t.Helper()
	for i := range 2 {
		var r dataplane.Reached
		var err error
		b.Enter(func() { r, err = b.plane.Apply(context.Background(), w) })
		if err != nil {
			b.t.Fatalf("apply: %v; done were %.600q", err, r.Steps)
		}
		if i == 0 {
			first = r
		} else if r.Writes != 0 {
			b.t.Errorf("applied twice, the second wrote %v", r.Steps)
		}
	}
	return first
}

// observe reads the kernel, whatever it is believed to be.
func (b *bench) observe(w dataplane.Want) dataplane.State {
	b.t.Helper()
	var s dataplane.State
	var err error
	b.Enter(func() {
		b.Kernel.Forget()
		s, err = b.Kernel.Observe(context.Background(), slices.Sorted(maps.Keys(dataplane.Render(w).Sysctls)))
	})
	if err != nil {
		b.t.Fatalf("observe: %v", err)
	}
	return s
}

func (b *bench) is(w dataplane.Want) {
	b.t.Helper()
	b.Enter(func() { w.Flowtables = b.Kernel.Flowtables() })
	var steps []dataplane.Step
	// A set that has grown a lot is listed with gaps until it is rehashed.
	for range 50 {
		if steps = dataplane.Diff(b.observe(w), dataplane.Render(w)); len(steps) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Errorf("not as wanted: %v", steps)
}

func renames(b *bench) {
	b.apply(WantAll())
	names := map[string]string{MACs["m0"]: "p0", MACs["p0"]: "m0", MACs["g0"]: "lan7"}
	var links dataplane.Links
	var err error
	b.Enter(func() { // as one that was killed in the middle has left it
		err = b.plane.Rename(context.Background(), map[string]string{MACs["p0"]: "sluice-tmp0"})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Enter(func() {
		err = b.plane.Rename(context.Background(), names)
		links, _ = b.plane.Links(context.Background())
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for mac, name := range names {
		if links[mac] != name {
			b.t.Errorf("%s is called %q, want %q", mac, links[mac], name)
		}
	}
	b.Enter(func() { err = b.plane.Rename(context.Background(), map[string]string{MACs["m0"]: "lan7"}) })
	if err == nil {
		b.t.Error("a taken name was given")
	}
}

func moves(b *bench) {
	w := WantAll()
	b.apply(w)
	w.EIPs[0].Guest = netip.MustParseAddr("10.0.0.77")
	w.EIPs[0].Order = 0
	w.Forwards[0].To, w.Forwards[0].Last = 9000, 85
	w.Forwards[2].Allowed = netip.MustParsePrefix("198.51.0.0/16")
	w.SNAT = w.SNAT[:1]
	w.Nics[0].Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")}
	w.Addresses = slices.DeleteFunc(w.Addresses, func(a dataplane.Address) bool { return a.Prefix.String() == "203.0.113.51/32" })
	r := b.apply(w)
	b.is(w)
	if r.Writes == 0 {
		b.t.Error("nothing written")
	}
	for at := range b.observe(w).Addresses {
		if at.Prefix.String() == "203.0.113.51/32" {
			b.t.Error("unwanted address still there")
		}
	}
	// The router's own address changes: the old one is the first of its
	// subnet, and must not take the new one along.
	for i := range w.Addresses {
		if w.Addresses[i].Prefix.String() == "203.0.113.2/24" {
			w.Addresses[i].Prefix = netip.MustParsePrefix("203.0.113.3/24")
		}
	}
	b.apply(w)
	b.is(w)
	b.apply(dataplane.Want{})
	if s := b.observe(dataplane.Want{}); len(s.Addresses)+len(s.Routes)+s.Mappings.Len() != 0 {
		b.t.Errorf("left over:\n%s", s)
	}
}

func strangers(b *bench) {
	b.apply(WantAll())
	b.Disturb(b.t, "add foreign things")
	b.apply(WantAll())
	b.apply(dataplane.Want{})
	b.apply(WantAll())
	if n := b.Strangers(b.t); n != 3 {
		b.t.Errorf("%d of 3 foreign things are left", n)
	}
}

func refuses(b *bench) {
	b.apply(WantAll())
	e := dataplane.NewElements()
	e.Inbound[netip.MustParseAddr("203.0.113.99")] = netip.MustParseAddr("10.0.0.99")
	bad := dataplane.SetMappings{Add: e, Del: dataplane.NewElements()}
	bad.Del.Outbound[netip.MustParseAddr("10.9.9.9")] = netip.MustParseAddr("203.0.113.9")
	for _, step := range []dataplane.Step{
		bad,
		dataplane.SetPolicy{{Table: "filter", Lines: []string{":SLUICE-INPUT - [0:0]", "-A SLUICE-NONE -j DROP"}}},
		dataplane.SetMappings{Chains: map[string][]string{"forward": nil}, Add: dataplane.NewElements(), Del: bad.Del},
		dataplane.AddAddress{LinkAddress: dataplane.LinkAddress{Link: "none0", Prefix: netip.MustParsePrefix("10.1.0.1/24")}},
		dataplane.AddRoute{Route: dataplane.DefaultRoute("g0", netip.MustParseAddr("172.16.0.1"))},
		dataplane.SetLink{Link: "none0"},
	} {
		if b.do(step) == nil {
			b.t.Errorf("%s: no error", step)
		}
		b.is(WantAll())
	}
}

// names: one entry of ten thousand cannot be had; nothing changes, and the
// error says which one it was. Without it all the others are taken.
func names(b *bench) {
	w := WantAll()
	b.apply(w)
	addr := netip.MustParseAddr
	for refused, spoil := range map[string]func(*dataplane.SetMappings){
		// There, with another guest.
		"203.0.113.50": func(s *dataplane.SetMappings) { s.Add.Inbound[addr("203.0.113.50")] = addr("10.0.0.99") },
		// Not there.
		"10.9.9.9": func(s *dataplane.SetMappings) { s.Del.Outbound[addr("10.9.9.9")] = addr("203.0.113.9") },
		// There, with another port.
		"203.0.113.2:85": func(s *dataplane.SetMappings) {
			s.Add.Forward[dataplane.Endpoint{Addr: addr("203.0.113.2"), Protocol: 6, Port: 85}] = dataplane.Target{Addr: addr("10.0.0.11"), Port: 9}
		},
	} {
		s := dataplane.SetMappings{Del: dataplane.NewElements(), Add: dataplane.NewElements()}
		for i := range 10_000 {
			s.Add.Inbound[netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})] = addr("10.0.0.10")
		}
		spoil(&s)
		if err := b.do(s); err == nil || !strings.Contains(err.Error(), refused) {
			b.t.Errorf("want %s to be named, got: %v", refused, err)
		}
		b.is(w)
	}
	s := dataplane.SetMappings{Del: dataplane.NewElements(), Add: dataplane.NewElements()}
	for i := range 10_000 {
		s.Add.Inbound[netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})] = addr("10.0.0.10")
	}
	if err := b.do(s); err != nil {
		b.t.Error(err)
	}
	for i := range 10_000 {
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), Guest: addr("10.0.0.10"), Order: 9})
	}
	b.is(w)
}

func (b *bench) do(s dataplane.Step) (err error) {
	b.Enter(func() { err = b.Kernel.Do(context.Background(), s) })
	return err
}

func missing(b *bench) {
	b.apply(WantAll())
	for _, step := range []dataplane.Step{
		dataplane.DelAddress{LinkAddress: dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("203.0.113.99/32")}},
		dataplane.DelAddress{LinkAddress: dataplane.LinkAddress{Link: "none0", Prefix: netip.MustParsePrefix("203.0.113.99/32")}},
		dataplane.DelRoute{Route: dataplane.DefaultRoute("p0", netip.MustParseAddr("203.0.113.9"))},
		dataplane.AddAddress{LinkAddress: dataplane.LinkAddress{Link: "p0", Prefix: netip.MustParsePrefix("203.0.113.2/24")}},
	} {
		if err := b.do(step); err != nil {
			b.t.Errorf("%s: %v", step, err)
		}
	}
	b.is(WantAll())
}

func locksDown(b *bench) {
	b.apply(WantAll())
	for range 2 {
		var err error
		b.Enter(func() {
			err = b.plane.Lockdown(context.Background(), dataplane.Input{Protocol: "tcp", Port: 7443, Owner: "agent"})
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	s := b.observe(WantAll())
	if p := s.Builtins[dataplane.ChainID{Table: "filter", Chain: "INPUT"}].Policy; p != "DROP" {
		b.t.Errorf("policy of INPUT is %s", p)
	}
	rules, exists := s.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: "forward"}]
	if !exists || slices.ContainsFunc(rules, func(r string) bool { return strings.HasPrefix(r, "iifname") }) {
		b.t.Errorf("forward accepts %v (%t)", rules, exists)
	}
	if len(s.Mappings.Inbound) != 2 {
		b.t.Errorf("mappings are %s", s.Mappings)
	}
	if on := s.Sysctls["net/ipv4/ip_forward"]; on != "0" {
		b.t.Errorf("ip_forward is %s", on)
	}
	if rules := s.Chains[dataplane.ChainID{Table: "filter", Chain: "SLUICE-INPUT"}]; !slices.Contains(rules, "-p tcp -m tcp --dport 7443 -m comment --comment agent -j ACCEPT") {
		b.t.Errorf("input lets in %v", rules)
	}
	b.apply(WantAll())
	b.is(WantAll())
}

func severalWays(b *bench) {
	b.Disturb(b.t, "add a foreign rule")
	b.apply(WantAll())
	foreign := b.rules()
	b.apply(WantWays())
	b.is(WantWays())
	for _, what := range []string{"delete a way's rule", "flush a way's table", "delete via"} {
		b.Disturb(b.t, what)
		if r := b.apply(WantWays()); r.Writes == 0 {
			b.t.Errorf("%s: nothing written", what)
		}
		b.is(WantWays())
	}
	b.apply(WantAll())
	if left := b.rules(); left != foreign {
		b.t.Errorf("rules are\n%s, and before were\n%s", left, foreign)
	}
	s := b.observe(WantAll())
	for r := range s.Routes {
		if r.Table != 0 {
			b.t.Errorf("route left over: %s", r)
		}
	}
	if _, left := s.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: "via"}]; left {
		b.t.Error("chain left over")
	}
}

// manyAddresses: whether they are addresses or routes depends on how many there
// are to be, and on nothing before.
func manyAddresses(b *bench) {
	few, many := WantMany(900), WantMany(1100)
	for _, w := range []dataplane.Want{few, many, WantWays(), many, few} {
		b.apply(w)
		b.is(w)
	}
	b.apply(many)
	for _, what := range []string{"delete a routed address", "flush addresses", "delete the table for ARP", "flush answers", "answer less"} {
		b.Disturb(b.t, what)
		if r := b.apply(many); r.Writes == 0 {
			b.t.Errorf("%s: nothing written", what)
		}
		b.is(many)
	}
	b.apply(dataplane.Want{})
	if s := b.observe(dataplane.Want{}); len(s.Addresses)+len(s.Routes)+len(s.Chains[dataplane.ChainID{Table: dataplane.TableName, Chain: "answers"}]) != 0 {
		b.t.Errorf("left over:\n%.2000s", s)
	}
}

func everyPort(b *bench) {
	w := WantAll()
	vip := netip.MustParseAddr("203.0.113.60")
	w.Forwards = append(w.Forwards,
		dataplane.Forward{VIP: vip, Protocol: "tcp", First: 1, Last: 65535, Guest: netip.MustParseAddr("10.0.0.20"), To: 1},
		dataplane.Forward{VIP: vip, Protocol: "udp", First: 1, Last: 65535, Guest: netip.MustParseAddr("10.0.0.21"), To: 1,
			Allowed: netip.MustParsePrefix("198.51.100.0/24")})
	b.apply(w)
	b.is(w)
	b.apply(WantAll())
	b.is(WantAll())
}
