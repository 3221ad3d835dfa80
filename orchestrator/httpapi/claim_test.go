package httpapi_test

import (
	"net/netip"
	"testing"

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
