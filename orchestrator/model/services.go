package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Providers are the network service providers. The virtual router is
// associated with every L2 network; it is built in, so its UUID is fixed.
func Providers() []*v1.NetworkServiceProvider {
	return []*v1.NetworkServiceProvider{{
		Meta: v1.Meta{UUID: "00000000-0000-7000-8000-000000000001", Name: v1.ProviderVirtualRouter},
		Type: v1.ProviderVirtualRouter, ServiceTypes: []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding},
	}}
}

// AttachNetworkServices attaches services, by provider UUID or type, to an L3
// network. Services it has from the same provider already are fine. A router
// that is there already takes the addresses that the services want, and is
// rebuilt if those are others.
func AttachNetworkServices(tx *Tx, l3UUID string, asked map[string][]string) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	wanted, err := providerTypes(asked)
	if err != nil {
		return nil, err
	}
	trial := Copy(l3)
	trial.NetworkServices = map[string][]string{}
	for p, types := range l3.NetworkServices {
		trial.NetworkServices[p] = slices.Clone(types)
	}
	for p, types := range wanted {
		for _, s := range types {
			if have := trial.Provider(s); have != "" && have != p {
				return nil, v1.Conflict("service-has-provider", "L3 network %q has %s from %s already; detach it first", l3.Name, s, have).On(l3.UUID)
			}
			trial.NetworkServices[p] = with(trial.NetworkServices[p], s)
		}
	}
	return trial, setServices(tx, l3, trial)
}

// DetachNetworkServices detaches services from an L3 network. EIPs and rules
// on its nics are users of EIP and PortForwarding, and those of SNAT: refused
// with their list (service-in-use), unless cascade deletes them first. Services
// or a network that are not there are fine.
func DetachNetworkServices(tx *Tx, l3UUID string, asked map[string][]string, cascade bool) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	gone, err := providerTypes(asked)
	if err != nil {
		return nil, err
	}
	if types := gone[v1.ProviderVirtualRouter]; cascade && slices.Contains(types, v1.SNAT) {
		gone[v1.ProviderVirtualRouter] = with(with(types, v1.EIPService), v1.PortForwarding)
	}
	trial := Copy(l3)
	trial.NetworkServices = servicesWithout(l3.NetworkServices, gone)
	err = tx.atomic(func() error {
		if err := freeServices(tx, l3, trial, cascade); err != nil {
			return err
		}
		return setServices(tx, l3, trial)
	})
	return trial, err
}

func servicesWithout(have, gone map[string][]string) map[string][]string {
	left := map[string][]string{}
	for p, types := range have {
		keep := slices.DeleteFunc(slices.Clone(types), func(s string) bool { return slices.Contains(gone[p], s) })
		if len(keep) > 0 {
			left[p] = keep
		}
	}
	return left
}

// freeServices deletes, or refuses because of, the users of services that the
// trial has no more.
func freeServices(tx *Tx, l3, trial *v1.L3Network, cascade bool) error {
	eips, rules := usersOfServices(tx.View, l3, trial)
	if users := slices.Concat(eips, rules); len(users) > 0 && !cascade {
		return v1.Conflict("service-in-use", "services of L3 network %q are used by %d EIPs and %d port forwarding rules; detach those, or repeat with ?cascade=true to delete them",
			l3.Name, len(eips), len(rules)).On(users...)
	}
	for _, uuid := range eips {
		if err := DeleteEIP(tx, uuid); err != nil {
			return err
		}
	}
	for _, uuid := range rules {
		if err := DeletePortForwardingRule(tx, uuid); err != nil {
			return err
		}
	}
	return nil
}

func usersOfServices(v *View, l3, trial *v1.L3Network) (eips, rules []string) {
	for nic := range Related[v1.VMNic](v, NicsOfL3, l3.UUID) {
		if !trial.HasService(v1.EIPService) {
			eips = append(eips, uuidsOf(Related[v1.EIP](v, EIPsOfNic, nic.UUID))...)
		}
		if !trial.HasService(v1.PortForwarding) {
			rules = append(rules, uuidsOf(Related[v1.PortForwardingRule](v, ForwardingsOfNic, nic.UUID))...)
		}
	}
	return eips, rules
}

// setServices checks a network's new services as a whole and stores them, with
// what they change on its router.
func setServices(tx *Tx, l3, trial *v1.L3Network) error {
	if sameServices(l3.NetworkServices, trial.NetworkServices) {
		return nil
	}
	if err := checkServices(tx.View, trial); err != nil {
		return err
	}
	return tx.atomic(func() error {
		changed, err := replanFor(tx.View, trial)
		if err != nil {
			return err
		}
		tx.Save(trial)
		if err := commitReplan(tx, changed); err != nil {
			return err
		}
		if r := RouterOf(tx.View, trial.UUID); r != nil {
			if !hasRouterService(trial) {
				destroyRouter(tx, r)
			}
			refreshSystemVIPs(tx, r.UUID)
		}
		return nil
	})
}

func checkServices(v *View, l3 *v1.L3Network) error {
	snat := l3.HasService(v1.SNAT)
	for _, s := range []string{v1.EIPService, v1.PortForwarding} {
		if l3.HasService(s) && !snat {
			return v1.Refused("snat-required", "%s on L3 network %q needs %s; attach or keep both", s, l3.Name, v1.SNAT).On(l3.UUID)
		}
	}
	if !snat {
		return nil
	}
	for o := range Related[v1.VirtualRouterOffering](v, OfferingsOfZone, l3.ZoneUUID) {
		if o.PublicNetworkUUID == l3.UUID || o.ManagementNetworkUUID == l3.UUID {
			return v1.Refused("public-network-is-guest", "L3 network %q is the management or public network of offering %q, so SNAT cannot be on it; use another network for guests", l3.Name, o.Name).On(l3.UUID, o.UUID)
		}
	}
	return nil
}

// providerTypes checks a request's providers and services and names the
// providers by type.
func providerTypes(asked map[string][]string) (map[string][]string, error) {
	wanted := map[string][]string{}
	for name, types := range asked {
		p := providerNamed(name)
		if p == nil {
			return nil, v1.Refused("unknown-provider", "network service provider %q is unknown; use %s", name, v1.ProviderVirtualRouter)
		}
		for _, s := range types {
			if !slices.Contains(p.ServiceTypes, s) {
				return nil, v1.Refused("service-not-offered", "provider %s does not offer %q; it offers %v", p.Type, s, p.ServiceTypes)
			}
			wanted[p.Type] = with(wanted[p.Type], s)
		}
	}
	if len(wanted) == 0 {
		return nil, v1.Invalid("no-services", "the request names no services; give them as {%q: [%q]}", v1.ProviderVirtualRouter, v1.DHCP)
	}
	return wanted, nil
}

func providerNamed(name string) *v1.NetworkServiceProvider {
	for _, p := range Providers() {
		if p.Type == name || p.UUID == name {
			return p
		}
	}
	return nil
}

func sameServices(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for p, types := range a {
		if !slices.Equal(slices.Sorted(slices.Values(types)), slices.Sorted(slices.Values(b[p]))) {
			return false
		}
	}
	return true
}

func hasRouterService(l3 *v1.L3Network) bool {
	return len(l3.NetworkServices[v1.ProviderVirtualRouter]) > 0
}
