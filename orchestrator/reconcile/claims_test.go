package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

const strangerMAC = "52:54:00:00:00:99"

// chosen are a router's nics as they are chosen once and for all.
func chosen(r *v1.VirtualRouter) []v1.RouterNic {
	nics := slices.Clone(r.Nics)
	for i := range nics {
		nics[i].Claimed = false
	}
	return nics
}

func ipsOf(r *v1.VirtualRouter) string {
	var all []string
	for _, n := range r.Nics {
		all = append(all, n.IP.String())
	}
	return strings.Join(all, " ")
}

func (s *site) strangersOf(l3 string) string {
	var all []string
	for _, x := range model.Get[v1.L3Network](s.store.View(), l3).Strangers {
		all = append(all, x.IP.String()+"="+x.MAC)
	}
	return strings.Join(all, " ")
}

func (s *site) leaves(ip string) {
	s.l2s.mu.Lock()
	defer s.l2s.mu.Unlock()
	delete(s.l2s.strangers, netip.MustParseAddr(ip))
}

// askedAbout reports whether an address was asked about, and forgets that.
func (s *site) askedAbout(ip string) bool {
	s.l2s.mu.Lock()
	defer s.l2s.mu.Unlock()
	was := slices.Contains(s.l2s.asked, netip.MustParseAddr(ip))
	s.l2s.asked = nil
	return was
}

func TestRouterSkipsAddressesOfStrangers(t *testing.T) {
	s := newSite(t, 1, 1)
	for _, ip := range []string{"10.0.0.2", "10.0.0.3", "203.0.113.2"} {
		s.l2s.stranger(ip, strangerMAC)
	}
	r := s.serve(s.vms[0])
	s.tidy()
	if got := ipsOf(r); got != "10.0.0.4 203.0.113.3 192.168.10.1" {
		t.Errorf("the router has %s", got)
	}
	if got := s.strangersOf(s.mgmt) + ", " + s.strangersOf(s.public); got != "10.0.0.2="+strangerMAC+" 10.0.0.3="+strangerMAC+", 203.0.113.2="+strangerMAC {
		t.Errorf("strangers %s", got)
	}
	if vip := model.First[v1.VIP](s.store.View(), model.VIPsOfRouter, r.UUID); vip.IP.String() != "203.0.113.3" {
		t.Errorf("the router's own VIP is %s", vip.IP)
	}
	// What the router has had it keeps, whoever answers: it is not asked about.
	s.askedAbout("10.0.0.4")
	s.l2s.stranger("10.0.0.4", strangerMAC)
	s.act("reboot")
	if after := s.served(); ipsOf(after) != ipsOf(r) || s.askedAbout("10.0.0.4") {
		t.Errorf("rebooted, the router has %s", ipsOf(after))
	}
	s.leaves("10.0.0.2")
	s.r.claims.askAgain()
	if got := s.strangersOf(s.mgmt); got != "10.0.0.3="+strangerMAC {
		t.Errorf("after one left: %s", got)
	}
}

// The gateway is not changed silently: the router is not built while somebody
// else has it, and is when he has gone.
func TestStrangerHasTheGateway(t *testing.T) {
	s := newSite(t, 1, 1)
	s.l2s.stranger("192.168.10.1", strangerMAC)
	s.startVM(s.vms[0])
	err := s.r.WaitVM(t.Context(), s.vms[0])
	if v1.Code(err) != "router-failed" || !strings.Contains(err.Error(), "stage Address") || !strings.Contains(err.Error(), strangerMAC) || !strings.Contains(err.Error(), "set-router-interface-ip") {
		t.Fatalf("got %v", err)
	}
	if c := v1.FindCondition(s.router().Conditions, "Address"); c.Status != v1.False || !strings.Contains(c.Message, "192.168.10.1") {
		t.Errorf("condition %+v", c)
	}
	if s.router().Status == v1.Connected {
		t.Error("a router with a stranger's address is connected")
	}
	s.leaves("192.168.10.1")
	if r := s.served(); ipsOf(r) != "10.0.0.2 203.0.113.2 192.168.10.1" {
		t.Errorf("the router has %s", ipsOf(r))
	}
	s.tidy()
}

// Who answers for everybody has no address of his own: proxy ARP.
func TestProxyARPKeepsNobodyOut(t *testing.T) {
	s := newSite(t, 1, 1)
	for i := range 200 {
		s.l2s.stranger(fmt.Sprintf("10.0.0.%d", i+1), strangerMAC)
	}
	s.serve(s.vms[0])
	s.tidy()
}

// The router's own MAC is no stranger's: its domain may run already when an
// orchestrator that died has another go at building it.
func TestOwnAnswerIsNoStranger(t *testing.T) {
	s := newSite(t, 1, 1)
	s.startVM(s.vms[0])
	r := s.router()
	for _, n := range r.Nics {
		s.l2s.stranger(n.IP.String(), n.MAC)
	}
	if after := s.served(); ipsOf(after) != ipsOf(r) {
		t.Errorf("chose %s, has %s", ipsOf(r), ipsOf(after))
	}
}

func (s *site) vip(ip string) *v1.VIP {
	return stored(s, func(tx *model.Tx) (*v1.VIP, error) {
		return model.CreateVIP(tx, v1.CreateVIP{CreateMeta: named("vip"), L3NetworkUUID: s.public, IP: ip})
	})
}

func (s *site) newest(vip *v1.VIP) *v1.VIP { return model.Get[v1.VIP](s.store.View(), vip.UUID) }

func TestVIPsOfStrangers(t *testing.T) {
	s := newSite(t, 1, 1)
	s.serve(s.vms[0])
	s.l2s.stranger("203.0.113.3", strangerMAC)
	s.l2s.stranger("203.0.113.50", strangerMAC)

	chosen := s.vip("")
	must(t, 0, s.r.Settle(t.Context(), ""))
	s.eventually("the VIP has another address", func() bool {
		vip := s.newest(chosen)
		return vip.IP.String() == "203.0.113.4" && len(vip.Conditions) == 1
	})

	asked := s.vip("203.0.113.50")
	stored(s, func(tx *model.Tx) (*v1.EIP, error) {
		nic := model.First[v1.VMNic](tx.View, model.NicsOfVM, s.vms[0])
		return model.CreateEIP(tx, v1.CreateEIP{CreateMeta: named("eip"), VIPUUID: asked.UUID, VMNicUUID: nic.UUID})
	})
	must(t, 0, s.r.Settle(t.Context(), ""))
	vip := s.newest(asked)
	if !model.Withheld(vip) || vip.IP.String() != "203.0.113.50" || !strings.Contains(vip.Conditions[0].Message, strangerMAC) {
		t.Errorf("VIP %+v", vip)
	}
	s.tidy()
	if got := s.agent().Spec().Content.EIPs; len(got) != 0 {
		t.Errorf("the router has a stranger's address: %+v", got)
	}
	s.leaves("203.0.113.50")
	s.r.claims.askAgain()
	must(t, 0, s.r.Settle(t.Context(), ""))
	if got := s.agent().Spec().Content.EIPs; len(got) != 1 || model.Withheld(s.newest(asked)) {
		t.Errorf("the stranger left, the router has %+v, the VIP %+v", got, s.newest(asked))
	}
	stored(s, func(tx *model.Tx) (int, error) {
		_, err := model.CreateVIP(tx, v1.CreateVIP{CreateMeta: named("refused"), L3NetworkUUID: s.public, IP: "203.0.113.3"})
		if v1.Code(err) != "address-in-use" || !strings.Contains(err.Error(), strangerMAC) {
			t.Errorf("an address that a stranger has: %v", err)
		}
		return 0, nil
	})
}

// Those that ask at the same time about addresses of new VIPs ask about
// different ones, until they are done.
func TestAddressesOfNewVIPsAreOfferedOnce(t *testing.T) {
	s := newSite(t, 1, 1)
	s.l2s.stranger("203.0.113.3", strangerMAC)
	req := v1.CreateVIP{CreateMeta: named("vip"), L3NetworkUUID: s.public}
	first, heard, done := s.r.AskFirst(t.Context(), s.store.View(), req)
	second, _, doneToo := s.r.AskFirst(t.Context(), s.store.View(), req)
	if got := fmt.Sprint(first, heard, second); got != "203.0.113.2 map[] 203.0.113.3" {
		t.Errorf("offered %s", got)
	}
	done()
	third, _, doneAsWell := s.r.AskFirst(t.Context(), s.store.View(), req)
	if third != first {
		t.Errorf("%s was withdrawn, offered %s", first, third)
	}
	doneToo()
	doneAsWell()
	req.IP = "203.0.113.3"
	asked, heard, done := s.r.AskFirst(t.Context(), s.store.View(), req)
	if asked.String() != req.IP || heard[model.Place{L3: s.public, IP: asked}] != strangerMAC {
		t.Errorf("a stranger's: %s %v", asked, heard)
	}
	done()
	for _, ip := range []string{"10.9.9.9", "nonsense"} {
		req.IP = ip
		if asked, _, _ := s.r.AskFirst(t.Context(), s.store.View(), req); asked.IsValid() {
			t.Errorf("%s is asked about, and will be refused", ip)
		}
	}
}
