package model

import (
	"reflect"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// ownFields are what changes of a kind besides name and description.
var ownFields = [kindCount][]string{
	Zones:           {"state"},
	Clusters:        {"state"},
	Hosts:           {"state"},
	L3Networks:      {"state", "dnsDomain", "mtu", "dns", "dnsTlsName", "dnsTlsCa", "dnsRecords", "hostRoutes", "reservedRanges", "allocationStrategy"},
	Images:          {"state"},
	Offerings:       {"state", "cpuNum", "memorySize", "managementNetworkUuid", "publicNetworkUuid", "imageUuid", "isDefault"},
	VMs:             {"hostname"},
	Nics:            {"isDefault", "dhcpOptions", "staticRoutes"},
	VIPs:            {"state"},
	EIPs:            {"state"},
	PortForwardings: {"state", "allowedCidr"},
}

// Changeable are the fields of a kind that Patch changes, the common ones first.
func Changeable(kind Kind) []string {
	return append([]string{"name", "description"}, ownFields[kind]...)
}

// Optional reports whether null takes a changeable field away.
func Optional(field string) bool {
	return slices.Contains([]string{
		"description", "hostname", "dhcpOptions", "staticRoutes", "allowedCidr",
		"dnsDomain", "dns", "dnsTlsName", "dnsTlsCa", "dnsRecords", "hostRoutes", "reservedRanges",
	}, field)
}

// reasons are why a field is not changed by Patch, where it is not that it is
// fixed for good; of one kind, or of all.
var reasons = map[string]string{
	"uuid": serverKeeps, "createDate": serverKeeps, "lastOpDate": serverKeeps, "revision": serverKeeps, "conditions": serverKeeps,
	"status": serverKeeps, "useFor": serverKeeps, "strangers": serverKeeps, "ipRequested": serverKeeps, "realizations": serverKeeps, "virtType": serverKeeps,
	"hosts/cpuNum": serverKeeps, "hosts/memorySize": serverKeeps,
	"accountUuid":                       "it belongs to the account that made it; delete it and make it as another",
	"sharedWith":                        "networks are shared with PUT shared-with below their path",
	"systemTags":                        "tags come and go with POST and DELETE /v1/system-tags",
	"vm-instances/state":                "use its actions start and stop",
	"vm-instances/nics":                 "nics are objects of their own: change them under /v1/vm-nics",
	"virtual-routers/state":             "use its actions start and stop",
	"virtual-routers/cpuNum":            "change its offering, destroy the router, and the next one is of that size",
	"virtual-routers/memorySize":        "change its offering, destroy the router, and the next one is of that size",
	"vm-nics/ip":                        "use PUT /v1/vm-nics/{uuid}/ip, or `sluice vm-nic set-ip`",
	"vm-nics/l3NetworkUuid":             "delete the nic, and give its VM one on the other network",
	"vm-nics/mac":                       "guests and leases know the nic by it; delete the nic and make another",
	"eips/vmNicUuid":                    "attach and detach it",
	"eips/guestIp":                      "it follows the nic",
	"l3-networks/ipRanges":              "ranges are objects of their own: add and delete them",
	"l3-networks/networkServices":       "attach and detach services",
	"l3-networks/category":              "guests and VIPs on it depend on it; make another network on the same L2 network",
	"l3-networks/routerInterfaceIp":     "use PUT /v1/l3-networks/{uuid}/router-interface-ip, or `sluice l3-network set-router-interface-ip`",
	"l2-networks/attachedClusterUuids":  "attach and detach clusters",
	"hosts/libvirtUri":                  "it says which machine the host is; put it in Maintenance, delete it, and add the other one",
	"port-forwarding-rules/vmNicUuid":   "attach and detach it",
	"port-forwarding-rules/guestIp":     "it follows the nic",
	"virtual-router-offerings/zoneUuid": "its networks are of that zone; make an offering in the other one",
}

const serverKeeps = "the server keeps it"

func whyImmutable(kind Kind, field string) string {
	if why, ok := reasons[kind.String()+"/"+field]; ok {
		return why
	}
	if why, ok := reasons[field]; ok {
		return why
	}
	return "it is fixed when the " + kind.Noun() + " is created; delete it and create another"
}

// checkChange holds a changed resource against the rules of create, and makes
// the changes to others that come with it.
func checkChange(tx *Tx, kind Kind, before, after v1.Resource) error {
	m := after.GetMeta()
	if err := v1.ValidateName(m.Name); err != nil {
		return err
	}
	if err := v1.ValidateDescription(m.Description); err != nil {
		return err
	}
	if slices.Contains(ownFields[kind], "state") {
		if err := checkState(kind, after); err != nil {
			return err
		}
	}
	switch r := after.(type) {
	case *v1.L3Network:
		return checkL3Change(tx.View, before.(*v1.L3Network), r)
	case *v1.VirtualRouterOffering:
		return changeOffering(tx, before.(*v1.VirtualRouterOffering), r)
	case *v1.VMInstance:
		return checkHostname(r)
	case *v1.VMNic:
		return changeNic(tx, before.(*v1.VMNic), r)
	case *v1.PortForwardingRule:
		return checkAllowedChange(tx.View, before.(*v1.PortForwardingRule), r)
	}
	return nil
}

func checkState(kind Kind, r v1.Resource) error {
	allowed := []string{v1.Enabled, v1.Disabled}
	if kind == Hosts {
		allowed = append(allowed, v1.Maintenance)
	}
	_, err := oneOf("state", jsonFields(reflect.ValueOf(r).Elem())["state"].String(), "", allowed...)
	return err
}
