package plan_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/plan/plantest"
)

// city has a router whose guest network has that many nics of running VMs, the
// first ones with an EIP.
func city(nics, eips int) *model.View {
	s := plantest.New()
	at, public := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("100.64.0.1")
	for n := range nics {
		vm := &v1.VMInstance{Meta: v1.Meta{UUID: plantest.ID(100_000 + n)}, Hostname: fmt.Sprintf("vm-%06d", n), State: v1.StateRunning}
		nic := &v1.VMNic{Meta: v1.Meta{UUID: plantest.ID(200_000 + n)}, VMInstanceUUID: vm.UUID, L3NetworkUUID: plantest.Guest, IP: at, IsDefault: true,
			MAC: fmt.Sprintf("0a:%02x:%02x:00:00:01", n*31&255, n*17>>8&255)}
		s.Add(vm, nic)
		at = at.Next()
		if n < eips {
			vip := &v1.VIP{Meta: v1.Meta{UUID: plantest.ID(300_000 + n)}, L3NetworkUUID: plantest.Public, IP: public, State: v1.Enabled}
			s.Add(vip, &v1.EIP{Meta: v1.Meta{UUID: plantest.ID(400_000 + n)}, VIPUUID: vip.UUID, VMNicUUID: nic.UUID, State: v1.Enabled})
			public = public.Next()
		}
	}
	return model.ViewOf(s.Resources)
}

func BenchmarkContent(b *testing.B) {
	for _, size := range []struct{ nics, eips int }{{100, 10}, {65_000, 0}, {65_000, 10_000}} {
		v := city(size.nics, size.eips)
		b.Run(fmt.Sprintf("%d-nics-%d-eips", size.nics, size.eips), func(b *testing.B) {
			for b.Loop() {
				c, err := plan.Content(v, model.Get[v1.VirtualRouter](v, plantest.Router), services)
				if err != nil || len(c.DHCP[0].Bindings) != size.nics || len(c.EIPs) != size.eips {
					b.Fatalf("%v, %d bindings, %d EIPs", err, len(c.DHCP[0].Bindings), len(c.EIPs))
				}
			}
		})
	}
}

// BenchmarkDifference is what one moved EIP costs of a city that is known.
func BenchmarkDifference(b *testing.B) {
	was := city(65_000, 10_000)
	row := model.Get[v1.VirtualRouter](was, plantest.Router)
	known, err := plan.Content(was, row, services)
	if err != nil {
		b.Fatal(err)
	}
	digest := known.Digest()
	tx := model.NewTx(was, time.Unix(0, 0))
	moved := model.Copy(model.Get[v1.EIP](was, plantest.ID(400_000)))
	moved.VMNicUUID = plantest.ID(220_000)
	tx.Save(moved)
	for b.Loop() {
		ch, ok := plan.Difference(was, tx.View, row.UUID, []string{plantest.ID(200_000), plantest.ID(220_000)}, services)
		c, err := known.Changed(ch)
		if !ok || err != nil || ch.Len() != 2 || digest.Changed(ch).String() == digest.String() || len(c.EIPs) != 10_000 {
			b.Fatalf("%t, %v, %+v", ok, err, ch)
		}
	}
}
