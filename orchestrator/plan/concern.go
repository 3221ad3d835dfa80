package plan

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Concern is a router whose content, or whose choice of hosts, may have become
// another one. With Nic it is only what the content has of that nic of its
// guest network.
type Concern struct{ Router, Nic string }

// Concerned yields the routers of a view that may have become others by a change
// of one resource from before (nil: it was made) to after (nil: it was deleted).
// It may name too many, never too few, if it is asked about every change that
// led to the view. The kinds that few resources have, and that places depend on,
// concern all routers: everyone is true.
func Concerned(v *model.View, before, after v1.Resource) (concerns []Concern, everyone bool) {
	c := concern{v: v, seen: map[Concern]bool{}}
	for _, r := range []v1.Resource{before, after} {
		if r != nil {
			c.resource(r)
		}
	}
	return c.concerns, c.everyone
}

type concern struct {
	v        *model.View
	concerns []Concern
	seen     map[Concern]bool
	everyone bool
}

func (c *concern) resource(r v1.Resource) {
	switch r := r.(type) {
	case *v1.VirtualRouter:
		c.router(r.UUID, "")
	case *v1.VMNic: // the VM's other nics have its name, too
		c.guestNetwork(r.L3NetworkUUID, r.UUID)
		c.vm(r.VMInstanceUUID)
	case *v1.VMInstance: // the nics of one that was deleted went with it
		c.vm(r.UUID)
	case *v1.EIP:
		c.nic(r.VMNicUUID)
	case *v1.PortForwardingRule:
		c.nic(r.VMNicUUID)
	case *v1.VIP:
		c.vip(r)
	case *v1.L3Network:
		c.network(r.UUID)
	case *v1.IPRange:
		c.network(r.L3NetworkUUID)
	case *v1.L2Network:
		for l3 := range model.Related[v1.L3Network](c.v, model.L3sOfL2, r.UUID) {
			c.network(l3.UUID)
		}
	case *v1.Account: // who owns a thing changes nothing about it
	default:
		c.everyone = true
	}
}

func (c *concern) router(uuid, nic string) {
	if one := (Concern{uuid, nic}); uuid != "" && !c.seen[one] {
		c.seen[one] = true
		c.concerns = append(c.concerns, one)
	}
}

// guestNetwork is one of which a nic changed, or all: the router that serves it.
func (c *concern) guestNetwork(l3, nic string) {
	for r := range model.Related[v1.VirtualRouter](c.v, model.RouterOfGuestL3, l3) {
		c.router(r.UUID, nic)
	}
}

// network is one that changed itself: all routers with a nic on it.
func (c *concern) network(l3 string) {
	c.guestNetwork(l3, "")
	for r := range model.Related[v1.VirtualRouter](c.v, model.RoutersOnL3, l3) {
		c.router(r.UUID, "")
	}
}

func (c *concern) vm(uuid string) {
	for nic := range model.Related[v1.VMNic](c.v, model.NicsOfVM, uuid) {
		c.guestNetwork(nic.L3NetworkUUID, nic.UUID)
	}
}

// nic is one with a mapping that changed. If the nic is gone, that it went
// concerned its router.
func (c *concern) nic(uuid string) {
	if nic := model.Get[v1.VMNic](c.v, uuid); nic != nil {
		c.guestNetwork(nic.L3NetworkUUID, uuid)
	}
}

// vip appears on routers by what uses it. What is gone of that was a change of
// its own.
func (c *concern) vip(vip *v1.VIP) {
	c.router(vip.VirtualRouterUUID, "")
	for e := range model.Related[v1.EIP](c.v, model.EIPsOfVIP, vip.UUID) {
		c.nic(e.VMNicUUID)
	}
	for f := range model.Related[v1.PortForwardingRule](c.v, model.ForwardingsOfVIP, vip.UUID) {
		c.nic(f.VMNicUUID)
	}
}
