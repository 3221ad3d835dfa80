// Package dns plans the DNS service of a router: the names of the running
// guests of its network, and the servers to ask about all others.
package dns

import (
	"net/netip"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// Service implements plan.Service.
type Service struct{}

// Name is dns.
func (Service) Name() string { return "dns" }

// Offer is DNS by the virtual router.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{Name: v1.DNS, Provider: v1.ProviderVirtualRouter}
}

// Contribute adds the guest network's zone, of its guests' names and its own,
// and upstreams.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, nics plan.Nics, c *agentv1.Content) error {
	nic, ok := r.NicWithRole(string(agentv1.RoleGuest))
	if !ok || !plan.Serves(v, r, v1.DNS) {
		return nil
	}
	l3 := model.Get[v1.L3Network](v, r.L3NetworkUUID)
	n := agentv1.DNSNetwork{
		Interface: nic.MAC, Listen: []netip.Addr{nic.IP}, Domain: l3.DNSDomain, Subnet: nic.Prefix.Masked(),
	}
	port := uint16(53)
	if l3.DNSTLSName != "" {
		port = 853 // RFC 7858 section 3.1
		n.TLS = &agentv1.DNSTLS{ServerName: l3.DNSTLSName, CA: l3.DNSTLSCA}
	}
	for _, ip := range l3.DNS {
		if ip != nic.IP { // forwarding to itself would loop
			n.Upstreams = append(n.Upstreams, netip.AddrPortFrom(ip, port))
		}
	}
	n.Records = records(v, nics, l3)
	c.DNS = append(c.DNS, n)
	return nil
}

// networkOwner is who has the names that an L3 network has beside its guests'.
const networkOwner = "network"

// records are the names of guests and of the network, sorted. Those that one has
// several addresses by say so: the others of a name clash.
func records(v *model.View, nics plan.Nics, l3 *v1.L3Network) (list []agentv1.DNSRecord) {
	for g := range plan.Guests(v, nics) {
		if g.VM.Hostname == "" {
			continue
		}
		record := agentv1.DNSRecord{Name: g.VM.Hostname, IP: g.Nic.IP}
		if hasOthers(v, g.Nic) {
			record.Owner = g.VM.UUID
		}
		list = append(list, record)
	}
	for _, r := range l3.DNSRecords {
		owner := ""
		if len(r.IPs) > 1 {
			owner = networkOwner
		}
		for _, ip := range r.IPs {
			list = append(list, agentv1.DNSRecord{Name: r.Name, IP: ip, Owner: owner})
		}
	}
	slices.SortStableFunc(list, agentv1.CompareRecords)
	// A guest may have a name that the network has too.
	return slices.CompactFunc(list, func(a, b agentv1.DNSRecord) bool { return agentv1.CompareRecords(a, b) == 0 })
}

// hasOthers reports whether the VM of a nic has another one on the same network.
func hasOthers(v *model.View, nic *v1.VMNic) bool {
	for other := range model.Related[v1.VMNic](v, model.NicsOfVM, nic.VMInstanceUUID) {
		if other.UUID != nic.UUID && other.L3NetworkUUID == nic.L3NetworkUUID {
			return true
		}
	}
	return false
}
