package vm

import (
	"net/http"
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestStrangersOnTheWire has somebody on the public network who holds the
// address that a router would have taken, and one that a VIP would have: both
// take the next ones, and the network tells who he is.
func TestStrangersOnTheWire(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	var l3s struct{ Items []v1.L3Network }
	s.check(s.API.Do(t.Context(), http.MethodGet, "/v1/l3-networks?name=public", nil, &l3s))
	public := l3s.Items[0]
	var l2 v1.L2Network
	s.check(s.API.Do(t.Context(), http.MethodGet, "/v1/l2-networks/"+public.L2NetworkUUID, nil, &l2))
	const mac = "52:54:00:00:99:01"
	stranger, err := s.Lab.AddGuest(t.Context(), "stranger", mac, l2.Realizations[0].Bridge)
	s.check(err)
	for _, address := range []string{"203.0.113.4/24", "203.0.113.6/24"} { // the two VIPs have .2 and .3
		_, err := s.Lab.In(t.Context(), stranger.Name, "ip", "address", "add", address, "dev", "eth0")
		s.check(err)
	}

	s.check(s.start(t.Context(), s.vm("web")))
	router := s.oneRouter()
	if got := router.Nics[1].IP.String(); got != "203.0.113.5" {
		t.Errorf("the router has %s, want 203.0.113.5", got)
	}
	var vip v1.VIP
	s.check(s.API.Do(t.Context(), http.MethodPost, "/v1/vips", v1.CreateVIP{CreateMeta: v1.CreateMeta{Name: "new"}, L3NetworkUUID: public.UUID}, &vip))
	if got := vip.IP.String(); got != "203.0.113.7" {
		t.Errorf("the VIP has %s, want 203.0.113.7", got)
	}
	s.check(s.API.Do(t.Context(), http.MethodGet, "/v1/l3-networks/"+public.UUID, nil, &public))
	if len(public.Strangers) != 2 || slices.ContainsFunc(public.Strangers, func(x v1.Stranger) bool { return x.MAC != mac }) {
		t.Errorf("strangers %+v", public.Strangers)
	}
	for _, c := range router.Conditions {
		t.Logf("%-10s %d ms", c.Type, c.DurationMs)
	}
	s.check(s.API.Do(t.Context(), http.MethodDelete, "/v1/vips/"+vip.UUID, nil, nil))
	s.nothingLeft()
}
