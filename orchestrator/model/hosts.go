package model

import (
	"net/url"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// DefaultLibvirtURI is the system libvirt of the machine.
const DefaultLibvirtURI = "qemu:///system"

// CreateHost makes an Enabled host, Connecting until it has been reached and
// every L2 network of its cluster is realized on it.
func CreateHost(tx *Tx, req v1.CreateHost) (*v1.Host, error) {
	meta, err := newMeta(tx.View, Hosts, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	if req.LibvirtURI == "" {
		req.LibvirtURI = DefaultLibvirtURI
	}
	if err := checkHostURLs(req); err != nil {
		return nil, err
	}
	if _, err := need[v1.Cluster](tx.View, req.ClusterUUID); err != nil {
		return nil, err
	}
	if err := checkHostTwice(tx.View, req); err != nil {
		return nil, err
	}
	h := &v1.Host{Meta: meta, ClusterUUID: req.ClusterUUID, LibvirtURI: req.LibvirtURI, AgentURL: req.AgentURL, State: v1.Enabled, Status: v1.Connecting}
	return h, tx.Create(h)
}

func checkHostURLs(req v1.CreateHost) error {
	if u, err := url.Parse(req.LibvirtURI); err != nil || u.Scheme == "" || u.Path == "" {
		return v1.Invalid("invalid-libvirt-uri", "libvirtUri %q is not a libvirt URI such as %s", req.LibvirtURI, DefaultLibvirtURI)
	}
	if req.AgentURL == "" {
		return nil
	}
	if u, err := url.Parse(req.AgentURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return v1.Invalid("invalid-agent-url", "agentUrl %q is not a URL such as https://host:7443", req.AgentURL)
	}
	return nil
}

// checkHostTwice refuses a machine that is registered already: two hosts on
// one machine would each make, and remove, the bridges of the other. libvirt's
// test driver has no machine.
func checkHostTwice(v *View, req v1.CreateHost) error {
	if strings.HasPrefix(req.LibvirtURI, "test:") {
		return nil
	}
	for h := range List[v1.Host](v) {
		if h.LibvirtURI == req.LibvirtURI && h.AgentURL == req.AgentURL {
			return v1.Conflict("host-already-exists", "host %q has libvirtUri %s and agentUrl %q already; use it, or delete it first", h.Name, h.LibvirtURI, h.AgentURL).On(h.UUID)
		}
	}
	return nil
}

// SetHostState sets the owner's word: Enabled, Disabled or Maintenance. Only an
// Enabled host receives routers; what has to leave one in Maintenance is
// RoutersOfHost.
func SetHostState(tx *Tx, uuid, state string) (*v1.Host, error) {
	if _, err := oneOf("state", state, "", v1.Enabled, v1.Disabled, v1.Maintenance); err != nil {
		return nil, err
	}
	h, err := need[v1.Host](tx.View, uuid)
	if err != nil || h.State == state {
		return h, err
	}
	h = Copy(h)
	h.State = state
	tx.Save(h)
	return h, nil
}

// FenceHost takes the administrator's word that a host which cannot be reached
// is dead: its routers are made on other hosts. Without it they are not, for
// they may well run, and two routers of one network would have the same
// addresses. Refused (host-not-disconnected) while the host is or may be
// reached. The fence ends when the host is back.
func FenceHost(tx *Tx, uuid string) (*v1.Host, error) {
	h, err := need[v1.Host](tx.View, uuid)
	if err != nil || h.Fenced {
		return h, err
	}
	if h.Status != v1.Disconnected {
		return nil, v1.Conflict("host-not-disconnected", "host %q is %s, and only one that cannot be reached is fenced; set it to Maintenance to move its routers", h.Name, h.Status).On(uuid)
	}
	h = Copy(h)
	h.Fenced = true
	tx.Save(h)
	return h, nil
}

// HostActions are what HostAction does.
var HostActions = []string{"fence"}

// HostAction is FenceHost by name.
func HostAction(tx *Tx, uuid, action string) (*v1.Host, error) {
	if action != "fence" {
		return nil, v1.Invalid("unknown-action", "action %q is none of %v", action, HostActions)
	}
	return FenceHost(tx, uuid)
}

// LeaveBehind notes that a router leaves a fenced host, where its domain may
// still be. Refused (host-not-fenced) if the host is back.
func LeaveBehind(tx *Tx, host, router string) error {
	h := Get[v1.Host](tx.View, host)
	if h == nil || slices.Contains(h.LeftBehind, router) {
		return nil
	}
	if !h.Fenced {
		return v1.Conflict("host-not-fenced", "host %q is back; the router is looked at again", h.Name).On(host)
	}
	h = Copy(h)
	h.LeftBehind = with(h.LeftBehind, router)
	tx.Save(h)
	return nil
}

// ReturnHost ends a host's fence after the domains of routers were removed from
// it, unless others were left behind meanwhile.
func ReturnHost(tx *Tx, host string, removed []string) error {
	h := Get[v1.Host](tx.View, host)
	if h == nil || !h.Fenced {
		return nil
	}
	h = Copy(h)
	h.LeftBehind = slices.DeleteFunc(slices.Clone(h.LeftBehind), func(r string) bool { return slices.Contains(removed, r) })
	h.Fenced = len(h.LeftBehind) > 0
	tx.Save(h)
	return nil
}

// DrainHost begins a host's end: it goes into Maintenance, the routers that
// another host may take move there, and the others are destroyed, to be made
// again when a guest next needs them. Refused (host-unreachable) if it has
// routers and cannot be reached, unless it is fenced.
func DrainHost(tx *Tx, uuid string) error {
	h := Get[v1.Host](tx.View, uuid)
	if h == nil {
		return nil
	}
	routers := slices.Collect(Related[v1.VirtualRouter](tx.View, RoutersOfHost, uuid))
	if len(routers) > 0 && h.Status != v1.Connected && !h.Fenced {
		return v1.Conflict("host-unreachable", "host %q is %s and may run %d routers; bring it back, or if it is dead say so with `sluice host fence %s`", h.Name, h.Status, len(routers), h.Name).
			On(uuidsOf(slices.Values(routers))...)
	}
	if _, err := SetHostState(tx, uuid, v1.Maintenance); err != nil {
		return err
	}
	for _, r := range routers {
		if len(CandidateHosts(tx.View, r)) == 0 {
			destroyRouter(tx, r)
		}
	}
	return nil
}

// DeleteHost is refused (host-in-use) while a router is placed on the host:
// with the host's row gone nobody could remove its domain. Realizations on the
// host go with it.
func DeleteHost(tx *Tx, uuid string) error {
	h := Get[v1.Host](tx.View, uuid)
	if h == nil {
		return nil
	}
	if routers := uuidsOf(Related[v1.VirtualRouter](tx.View, RoutersOfHost, uuid)); len(routers) > 0 {
		return v1.Conflict("host-in-use", "host %q still runs %d routers; they have to leave first", h.Name, len(routers)).On(routers...)
	}
	for _, l2 := range slices.Collect(List[v1.L2Network](tx.View)) {
		if slices.ContainsFunc(l2.Realizations, func(r v1.Realization) bool { return r.HostUUID == uuid }) {
			left := Copy(l2)
			left.Realizations = realizationsWithout(l2.Realizations, func(host string) bool { return host == uuid })
			tx.Save(left)
		}
	}
	leaveHost(tx, uuid)
	stripTags(tx, uuid)
	tx.Drop(Hosts, uuid)
	return nil
}

// HostsFor yields the hosts on which something with nics on all of the L3
// networks may run now: Enabled and Connected, of an Enabled cluster that has
// every L2 network of theirs attached.
func HostsFor(v *View, l3s []string) []*v1.Host {
	var hosts []*v1.Host
	for _, c := range clustersFor(v, l3s) {
		for h := range Related[v1.Host](v, HostsOfCluster, c.UUID) {
			if h.State == v1.Enabled && h.Status == v1.Connected {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// clustersFor are the Enabled clusters that have the L2 networks of all of the
// L3 networks attached.
func clustersFor(v *View, l3s []string) []*v1.Cluster {
	var clusters []*v1.Cluster
	for c := range List[v1.Cluster](v) {
		reaches := func(uuid string) bool {
			l3 := Get[v1.L3Network](v, uuid)
			if l3 == nil {
				return false
			}
			l2 := Get[v1.L2Network](v, l3.L2NetworkUUID)
			return l2 != nil && slices.Contains(l2.AttachedClusterUUIDs, c.UUID)
		}
		if c.State == v1.Enabled && !slices.ContainsFunc(l3s, func(l3 string) bool { return !reaches(l3) }) {
			clusters = append(clusters, c)
		}
	}
	return clusters
}
