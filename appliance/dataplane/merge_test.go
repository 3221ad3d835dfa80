package dataplane_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

func TestMergeNamesBothOwners(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	own := dataplane.Want{Addresses: []dataplane.Address{{Link: "p0", Prefix: prefix("203.0.113.2/24")}}}
	eip := func(vip, guest string) dataplane.Want {
		return dataplane.Want{EIPs: []dataplane.EIP{{VIP: addr(vip), Guest: addr(guest)}}}
	}
	forward := func(first, last uint16) dataplane.Want {
		return dataplane.Want{Forwards: []dataplane.Forward{{VIP: addr("203.0.113.2"), Protocol: "tcp", First: first, Last: last, Guest: addr("10.0.0.9"), To: 1}}}
	}
	nic := func(gateway string) dataplane.Want {
		return dataplane.Want{Nics: []dataplane.Nic{{Link: "p" + gateway[:1], Gateway: addr(gateway)}}}
	}
	agent := own
	agent.Inputs = []dataplane.Input{{Link: "p0", Protocol: "tcp", Port: 7443}}
	for name, c := range map[string]struct {
		wants map[string]dataplane.Want
		says  []string
	}{
		"one eip, two guests":     {map[string]dataplane.Want{"eip": eip("203.0.113.9", "10.0.0.1"), "other": eip("203.0.113.9", "10.0.0.2")}, []string{"203.0.113.9", "by eip", "by other"}},
		"eip on own address":      {map[string]dataplane.Want{"eip": eip("203.0.113.2", "10.0.0.1"), "interfaces": own}, []string{"203.0.113.2 (eip)", "(interfaces)"}},
		"overlapping ports":       {map[string]dataplane.Want{"pf": forward(10, 20), "vpn": forward(20, 30)}, []string{"20-30", "10-20", "(pf)", "(vpn)"}},
		"the agent's port":        {map[string]dataplane.Want{"pf": forward(7000, 8000), "agent": agent}, []string{"7443", "(pf)", "(agent)"}},
		"two default routes":      {map[string]dataplane.Want{"a": nic("1.1.1.1"), "b": nic("2.2.2.2")}, []string{"1.1.1.1", "2.2.2.2", "(a)", "(b)"}},
		"one address, two places": {map[string]dataplane.Want{"a": own, "b": {Addresses: []dataplane.Address{{Link: "g0", Prefix: prefix("203.0.113.2/32")}}}}, []string{"on p0 by a", "on g0 by b"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dataplane.Merge(c.wants)
			if err == nil {
				t.Fatal("merged")
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
}

func TestMergeKeepsOneOfEach(t *testing.T) {
	prefix := netip.MustParsePrefix
	a := dataplane.Want{
		Addresses: []dataplane.Address{{Link: "p0", Prefix: prefix("203.0.113.2/24")}},
		Inputs:    []dataplane.Input{{Link: "g0", Protocol: "udp", Port: 53}},
		SNAT: []dataplane.SNAT{
			{Source: prefix("10.0.0.0/24"), Link: "p0", Address: netip.MustParseAddr("203.0.113.2")},
			{Source: prefix("10.0.0.64/26"), Link: "p0", Address: netip.MustParseAddr("203.0.113.2")},
		},
	}
	b := dataplane.Want{
		Addresses: []dataplane.Address{{Link: "p0", Prefix: prefix("203.0.113.2/32")}},
		Inputs:    []dataplane.Input{{Link: "g0", Protocol: "udp", Port: 53}},
	}
	got, err := dataplane.Merge(map[string]dataplane.Want{"a": a, "b": b})
	want := `address 203.0.113.2/24 on p0 (a)
input udp/53 on g0 (a)
snat 10.0.0.64/26 out of p0 as 203.0.113.2 (a)
snat 10.0.0.0/24 out of p0 as 203.0.113.2 (a)
`
	if err != nil || got.String() != want {
		t.Errorf("merged (%v):\n%s\nwant:\n%s", err, got, want)
	}
}
