package model

import (
	"fmt"
	"reflect"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Kind is a kind of resource.
type Kind int

// The kinds, in an order in which parents come first.
const (
	Accounts Kind = iota
	Zones
	Clusters
	Hosts
	L2Networks
	L3Networks
	IPRanges
	Images
	Offerings
	Routers
	VMs
	Nics
	VIPs
	EIPs
	PortForwardings
	kindCount
)

// kinds is the one table of what a kind is called and made of. Adding a
// resource is one line here, and its links in links.go.
var kinds = [kindCount]struct {
	path string // in URLs, store keys and the command line's nouns (plural)
	make func() v1.Resource
}{
	Accounts:        {"accounts", func() v1.Resource { return new(v1.Account) }},
	Zones:           {"zones", func() v1.Resource { return new(v1.Zone) }},
	Clusters:        {"clusters", func() v1.Resource { return new(v1.Cluster) }},
	Hosts:           {"hosts", func() v1.Resource { return new(v1.Host) }},
	L2Networks:      {"l2-networks", func() v1.Resource { return new(v1.L2Network) }},
	L3Networks:      {"l3-networks", func() v1.Resource { return new(v1.L3Network) }},
	IPRanges:        {"ip-ranges", func() v1.Resource { return new(v1.IPRange) }},
	Images:          {"images", func() v1.Resource { return new(v1.Image) }},
	Offerings:       {"virtual-router-offerings", func() v1.Resource { return new(v1.VirtualRouterOffering) }},
	Routers:         {"virtual-routers", func() v1.Resource { return new(v1.VirtualRouter) }},
	VMs:             {"vm-instances", func() v1.Resource { return new(v1.VMInstance) }},
	Nics:            {"vm-nics", func() v1.Resource { return new(v1.VMNic) }},
	VIPs:            {"vips", func() v1.Resource { return new(v1.VIP) }},
	EIPs:            {"eips", func() v1.Resource { return new(v1.EIP) }},
	PortForwardings: {"port-forwarding-rules", func() v1.Resource { return new(v1.PortForwardingRule) }},
}

// Kinds yields every kind.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the kind's plural path, such as l3-networks.
func (k Kind) String() string { return kinds[k].path }

// Noun is the kind's singular, as the command line calls it: l3-network.
func (k Kind) Noun() string { return strings.TrimSuffix(kinds[k].path, "s") }

// New is an empty resource of the kind.
func (k Kind) New() v1.Resource { return kinds[k].make() }

// KindByPath finds a kind by its plural path.
func KindByPath(path string) (Kind, bool) {
	for i, k := range kinds {
		if k.path == path {
			return Kind(i), true
		}
	}
	return 0, false
}

// KindOf is the kind of a resource.
func KindOf(r v1.Resource) Kind {
	k, ok := kindByType[reflect.TypeOf(r)]
	if !ok {
		panic(fmt.Sprintf("model: %T is not a resource", r))
	}
	return k
}

func kindOf[T any, P resource[T]]() Kind { return KindOf(P(nil)) }

var kindByType = func() map[reflect.Type]Kind {
	m := make(map[reflect.Type]Kind, kindCount)
	for i, k := range kinds {
		m[reflect.TypeOf(k.make())] = Kind(i)
	}
	return m
}()
