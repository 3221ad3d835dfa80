package httpapi_test

import (
	"net/netip"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// An address that a stranger on the wire has is not the one that is answered,
// unless it was asked for.
func TestVIPAnswersWithTheAddressItKeeps(t *testing.T) {
	s := newSite(t)
	m := s.build()
	asked := 0
	s.world.claim = func(vip string) {
		asked++
		_, err := s.store.Update(t.Context(), func(tx *model.Tx) error {
			first := netip.MustParseAddr("192.168.122.2")
			return model.ClaimVIPs(tx, map[string]netip.Addr{vip: first}, model.Heard{{L3: m["public"], IP: first}: "52:54:00:00:00:99"})
		})
		if err != nil {
			t.Error(err)
		}
	}
	made := s.send("POST", "/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"]})
	if made.status != 201 || made.object["ip"] != "192.168.122.3" || asked != 1 {
		t.Errorf("asked %d times, answered %s", asked, made.raw)
	}
	if got := s.ok("GET", "/v1/l3-networks/"+m["public"], nil).object["strangers"].([]any); len(got) != 1 || got[0].(object)["mac"] != "52:54:00:00:00:99" {
		t.Errorf("strangers %v", got)
	}
	s.refused(409, "address-in-use", "POST", "/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"], "ip": "192.168.122.2"})
	s.send("POST", "/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"], "ip": "192.168.122.9"})
	s.send("POST", "/v1/vips?dryRun=true", object{"name": "vip", "l3NetworkUuid": m["public"]})
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A VIP whose address was asked about before is stored once, claimed: its ETag
// stays. A stranger's address is noted in the same transaction, and the VIP has
// the next one; one that was given away meanwhile is not taken for asked about.
func TestVIPIsStoredOnce(t *testing.T) {
	s := newSite(t)
	m := s.build()
	heard := model.Heard{}
	s.world.asked = func(v *model.View, req v1.CreateVIP) (netip.Addr, model.Heard) {
		vip, err := model.CreateVIP(model.NewTx(v, time.Now()), req)
		if err != nil {
			return netip.Addr{}, nil
		}
		return vip.IP, heard
	}
	s.world.claim = func(string) {}
	for _, ip := range []string{"", "192.168.122.77"} {
		before := s.store.View().Revision
		made := s.send("POST", "/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"], "ip": ip})
		condition := made.object["conditions"].([]any)[0].(object)
		if made.status != 201 || condition["status"] != "True" || s.store.View().Revision != before+1 {
			t.Errorf("%d writes: %s", s.store.View().Revision-before, made.raw)
		}
		s.ok("PATCH", "/v1/vips/"+made.str("uuid"), object{"name": "mine"}, "If-Match", made.header.Get("ETag"))
	}
	next := netip.MustParseAddr("192.168.122.3")
	heard[model.Place{L3: m["public"], IP: next}] = "52:54:00:00:00:99"
	if made := s.send("POST", "/v1/vips", object{"name": "vip", "l3NetworkUuid": m["public"]}); made.str("ip") != "192.168.122.4" || made.object["conditions"] != nil {
		t.Errorf("beside a stranger: %s", made.raw)
	}
	asked := s.world.asked
	s.world.asked = func(v *model.View, req v1.CreateVIP) (netip.Addr, model.Heard) {
		ip, heard := asked(v, req)
		s.world.asked = nil
		s.create("/v1/vips", object{"name": "faster", "l3NetworkUuid": m["public"]})
		return ip, heard
	}
	if made := s.send("POST", "/v1/vips", object{"name": "slower", "l3NetworkUuid": m["public"]}); made.str("ip") != "192.168.122.6" || made.object["conditions"] != nil {
		t.Errorf("after another was faster: %s", made.raw)
	}
}
