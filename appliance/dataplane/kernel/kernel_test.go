package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

func TestKernelConforms(t *testing.T) {
	kerneltest.Conform(t, func(t *testing.T) kerneltest.Lab {
		ns := kerneltest.NewNamespace(t, "k")
		for name, mac := range kerneltest.MACs {
			ns.Run(t, "ip link add "+name+" address "+mac+" type veth peer name far-"+name)
			ns.Run(t, "ip link set far-"+name+" up")
		}
		var k *Kernel
		var err error
		ns.Do(func() { k, err = Open() })
		if err != nil {
			t.Fatal(err)
		}
		return kerneltest.Lab{Kernel: k, Enter: ns.Do,
			Rules:     func(t *testing.T) string { return ns.Run(t, "ip rule") },
			Disturb:   func(t *testing.T, what string) { disturb(t, ns, what) },
			Strangers: func(t *testing.T) int { return strangers(t, ns) }}
	})
}

var commands = map[string][]string{
	"flush input chain":        {"iptables -F INPUT"},
	"unhook input":             {"iptables -D INPUT -j SLUICE-INPUT"},
	"hook input twice":         {"iptables -I INPUT -j SLUICE-INPUT"},
	"flush our chain":          {"iptables -F SLUICE-INPUT"},
	"drop by policy":           {"iptables -P FORWARD DROP"},
	"flush forward":            {"nft flush chain ip sluice forward"},
	"delete source":            {"nft flush chain ip sluice source", "nft delete chain ip sluice source"},
	"accept before":            {"nft insert rule ip sluice forward accept"},
	"delete table":             {"nft delete table ip sluice"},
	"delete rule":              {"nft flush chain ip sluice arriving"},
	"delete mapping":           {"nft delete element ip sluice inbound { 203.0.113.50 }"},
	"add mapping":              {"nft add element ip sluice inbound { 203.0.113.90 : 10.0.0.9 }"},
	"add chain to table":       {"nft add chain ip sluice stranger"},
	"delete address":           {"ip addr del 203.0.113.50/32 dev p0"},
	"delete route":             {"ip route del default"},
	"delete management route":  {"ip route del 198.18.0.0/15"},
	"delete all routes":        {"ip route flush table main"},
	"stop forwarding":          {"sysctl -qw net.ipv4.ip_forward=0"},
	"forward management":       {"sysctl -qw net.ipv4.conf.m0.forwarding=1"},
	"link down":                {"ip link set p0 down"},
	"mtu":                      {"ip link set g0 mtu 1400"},
	"add a foreign rule":       {"ip rule add fwmark 1/1 lookup 8400 pref 8400"},
	"delete a way's rule":      {"ip rule del fwmark 0x200/0xff00 lookup 8302"},
	"flush a way's table":      {"ip route flush table 8302"},
	"delete via":               {"nft flush chain ip sluice via", "nft delete chain ip sluice via"},
	"delete a routed address":  {"ip route del local 198.51.2.7 dev p0 table local"},
	"flush addresses":          {"ip addr flush dev p0"},
	"delete the table for ARP": {"nft delete table arp sluice"},
	"flush answers":            {"nft flush chain arp sluice answers"},
	"answer less":              {"sysctl -qw net.ipv4.conf.p0.arp_ignore=1"},
	"add foreign things": {
		"ip addr add 203.0.113.200/32 dev p0",
		"iptables -A INPUT -p tcp --dport 9 -j ACCEPT",
		"nft add table ip stranger",
	},
}

func disturb(t *testing.T, ns *kerneltest.Namespace, what string) {
	lines, ok := commands[what]
	if !ok {
		t.Fatalf("unknown disturbance %q", what)
	}
	for _, line := range lines {
		ns.Run(t, line)
	}
}

func strangers(t *testing.T, ns *kerneltest.Namespace) int {
	n := 0
	for line, mark := range map[string]string{
		"ip addr show dev p0": "203.0.113.200/32",
		"iptables -S INPUT":   "--dport 9 ",
		"nft list tables":     "table ip stranger",
	} {
		if strings.Contains(ns.Run(t, line), mark) {
			n++
		}
	}
	return n
}

// A namespace that nobody touched is not asked for its rules; one that somebody
// did is, also if that was before we came.
func TestRulesOfOthersAreSeenFromTheFirst(t *testing.T) {
	forward := dataplane.ChainID{Table: "filter", Chain: "FORWARD"}
	policy := func(ns *kerneltest.Namespace, k *Kernel) (p string) {
		t.Helper()
		ns.Do(func() {
			s, err := k.Observe(t.Context(), nil)
			if err != nil {
				t.Error(err)
			}
			p = s.Builtins[forward].Policy
		})
		return p
	}
	for _, before := range []bool{true, false} {
		ns := kerneltest.NewNamespace(t, "u")
		if before {
			ns.Run(t, "iptables -P FORWARD DROP")
		}
		var k *Kernel
		var err error
		ns.Do(func() { k, err = Open() })
		if err != nil {
			t.Fatal(err)
		}
		if !before {
			if p := policy(ns, k); p != "" {
				t.Errorf("untouched, and FORWARD has policy %q", p)
			}
			ns.Run(t, "iptables -P FORWARD DROP")
		}
		if p := policy(ns, k); p != "DROP" {
			t.Errorf("FORWARD has policy %q, set before we came: %t", p, before)
		}
	}
}

// However large a change is, it is one transaction: nobody ever sees a part.
func TestALargeChangeIsOneTransaction(t *testing.T) {
	ns := kerneltest.NewNamespace(t, "o")
	var k *Kernel
	step := dataplane.SetMappings{Rebuild: true, Del: dataplane.NewElements(), Add: dataplane.NewElements()}
	generation := func() (id uint32) {
		ns.Do(func() {
			var c nftables.Conn
			if gen, err := c.GetGen(); err == nil {
				id = gen.ID
			}
		})
		return id
	}
	for i := range 50_000 {
		vip, guest := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		step.Add.Inbound[vip], step.Add.Outbound[guest] = guest, vip
		step.Add.Forward[dataplane.Endpoint{Addr: vip, Protocol: 6, Port: 80}] = dataplane.Target{Addr: guest, Port: 8080}
	}
	for _, s := range []dataplane.SetMappings{step, {Del: step.Add, Add: dataplane.NewElements()}} {
		before := generation()
		var err error
		ns.Do(func() {
			if k == nil {
				if k, err = Open(); err != nil {
					return
				}
			}
			err = k.Do(t.Context(), s)
		})
		if err != nil {
			t.Fatal(err)
		}
		if after := generation(); before == 0 || after != before+1 {
			t.Errorf("%s: generation went from %d to %d", s, before, after)
		}
	}
}

// The rules of the sluice table that depend on nics are text: exactly what
// people see, but for what we take for the kernel's.
func TestRulesAreAsNftPrintsThem(t *testing.T) {
	r := newReaders(t)
	w := kerneltest.WantWays()
	r.apply(t, w)
	r.ns.Do(func() { w.Flowtables = r.k.Flowtables() })
	for id, rules := range dataplane.Render(w).Chains {
		if id.Table != dataplane.TableName || id.Chain == "fast" { // no chain
			continue
		}
		var printed []string
		for line := range strings.Lines(r.ns.Run(t, "nft list chain ip sluice "+id.Chain)) {
			if text, isRule := strings.CutPrefix(line, "\t\t"); isRule && !strings.HasPrefix(text, "type ") {
				printed = append(printed, strings.TrimSpace(text))
			}
		}
		if !slices.Equal(printed, rules) {
			t.Errorf("chain %s\n%s\nwant\n%s", id.Chain, strings.Join(printed, "\n"), strings.Join(rules, "\n"))
		}
	}
}
