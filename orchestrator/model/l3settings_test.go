package model

import (
	"net/netip"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestServersInAManagementNetwork: an account cannot have its router ask there,
// unless guests get there anyway; an operator can, and what he gave stays.
func TestServersInAManagementNetwork(t *testing.T) {
	w := newWorld(t)
	account, err := CreateAccount(w.tx, v1.CreateAccount{CreateMeta: named("red")})
	red := must(w, account, err).UUID
	guest, inner := Copy(Get[v1.L3Network](w.tx.View, w.guest)), Copy(Get[v1.L2Network](w.tx.View, w.l2Guest))
	guest.AccountUUID, inner.SharedWith = red, []string{red}
	w.tx.Save(guest)
	w.tx.Save(inner)
	route := v1.HostRoute{Prefix: netip.MustParsePrefix("172.16.0.0/16"), NextHop: ip("10.0.0.254")}
	l3, err := SetHostRoutes(w.tx, w.management, []v1.HostRoute{route})
	must(w, l3, err)
	set := func(account string, servers ...netip.Addr) string {
		w.tx = NewTx(w.tx.View, w.tx.Now)
		w.tx.ActFor(account)
		defer w.tx.ActFor("")
		_, err := SetDNS(w.tx, w.guest, servers)
		return v1.Code(err)
	}
	near, behind, far := ip("10.0.0.53"), ip("172.16.5.5"), ip("9.9.9.9")
	const refused = "dns-in-management-network"
	for _, step := range []struct {
		account string
		servers []netip.Addr
		want    string
	}{
		{red, []netip.Addr{far, near}, refused}, {red, []netip.Addr{behind}, refused}, {red, []netip.Addr{far}, ""},
		{"", []netip.Addr{near}, ""}, {red, []netip.Addr{far, near}, ""}, {red, []netip.Addr{far}, ""}, {red, []netip.Addr{near}, refused},
	} {
		if got := set(step.account, step.servers...); got != step.want {
			t.Errorf("%q sets %v: %q, want %q", step.account, step.servers, got, step.want)
		}
	}
	w.tx.ActFor(red)
	_, err = CreateL3Network(w.tx, v1.CreateL3Network{CreateMeta: named("red"), L2NetworkUUID: w.l2Guest, DNS: []netip.Addr{near}})
	if v1.Code(err) != refused {
		t.Errorf("a new network: %v", err)
	}
	w.tx.ActFor("")
	o := w.offeringRequest("flat")
	o.PublicNetworkUUID = w.management
	offering, err := CreateOffering(w.tx, o)
	must(w, offering, err)
	if got := set(red, near); got != "" {
		t.Errorf("where management is the way out: %s", got)
	}
}
