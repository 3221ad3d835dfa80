package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// RouterActions are what RouterAction does.
var RouterActions = []string{"start", "stop", "reboot", "reconnect", "rebuild"}

// RouterAction records what the owner asks of a router: start, stop, reboot and
// rebuild (a new domain; addresses and MACs stay), or reconnect (the whole
// configuration is sent again). Unknown actions are unknown-action; a router
// that is being destroyed is refused (router-being-destroyed).
func RouterAction(tx *Tx, uuid, action string) (*v1.VirtualRouter, error) {
	if !slices.Contains(RouterActions, action) {
		return nil, v1.Invalid("unknown-action", "action %q is none of %v", action, RouterActions)
	}
	r, err := need[v1.VirtualRouter](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	if r.WantedState == v1.StateDestroyed {
		return nil, v1.Conflict("router-being-destroyed", "router %q is being destroyed; start a guest of its network to have one again", r.Name).On(uuid)
	}
	c := Copy(r)
	switch action {
	case "start":
		c.WantedState = v1.StateRunning
	case "stop":
		c.WantedState = v1.StateStopped
	case "reboot", "rebuild":
		if tx.Any(Images, r.ImageUUID) == nil {
			return nil, v1.Refused("image-missing", "image %s of router %q was deleted, so it cannot be made again; destroy the router, and start a guest to have it made from its offering", r.ImageUUID, r.Name).On(uuid, r.ImageUUID)
		}
		c = anew(r)
		c.WantedState = v1.StateRunning
	case "reconnect":
		// What the agent is known to have reached is forgotten, so that the
		// whole spec goes out again.
		c.Status, c.AppliedGeneration, c.AppliedHash = v1.Connecting, 0, ""
	}
	if c.WantedState == r.WantedState && c.Epoch == r.Epoch && action != "reconnect" {
		return r, nil
	}
	tx.Save(c)
	return c, nil
}

// anew is a copy of a router that is to be built again under a new epoch.
// Creating says that the build has begun and is to be gone on with; what the
// agent of the present domain has reached counts no more.
func anew(r *v1.VirtualRouter) *v1.VirtualRouter {
	r = Copy(r)
	r.Epoch++
	r.State, r.Status = v1.StateCreating, v1.Connecting
	r.AppliedGeneration, r.AppliedHash, r.BootID = 0, "", ""
	return r
}

// DeleteRouter wants a router destroyed; ForgetRouter drops its row when its
// domain is gone. Guests keep running; the next one that starts has a router
// made again. A missing router is fine.
func DeleteRouter(tx *Tx, uuid string) error {
	if r := Get[v1.VirtualRouter](tx.View, uuid); r != nil {
		destroyRouter(tx, r)
	}
	return nil
}

func destroyRouter(tx *Tx, r *v1.VirtualRouter) {
	if r.WantedState == v1.StateDestroyed {
		return
	}
	r = Copy(r)
	r.WantedState = v1.StateDestroyed
	tx.Save(r)
}

// ForgetRouter drops the row of a router whose domain is gone, with its system
// VIP and the rules on that. It is refused (router-wanted) if the router has
// been wanted back meanwhile. A missing router is fine.
func ForgetRouter(tx *Tx, uuid string) error {
	r := Get[v1.VirtualRouter](tx.View, uuid)
	if r == nil {
		return nil
	}
	if r.WantedState != v1.StateDestroyed {
		return v1.Conflict("router-wanted", "router %q is wanted %s", r.Name, r.WantedState).On(uuid)
	}
	for _, vip := range slices.Collect(Related[v1.VIP](tx.View, VIPsOfRouter, uuid)) {
		dropVIP(tx, vip)
	}
	tx.Drop(Routers, uuid)
	return nil
}

// PlaceRouter stores the host that plan/placement chose. It is refused
// (no-host) if the host cannot take the router any more.
func PlaceRouter(tx *Tx, uuid, host string) (*v1.VirtualRouter, error) {
	r, err := need[v1.VirtualRouter](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	h, err := need[v1.Host](tx.View, host)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(CandidateHosts(tx.View, r), h) {
		return nil, v1.Unavailable("no-host", "host %q cannot take router %q now", h.Name, r.Name).On(h.UUID, r.UUID)
	}
	if r.HostUUID == h.UUID && r.ClusterUUID == h.ClusterUUID {
		return r, nil
	}
	r = Copy(r)
	r.HostUUID, r.ClusterUUID = h.UUID, h.ClusterUUID
	tx.Save(r)
	return r, nil
}
