package dataplane_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write what is rendered into testdata/*.golden")

// TestRender shows the shape of everything at once, and with two ways out.
func TestRender(t *testing.T) {
	faster := kerneltest.WantAll()
	faster.Flowtables = true
	for file, w := range map[string]dataplane.Want{
		"testdata/all.golden": kerneltest.WantAll(), "testdata/ways.golden": kerneltest.WantWays(), "testdata/flowtable.golden": faster,
	} {
		got := dataplane.Render(w).String()
		if *rewrite {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got != string(want) {
			t.Errorf("rendered (%v):\n%s", err, got)
		}
	}
}

// wants draws a want of a few nics, guests and mappings.
func wants(t *rapid.T) dataplane.Want {
	w := kerneltest.WantAll()
	if rapid.Bool().Draw(t, "no SNAT") {
		w.SNAT = nil
	}
	if rapid.Bool().Draw(t, "no gateway") {
		w.Nics[2].Gateway = netip.Addr{}
	}
	w.EIPs, w.Forwards = nil, nil
	for i, guest := range rapid.SliceOfNDistinct(rapid.ByteRange(10, 16), 0, 4, rapid.ID).Draw(t, "guests") {
		vip := netip.AddrFrom4([4]byte{203, 0, 113, 50 + byte(i)})
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip, Guest: netip.AddrFrom4([4]byte{10, 0, 0, guest}), Order: int64(guest % 3), Owner: "eip"})
		w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(vip, 32), Owner: "eip"})
	}
	for i, n := range rapid.SliceOfN(rapid.Uint16Range(0, 20), 0, 4).Draw(t, "ranges") {
		f := dataplane.Forward{VIP: netip.MustParseAddr("203.0.113.2"), Protocol: "tcp", First: uint16(100*i + 1), Last: uint16(100*i+1) + n,
			Guest: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), To: n + 1, Owner: "port-forwarding"}
		if n%2 == 0 {
			f.Allowed = netip.MustParsePrefix("198.51.100.0/24")
		}
		w.Forwards = append(w.Forwards, f)
	}
	m, err := dataplane.Merge(map[string]dataplane.Want{"all": w})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAnyWantIsReached: from any want to any other, with steps failing in
// between, the next apply without failures gets there, and one more does
// nothing. While policy or mappings cannot be set, nothing is forwarded.
func TestAnyWantIsReached(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := kerneltest.NewFake(kerneltest.MACs)
		p := dataplane.New(f, nil)
		for range rapid.IntRange(1, 4).Draw(t, "wants") {
			w := wants(t)
			n, at := 0, rapid.IntRange(0, 30).Draw(t, "fails at")
			f.Fail = func(dataplane.Step) error {
				if n++; n == at {
					return errors.New("refused")
				}
				return nil
			}
			if r, err := p.Apply(context.Background(), w); err != nil && len(r.Failed) == 0 {
				t.Fatalf("%v, and nobody failed", err)
			}
			f.Fail = nil
			if _, err := p.Apply(context.Background(), w); err != nil {
				t.Fatal(err)
			}
			want := dataplane.Render(w)
			keys := []string{}
			for k := range want.Sysctls {
				keys = append(keys, k)
			}
			have, _ := f.Observe(context.Background(), keys)
			if steps := dataplane.Diff(have, want); len(steps) != 0 {
				t.Fatalf("left: %v", steps)
			}
			before := f.Writes
			if r, err := p.Apply(context.Background(), w); err != nil || r.Writes != 0 || f.Writes != before {
				t.Fatalf("again: %v, %v", r.Steps, err)
			}
		}
	})
}

func TestNothingIsForwardedWithoutPolicy(t *testing.T) {
	for _, kind := range []string{"change table filter", "rebuild mappings"} {
		f := kerneltest.NewFake(kerneltest.MACs)
		f.Fail = func(s dataplane.Step) error {
			if strings.Contains(s.String(), kind) {
				return errors.New("refused")
			}
			return nil
		}
		r, err := dataplane.New(f, nil).Apply(t.Context(), kerneltest.WantAll())
		if err == nil || r.Failed["dataplane"] == nil {
			t.Errorf("%s: no error", kind)
		}
		if on := f.State.Sysctls["net/ipv4/ip_forward"]; on != "0" {
			t.Errorf("%s refused, and ip_forward is %s", kind, on)
		}
		if len(f.State.Addresses) == 0 {
			t.Errorf("%s refused, and addresses were given up too", kind)
		}
	}
}

func TestForwardingEndsWhenThePolicyCannotBePutBack(t *testing.T) {
	f := kerneltest.NewFake(kerneltest.MACs)
	p := dataplane.New(f, nil)
	if _, err := p.Apply(t.Context(), kerneltest.WantAll()); err != nil {
		t.Fatal(err)
	}
	f.Fail = func(s dataplane.Step) error {
		if _, ok := s.(dataplane.SetMappings); ok {
			return errors.New("refused")
		}
		return nil
	}
	forward := dataplane.ChainID{Table: dataplane.TableName, Chain: "forward"}
	f.State.Chains[forward] = nil
	if _, err := p.Apply(t.Context(), kerneltest.WantAll()); err == nil || f.State.Sysctls["net/ipv4/ip_forward"] != "1" {
		t.Errorf("with the chain that drops still there, forwarding is %s (%v)", f.State.Sysctls["net/ipv4/ip_forward"], err)
	}
	delete(f.State.Chains, forward)
	if _, err := p.Apply(t.Context(), kerneltest.WantAll()); err == nil || f.State.Sysctls["net/ipv4/ip_forward"] != "0" {
		t.Errorf("without any policy, forwarding is %s (%v)", f.State.Sysctls["net/ipv4/ip_forward"], err)
	}
}

// TestEarlierVersionsRulesGo: what they had in iptables, that is in the sluice
// table now, is taken away.
func TestEarlierVersionsRulesGo(t *testing.T) {
	f := kerneltest.NewFake(kerneltest.MACs)
	for id, target := range map[dataplane.ChainID]string{{Table: "raw", Chain: "PREROUTING"}: "SLUICE-SOURCE", {Table: "filter", Chain: "FORWARD"}: "SLUICE-FORWARD"} {
		f.State.Builtins[id] = dataplane.Builtin{Policy: "DROP", Target: target, Jumps: 1}
		f.State.Chains[dataplane.ChainID{Table: id.Table, Chain: target}] = []string{"-i g0 -j DROP"}
	}
	if _, err := dataplane.New(f, nil).Apply(t.Context(), kerneltest.WantAll()); err != nil {
		t.Fatal(err)
	}
	if b := f.State.Builtins[dataplane.ChainID{Table: "filter", Chain: "FORWARD"}]; b.Jumps != 0 || b.Policy != "ACCEPT" {
		t.Errorf("FORWARD is %+v", b)
	}
	for id := range f.State.Chains {
		if id.Chain == "SLUICE-SOURCE" || id.Chain == "SLUICE-FORWARD" {
			t.Errorf("%s of table %s is still there", id.Chain, id.Table)
		}
	}
}

func TestFailuresHaveOwners(t *testing.T) {
	f := kerneltest.NewFake(kerneltest.MACs)
	f.Fail = func(s dataplane.Step) error {
		if a, ok := s.(dataplane.AddAddress); ok && a.Prefix.Bits() == 32 {
			return fmt.Errorf("no room")
		}
		return nil
	}
	w := kerneltest.WantAll()
	w.Missing = []dataplane.Missing{{MAC: "02:00:00:00:00:77", Owner: "interfaces"}}
	p := dataplane.New(f, nil)
	r, err := p.Apply(t.Context(), w)
	if err == nil || r.Failed["eip"] == nil || r.Failed["interfaces"] == nil || r.Failed["snat"] != nil {
		t.Errorf("failed: %v (%v)", r.Failed, err)
	}
	nics := p.Nics()
	if i := slices.IndexFunc(nics, func(n dataplane.NicState) bool { return n.Link == "p0" }); i < 0 || !nics[i].Up || len(nics[i].Addresses) != 1 {
		t.Errorf("nics reached: %+v", nics)
	}
}

func TestSweepsAndAnnouncements(t *testing.T) {
	f := kerneltest.NewFake(kerneltest.MACs)
	ap := netip.MustParseAddrPort
	gone := dataplane.Flow{Protocol: 17, From: ap("198.51.100.1:1"), To: ap("203.0.113.50:7"), ReplyFrom: ap("10.0.0.10:7"), ReplyTo: ap("198.51.100.1:1")}
	p := dataplane.New(f, nil)
	w := kerneltest.WantAll()
	if r, err := p.Apply(t.Context(), w); err != nil || len(r.Announced) != 5 || len(f.Announced) != 5 {
		t.Fatalf("announced %v, %v: want all 5 addresses", f.Announced, err)
	}
	if _, err := p.SweepLate(t.Context()); err != nil {
		t.Error(err)
	}
	f.Flows = []dataplane.Flow{gone}
	if r, err := p.Apply(t.Context(), w); err != nil || r.FlowsEnded != 0 || len(r.Announced) != 0 {
		t.Errorf("equal state: %+v, %v", r, err)
	}
	w.EIPs = w.EIPs[1:]
	f.Flows = append(f.Flows, gone)
	if r, err := p.Apply(t.Context(), w); err != nil || r.FlowsEnded != 2 {
		t.Errorf("%d flows ended (%v), want 2", r.FlowsEnded, err)
	}
	f.Flows = append(f.Flows, gone) // was on its way while the mapping went
	if n, err := p.SweepLate(t.Context()); err != nil || n != 1 {
		t.Errorf("%d late flows ended (%v), want 1", n, err)
	}
	f.Flows = append(f.Flows, gone)
	if n, err := p.SweepLate(t.Context()); err != nil || n != 0 {
		t.Errorf("%d flows ended (%v), with nothing changed since", n, err)
	}
}
