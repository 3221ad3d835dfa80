package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateL3Network makes an Enabled L3 network without ranges or services. An
// account makes Private ones only (category-not-allowed).
func CreateL3Network(tx *Tx, req v1.CreateL3Network) (*v1.L3Network, error) {
	meta, err := newMeta(tx.View, L3Networks, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	category, err := oneOf("category", req.Category, v1.Private, v1.Public, v1.Private, v1.System)
	if err != nil {
		return nil, err
	}
	strategy, err := allocationStrategy(req.AllocationStrategy)
	if err != nil {
		return nil, err
	}
	if tx.account != "" && category != v1.Private {
		return nil, v1.Refused("category-not-allowed", "an account makes %s networks only, not %s; ask an operator for the other", v1.Private, category)
	}
	l2, err := need[v1.L2Network](tx.View, req.L2NetworkUUID)
	if err != nil {
		return nil, err
	}
	l3 := &v1.L3Network{
		Meta: meta, L2NetworkUUID: l2.UUID, ZoneUUID: l2.ZoneUUID, Category: category, State: v1.Enabled,
		DNSDomain: req.DNSDomain, MTU: req.MTU, DNS: orEmpty(req.DNS), DNSOverTLS: req.DNSOverTLS, HostRoutes: orEmpty(req.HostRoutes), DNSRecords: req.DNSRecords,
		AllocationStrategy: strategy, NetworkServices: map[string][]string{}, IPRanges: []v1.IPRange{},
	}
	if l3.MTU == 0 {
		l3.MTU = MaxMTU(tx.View, l2)
	}
	if err := checkL3Values(tx.View, l3, l2); err != nil {
		return nil, err
	}
	return l3, tx.Create(l3)
}

func checkL3Values(v *View, l3 *v1.L3Network, l2 *v1.L2Network) error {
	if l3.DNSDomain != "" {
		if err := v1.ValidateDNSName(l3.DNSDomain); err != nil {
			return err
		}
	}
	if err := checkDNS(v, l3); err != nil {
		return err
	}
	if err := checkDNSTLS(l3.DNSOverTLS); err != nil {
		return err
	}
	if err := checkHostRoutes(l3.HostRoutes); err != nil {
		return err
	}
	if err := checkDNSRecords(l3.DNSDomain, l3.DNSRecords); err != nil {
		return err
	}
	return checkMTU(v, l3.MTU, l2)
}

// WithRanges is the network as it is answered: with its ranges filled in.
func WithRanges(v *View, l3 *v1.L3Network) *v1.L3Network {
	c := Copy(l3)
	c.IPRanges = []v1.IPRange{}
	for r := range Related[v1.IPRange](v, RangesOfL3, l3.UUID) {
		c.IPRanges = append(c.IPRanges, *r)
	}
	return c
}

// DeleteL3Network deletes the network with its ranges, VIPs (and their EIPs and
// rules), guests' nics and the offerings that use it. Routers with a nic on it
// are to be destroyed; their rows stay until their domains are gone. A missing
// network is fine.
func DeleteL3Network(tx *Tx, uuid string) error {
	if Get[v1.L3Network](tx.View, uuid) == nil {
		return nil
	}
	for _, r := range slices.Collect(Related[v1.VirtualRouter](tx.View, RoutersOnL3, uuid)) {
		destroyRouter(tx, r)
	}
	for _, o := range slices.Collect(List[v1.VirtualRouterOffering](tx.View)) {
		if o.ManagementNetworkUUID == uuid || o.PublicNetworkUUID == uuid {
			if err := DeleteOffering(tx, o.UUID); err != nil {
				return err
			}
		}
	}
	for _, vip := range slices.Collect(Related[v1.VIP](tx.View, VIPsOfL3, uuid)) {
		dropVIP(tx, vip)
	}
	for _, nic := range slices.Collect(Related[v1.VMNic](tx.View, NicsOfL3, uuid)) {
		dropNic(tx, nic.UUID)
	}
	for _, r := range slices.Collect(Related[v1.IPRange](tx.View, RangesOfL3, uuid)) {
		tx.Drop(IPRanges, r.UUID)
	}
	stripTags(tx, uuid)
	tx.Drop(L3Networks, uuid)
	refreshSystemVIPs(tx, routerUUID(RouterOf(tx.View, uuid)))
	return nil
}

// changeL3 saves a changed copy of a network.
func changeL3(tx *Tx, uuid string, change func(*v1.L3Network) error) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	l3 = Copy(l3)
	if err := change(l3); err != nil {
		return nil, err
	}
	tx.Save(l3)
	return l3, nil
}
