package model

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Catalog is what this build of Sluice can do: the types of L2 network that it
// can make real, and the services that it can give. The app puts it together
// from the parts that it was built with; the rules read it from the View.
type Catalog struct {
	L2Types  []L2Type
	Services []ServiceType
}

// L2Type is what the rules have to know of a type of L2 network.
type L2Type interface {
	// Name is the type's name, such as L2VlanNetwork.
	Name() string
	// Validate refuses values that the type has no use for, or lacks.
	Validate(req v1.CreateL2Network) error
	// Segment names, for people too, what a network takes of its physical
	// interface: two networks in one cluster never take the same.
	Segment(l2 *v1.L2Network) string
	// MaxMTU is the largest MTU, in bytes, that frames on the network may have.
	MaxMTU() int
}

// ServiceType is a network service, as its provider offers it.
type ServiceType struct {
	// Name such as DHCP. Several providers may offer the same: an L3 network
	// has each service from one of them.
	Name string
	// Provider is the provider's type, such as VirtualRouter.
	Provider string
	// Needs are services that an L3 network must have beside this one.
	Needs []string
	// Users are the UUIDs of what would be left without the service; nil:
	// nothing ever depends on it.
	Users func(v *View, l3 string) []string
	// Free deletes one of the Users.
	Free func(tx *Tx, uuid string) error
}

// l2Type is refused with l2-type-unsupported if nothing realizes the type.
func (c Catalog) l2Type(name string) (L2Type, error) {
	names := make([]string, len(c.L2Types))
	for i, t := range c.L2Types {
		if names[i] = t.Name(); names[i] == name {
			return t, nil
		}
	}
	return nil, v1.Refused("l2-type-unsupported", "L2 network type %q cannot be made real on hosts by this version; it can be %s", name, strings.Join(names, " or "))
}

// providerSpace makes the providers' UUIDs: they are built in, and therefore
// the same everywhere.
var providerSpace = uuid.MustParse("0199d1a0-0000-7000-8000-000000000000")

// Providers are the network service providers, each with what it offers. Every
// one of them is associated with every L2 network.
func (c Catalog) Providers() []*v1.NetworkServiceProvider {
	var all []*v1.NetworkServiceProvider
	for _, s := range c.Services {
		i := slices.IndexFunc(all, func(p *v1.NetworkServiceProvider) bool { return p.Type == s.Provider })
		if i < 0 {
			i = len(all)
			id := uuid.NewSHA1(providerSpace, []byte(s.Provider)).String()
			all = append(all, &v1.NetworkServiceProvider{Meta: v1.Meta{UUID: id, Name: s.Provider}, Type: s.Provider})
		}
		all[i].ServiceTypes = append(all[i].ServiceTypes, s.Name)
	}
	return all
}

// provider finds one by UUID or type; refused with provider-unknown.
func (c Catalog) provider(name string) (*v1.NetworkServiceProvider, error) {
	var types []string
	for _, p := range c.Providers() {
		if p.Type == name || p.UUID == name {
			return p, nil
		}
		types = append(types, p.Type)
	}
	return nil, v1.Refused("provider-unknown", "network service provider %q is unknown; use %s", name, strings.Join(types, " or "))
}

// given yields the services that an L3 network has.
func (c Catalog) given(l3 *v1.L3Network) []ServiceType {
	var all []ServiceType
	for _, s := range c.Services {
		if l3.Provider(s.Name) == s.Provider {
			all = append(all, s)
		}
	}
	return all
}
