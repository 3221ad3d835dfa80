package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Fake is a kernel in memory. It refuses what the real one refuses: rules in
// chains that are not there, removing what does not exist, a gateway that no
// address reaches. Its fields may be changed as others change a kernel.
type Fake struct {
	State dataplane.State
	// Flows are the tracked connections.
	Flows []dataplane.Flow
	// Announced are the addresses that gratuitous ARP went out for.
	Announced []dataplane.LinkAddress
	// Writes counts the steps carried out.
	Writes int
	// Fail, when set, refuses steps.
	Fail func(dataplane.Step) error
	// Offloading kernels have flowtables.
	Offloading bool
	// Blunt kernels cannot end connections without reading all of them.
	Blunt bool
	// known is what Observe told, with what Do did since; what differs from it is
	// others' work.
	known dataplane.State
}

var _ dataplane.Kernel = (*Fake)(nil)

// NewFake is a freshly booted kernel with nics, down, by name and MAC.
func NewFake(nics map[string]string) *Fake {
	f := &Fake{State: dataplane.State{
		Links: map[string]dataplane.LinkState{}, Addresses: map[dataplane.LinkAddress]dataplane.AddressState{},
		Routes: map[dataplane.Route]dataplane.RouteState{}, Rules: map[dataplane.Rule]dataplane.RuleState{}, Sysctls: map[string]string{},
		Builtins: map[dataplane.ChainID]dataplane.Builtin{}, Chains: map[dataplane.ChainID][]string{},
		Mappings: dataplane.NewElements(),
	}}
	for name, mac := range nics {
		f.State.Links[name] = dataplane.LinkState{MAC: mac, MTU: 1500}
	}
	for id, target := range dataplane.Hooks() {
		f.State.Builtins[id] = dataplane.Builtin{Policy: "ACCEPT", Target: target}
	}
	f.State.Sysctls["net/ipv4/ip_forward"] = "0"
	return f
}

// Observe implements dataplane.Kernel.
func (f *Fake) Observe(_ context.Context, sysctls []string) (dataplane.State, error) {
	if f.moved() {
		f.State.Version++
		f.known = f.picture()
	}
	s := f.clone()
	s.Sysctls = map[string]string{}
	for _, key := range sysctls {
		if f.has(key) {
			s.Sysctls[key] = f.sysctl(key)
		}
	}
	return s, nil
}

// moved is whether others changed anything but sysctls since Observe.
func (f *Fake) moved() bool { return !reflect.DeepEqual(f.picture(), f.known) }

func (f *Fake) picture() dataplane.State {
	s := f.clone()
	s.Sysctls = nil
	return s
}

func (f *Fake) clone() dataplane.State {
	s := f.State
	s.Links, s.Addresses, s.Routes = maps.Clone(s.Links), maps.Clone(s.Addresses), maps.Clone(s.Routes)
	s.Rules = maps.Clone(s.Rules)
	s.Sysctls, s.Builtins, s.Chains = maps.Clone(s.Sysctls), maps.Clone(s.Builtins), maps.Clone(s.Chains)
	s.Mappings = s.Mappings.Clone()
	return s
}

// Do implements dataplane.Kernel: a step happens wholly or, with an error, not.
func (f *Fake) Do(_ context.Context, s dataplane.Step) error {
	if f.Fail != nil {
		if err := f.Fail(s); err != nil {
			return err
		}
	}
	if done, err := f.single(s); done {
		return err
	}
	before, moved := f.clone(), f.moved()
	if err := f.do(s); err != nil {
		f.State = before
		return err
	}
	f.Writes++
	switch s.(type) {
	case dataplane.AddAddress, dataplane.DelAddress, dataplane.SetMappings:
		if !moved {
			f.known = f.picture()
		}
	}
	return nil
}

// single does what there are thousands of, without looking at all else.
func (f *Fake) single(s dataplane.Step) (done bool, err error) {
	var at dataplane.LinkAddress
	switch s := s.(type) {
	case dataplane.AddAddress:
		at = s.LinkAddress
	case dataplane.DelAddress:
		at = s.LinkAddress
	}
	_, there := f.State.Addresses[at]
	if _, known := f.known.Addresses[at]; !at.Prefix.IsSingleIP() || known != there || f.known.Addresses == nil {
		return false, nil
	}
	if err := f.do(s); err != nil {
		return true, err
	}
	f.Writes++
	if is, there := f.State.Addresses[at]; there {
		f.known.Addresses[at] = is
	} else {
		delete(f.known.Addresses, at)
	}
	return true, nil
}

func (f *Fake) do(s dataplane.Step) error {
	switch s := s.(type) {
	case dataplane.SetLink:
		return f.setLink(s)
	case dataplane.AddAddress:
		return f.addAddress(s.LinkAddress)
	case dataplane.DelAddress:
		f.delAddress(s.LinkAddress)
		return nil
	case dataplane.AddRoute:
		return f.addRoute(s)
	case dataplane.DelRoute:
		delete(f.State.Routes, s.Route)
		return nil
	case dataplane.AddRule:
		if _, exists := f.State.Rules[s.Rule]; exists {
			return errors.New("file exists")
		}
		f.State.Rules[s.Rule] = dataplane.RuleState{Ours: true}
		return nil
	case dataplane.DelRule:
		delete(f.State.Rules, s.Rule)
		return nil
	case dataplane.SetSysctl:
		return f.setSysctl(s.Key, s.Value)
	case dataplane.SetPolicy:
		return f.setPolicy(s)
	case dataplane.SetMappings:
		return f.setMappings(s)
	}
	return fmt.Errorf("unknown step %T", s)
}

func (f *Fake) setLink(s dataplane.SetLink) error {
	l, ok := f.State.Links[s.Link]
	if !ok {
		return fmt.Errorf("no link %s", s.Link)
	}
	if l.Up = true; s.MTU != 0 {
		l.MTU = s.MTU
	}
	f.State.Links[s.Link] = l
	for at := range f.State.Addresses {
		if at.Link == s.Link {
			f.connect(at)
		}
	}
	return nil
}

// connect makes the route that comes with an address of a link that is up.
func (f *Fake) connect(at dataplane.LinkAddress) {
	r := dataplane.Route{Link: at.Link, Prefix: at.Prefix.Masked()}
	if _, exists := f.State.Routes[r]; !exists && f.State.Links[at.Link].Up && !at.Prefix.IsSingleIP() {
		f.State.Routes[r] = dataplane.RouteState{}
	}
}

// delAddress takes the subnet's route along with its last address, and what
// leads through a gateway in it.
func (f *Fake) delAddress(at dataplane.LinkAddress) {
	delete(f.State.Addresses, at)
	for r := range f.State.Routes {
		if r.Link == at.Link && (r.Prefix == at.Prefix.Masked() || at.Prefix.Contains(r.Gateway)) && !f.inSubnet(at) {
			delete(f.State.Routes, r)
		}
	}
}

func (f *Fake) addAddress(at dataplane.LinkAddress) error {
	if _, ok := f.State.Links[at.Link]; !ok {
		return fmt.Errorf("no link %s", at.Link)
	}
	if _, ok := f.State.Addresses[at]; !ok {
		f.State.Addresses[at] = dataplane.AddressState{Ours: true}
		f.connect(at)
	}
	return nil
}

func (f *Fake) inSubnet(gone dataplane.LinkAddress) bool {
	for at := range f.State.Addresses {
		if at.Link == gone.Link && at.Prefix.Masked() == gone.Prefix.Masked() {
			return true
		}
	}
	return false
}

func (f *Fake) addRoute(s dataplane.AddRoute) error {
	r := s.Route
	for other := range f.State.Routes {
		if other.Prefix == r.Prefix && other.Table == r.Table {
			return errors.New("file exists")
		}
	}
	if s.Source.IsValid() {
		f.State.Routes[r] = dataplane.RouteState{Ours: true}
		return nil
	}
	for at := range f.State.Addresses {
		if at.Link == r.Link && at.Prefix.Contains(r.Gateway) && f.State.Links[r.Link].Up {
			f.State.Routes[r] = dataplane.RouteState{Ours: true}
			return nil
		}
	}
	return errors.New("network is unreachable")
}

// has is whether the kernel has a key: all that are not of a missing link, and
// not the helper's, which is gone in newer kernels.
func (f *Fake) has(key string) bool {
	parts := strings.Split(key, "/")
	if len(parts) < 5 || parts[2] != "conf" {
		return key != "net/netfilter/nf_conntrack_helper"
	}
	_, ok := f.State.Links[parts[3]]
	return ok || parts[3] == "all"
}

func (f *Fake) sysctl(key string) string {
	if v, ok := f.State.Sysctls[key]; ok {
		return v
	}
	if strings.HasPrefix(key, "net/ipv4/") && strings.HasSuffix(key, "/forwarding") {
		return f.State.Sysctls["net/ipv4/ip_forward"]
	}
	return "0"
}

// setSysctl has the side effect of inet_forward_change.
func (f *Fake) setSysctl(key, value string) error {
	if !f.has(key) {
		return fmt.Errorf("no key %s", key)
	}
	if key == "net/ipv4/ip_forward" && value != f.sysctl(key) {
		for k := range f.State.Sysctls {
			if strings.HasPrefix(k, "net/ipv4/") && strings.HasSuffix(k, "/forwarding") {
				delete(f.State.Sysctls, k)
			}
		}
		f.State.Sysctls["net/ipv4/conf/all/accept_redirects"] = map[string]string{"0": "1", "1": "0"}[value]
	}
	f.State.Sysctls[key] = value
	return nil
}

// Sweep implements dataplane.Kernel.
func (f *Fake) Sweep(_ context.Context, stale func(dataplane.Flow) bool) (int, error) {
	before := len(f.Flows)
	f.Flows = slices.DeleteFunc(f.Flows, stale)
	return before - len(f.Flows), nil
}

// End implements dataplane.Kernel.
func (f *Fake) End(_ context.Context, ends []dataplane.End) error {
	if f.Blunt {
		return errors.ErrUnsupported
	}
	f.Flows = slices.DeleteFunc(f.Flows, func(flow dataplane.Flow) bool {
		return slices.ContainsFunc(ends, func(e dataplane.End) bool { return e.Of(flow) })
	})
	return nil
}

// Announce implements dataplane.Kernel.
func (f *Fake) Announce(_ context.Context, addresses []dataplane.LinkAddress) error {
	var errs []error
	for _, at := range addresses {
		if _, there := f.State.Addresses[at]; !there || !f.State.Links[at.Link].Up {
			errs = append(errs, fmt.Errorf("%s is not on %s, or the link is down", at.Prefix, at.Link))
			continue
		}
		f.Announced = append(f.Announced, at)
	}
	return errors.Join(errs...)
}

// Forget implements dataplane.Kernel.
func (f *Fake) Forget() { f.known = dataplane.State{} }

// Flowtables implements dataplane.Kernel.
func (f *Fake) Flowtables() bool { return f.Offloading }

// Links implements dataplane.Kernel.
func (f *Fake) Links(context.Context) (dataplane.Links, error) {
	links := dataplane.Links{}
	for name, l := range f.State.Links {
		links[l.MAC] = name
	}
	return links, nil
}

// Rename implements dataplane.Kernel.
func (f *Fake) Rename(ctx context.Context, names map[string]string) error {
	have, _ := f.Links(ctx)
	to := map[string]string{} // old name, new name
	for mac, name := range names {
		if from, ok := have[mac]; ok {
			to[from] = name
		}
	}
	links := map[string]dataplane.LinkState{}
	var errs []error
	for name, l := range f.State.Links {
		goal, moves := to[name]
		if _, taken := f.State.Links[goal]; moves && taken && goal != name && to[goal] == "" {
			errs = append(errs, fmt.Errorf("name %s: taken", goal))
			moves = false
		}
		if moves {
			name = goal
		}
		links[name] = l
	}
	f.State.Links = links
	return errors.Join(errs...)
}
