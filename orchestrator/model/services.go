package model

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// AttachNetworkServices attaches services, by provider UUID or type, to an L3
// network. Services it has from the same provider already are fine. A router
// that is there already takes the addresses that the services want, and is
// rebuilt if those are others.
func AttachNetworkServices(tx *Tx, l3UUID string, asked map[string][]string) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	wanted, err := providerTypes(tx.Catalog, asked)
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

// DetachNetworkServices detaches services from an L3 network. It is refused
// while other services need them (such as snat-required), and with the list of
// their users (service-in-use), unless cascade takes both away first. Services
// that are not there are fine.
func DetachNetworkServices(tx *Tx, l3UUID string, asked map[string][]string, cascade bool) (*v1.L3Network, error) {
	l3, err := need[v1.L3Network](tx.View, l3UUID)
	if err != nil {
		return nil, err
	}
	gone, err := providerTypes(tx.Catalog, asked)
	if err != nil {
		return nil, err
	}
	if cascade {
		addDependents(tx.Catalog, l3, gone)
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

// addDependents adds the services of the network that need one of those that go.
func addDependents(c Catalog, l3 *v1.L3Network, gone map[string][]string) {
	for _, s := range c.given(l3) {
		needs := func(other string) bool { return slices.Contains(gone[l3.Provider(other)], other) }
		if slices.ContainsFunc(s.Needs, needs) {
			gone[s.Provider] = with(gone[s.Provider], s.Name)
		}
	}
}

// freeServices deletes, or refuses because of, the users of services that the
// trial has no more.
func freeServices(tx *Tx, l3, trial *v1.L3Network, cascade bool) error {
	var users, words []string
	for _, s := range tx.Catalog.given(l3) {
		if s.Users == nil || trial.Provider(s.Name) == s.Provider {
			continue
		}
		of := s.Users(tx.View, l3.UUID)
		if len(of) > 0 {
			users, words = append(users, of...), append(words, fmt.Sprintf("%s by %d", s.Name, len(of)))
		}
		for _, uuid := range of {
			if !cascade {
				break
			}
			if err := s.Free(tx, uuid); err != nil {
				return err
			}
		}
	}
	if len(users) > 0 && !cascade {
		return v1.Conflict("service-in-use", "services of L3 network %q are in use: %s; detach those, or repeat with ?cascade=true to delete them",
			l3.Name, strings.Join(words, ", ")).On(users...)
	}
	return nil
}

// EIPsOn are the EIPs attached to nics on an L3 network: users of its EIP service.
func EIPsOn(v *View, l3 string) []string { return onNicsOf[v1.EIP](v, l3, EIPsOfNic) }

// ForwardingsOn are the port forwarding rules attached to nics on an L3 network.
func ForwardingsOn(v *View, l3 string) []string {
	return onNicsOf[v1.PortForwardingRule](v, l3, ForwardingsOfNic)
}

func onNicsOf[T any, P resource[T]](v *View, l3 string, index Index) []string {
	var all []string
	for nic := range Related[v1.VMNic](v, NicsOfL3, l3) {
		all = append(all, uuidsOf(Related[T, P](v, index, nic.UUID))...)
	}
	return all
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
	for _, s := range v.Catalog.given(l3) {
		for _, need := range s.Needs {
			if !l3.HasService(need) {
				return v1.Refused(strings.ToLower(need)+"-required", "%s on L3 network %q needs %s; attach or keep both", s.Name, l3.Name, need).On(l3.UUID)
			}
		}
	}
	if !l3.HasService(v1.SNAT) {
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
func providerTypes(c Catalog, asked map[string][]string) (map[string][]string, error) {
	wanted := map[string][]string{}
	for name, types := range asked {
		p, err := c.provider(name)
		if err != nil {
			return nil, err
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
