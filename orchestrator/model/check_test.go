package model

import (
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Check names each kind of breach, made here past the rules.
func TestCheckFindsBreaches(t *testing.T) {
	tests := []struct {
		name, want string
		breach     func(m mapped)
	}{
		{"address twice", "has two owners", func(m mapped) {
			n := Copy(Get[v1.VMNic](m.tx.View, m.otherNic))
			n.L3NetworkUUID, n.IP = m.guest, m.vm.Nics[0].IP
			m.tx.Save(n)
		}},
		{"MAC twice", "MAC", func(m mapped) {
			n := Copy(Get[v1.VMNic](m.tx.View, m.otherNic))
			n.MAC = m.vm.Nics[0].MAC
			m.tx.Save(n)
		}},
		{"missing parent", "which is missing", func(m mapped) { m.tx.Drop(Zones, m.zone) }},
		{"no default offering", "0 default offerings", func(m mapped) { clearDefault(m.tx, m.zone) }},
		{"two routers", "two routers", func(m mapped) {
			r := Copy(RouterOf(m.tx.View, m.guest))
			r.UUID = NewUUID()
			m.tx.Save(r)
		}},
		{"overlapping ranges", "overlap", func(m mapped) {
			r := Copy(First[v1.IPRange](m.tx.View, RangesOfL3, m.guest))
			r.UUID = NewUUID()
			m.tx.Save(r)
		}},
		{"two default nics", "2 default nics", func(m mapped) {
			n := Copy(&m.vm.Nics[0])
			n.UUID, n.IP, n.MAC = NewUUID(), ip("192.168.10.77"), "0a:00:00:00:00:77"
			m.tx.Save(n)
		}},
		{"EIP of a stale address", "shows guest", func(m mapped) {
			e, err := m.eip(m.vip, m.nic)
			e = Copy(must(m.world, e, err))
			e.GuestIP = ip("192.168.10.99")
			m.tx.Save(e)
		}},
		{"EIP not alone", "2 users", func(m mapped) {
			e, err := m.eip(m.vip, "")
			e = Copy(must(m.world, e, err))
			e.UUID = NewUUID()
			m.tx.Save(e)
		}},
		{"stale useFor", "used for", func(m mapped) {
			vip := Copy(Get[v1.VIP](m.tx.View, m.vip))
			vip.UseFor = []string{v1.EIPService}
			m.tx.Save(vip)
		}},
		{"router off its gateway", "for its guests", func(m mapped) {
			r := Copy(RouterOf(m.tx.View, m.guest))
			r.Nics = append([]v1.RouterNic{}, r.Nics...)
			r.Nics[2].IP = ip("192.168.10.200")
			m.tx.Save(r)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMapped(t)
			tt.breach(m)
			var all []string
			for _, err := range Check(m.tx.View) {
				all = append(all, err.Error())
			}
			if found := strings.Join(all, "\n"); !strings.Contains(found, tt.want) {
				t.Errorf("want a breach with %q, got\n%s", tt.want, found)
			}
		})
	}
}
