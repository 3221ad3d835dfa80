package dns

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// CheckChange refuses records that Want would refuse each by itself; how many a
// name or an address may have is the affair of Claims. It is pure. The error is
// a *dataplane.FieldError.
func (s *Server) CheckChange(before agentv1.Content, ch agentv1.Change) error {
	for i, e := range ch.DNS {
		at := fmt.Sprintf("/change/dns/%d", i)
		n, ok := networkOn(before, e.Interface)
		if !ok {
			return dataplane.Fieldf(at+"/interface", "%q has no DNS network", e.Interface)
		}
		if slices.ContainsFunc(ch.DNS[:i], func(o agentv1.RecordsEdit) bool { return o.Interface == e.Interface }) {
			return dataplane.Fieldf(at+"/interface", "%s is changed twice", e.Interface)
		}
		for j := range e.Records.Add {
			pointer := func() string { return fmt.Sprintf("%s/records/add/%d", at, j) }
			if err := checkRecord(pointer, n.Domain, &e.Records.Add[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Change serves the names of next where ch says that they changed, at the cost
// of what changed: sockets, caches and the other names are left alone. It does
// what Apply of next would.
func (s *Server) Change(_ context.Context, next agentv1.Content, ch agentv1.Change, _ dataplane.Links) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, e := range ch.DNS {
		n, ok := networkOn(next, e.Interface)
		sv := s.served[e.Interface]
		if !ok || sv == nil {
			return fmt.Errorf("change dns: %s is not served", e.Interface)
		}
		t := *sv.net.table.Load()
		t.config.Records = n.Records
		t.zone = t.zone.edited(t.config, e.Records)
		sv.net.table.Store(&t)
		s.clash(sv, sv.clashes.changed(&t, e.Records))
	}
	s.remember(next)
	return s.failed
}

// remember has the plan of a content that is served, so that it need not be made
// when the agent comes with all of it.
func (s *Server) remember(c agentv1.Content) {
	configs := make([]Config, 0, len(c.DNS))
	for _, n := range c.DNS {
		sv := s.served[n.Interface]
		if sv == nil {
			return
		}
		configs = append(configs, sv.net.table.Load().config)
	}
	s.planned.set(c, configs)
}

func networkOn(c agentv1.Content, nic string) (agentv1.DNSNetwork, bool) {
	i := slices.IndexFunc(c.DNS, func(n agentv1.DNSNetwork) bool { return n.Interface == nic })
	if i < 0 {
		return agentv1.DNSNetwork{}, false
	}
	return c.DNS[i], true
}

// Claims are how many records there are of names and of addresses, by the MAC of
// the network's interface: a change is checked against them at its own cost.
type Claims map[string]*census

// census counts by hash: never too few, and mostly not much too many. A counter
// for each name would be larger than the names.
type census struct {
	seed         maphash.Seed
	names, addrs [1024]int32
}

// NewClaims are those of a content that Want finds good.
func NewClaims(c agentv1.Content) Claims {
	all := make(Claims, len(c.DNS))
	for _, n := range c.DNS {
		k := &census{seed: maphash.MakeSeed()}
		k.count(n.Records, 1)
		all[n.Interface] = k
	}
	return all
}

func (k *census) count(list []agentv1.DNSRecord, by int32) {
	for i := range list {
		name, addr := k.of(&list[i])
		*name += by
		*addr += by
	}
}

// of are a record's counters.
func (k *census) of(r *agentv1.DNSRecord) (name, addr *int32) {
	return &k.names[maphash.String(k.seed, strings.ToLower(r.Name))%uint64(len(k.names))],
		&k.addrs[maphash.Comparable(k.seed, r.IP)%uint64(len(k.addrs))]
}

// Check refuses a name or an address that the change would give too many
// records. The error is a *dataplane.FieldError.
func (k Claims) Check(next agentv1.Content, ch agentv1.Change) error {
	for i, e := range ch.DNS {
		if k[e.Interface] == nil || k[e.Interface].fits(e.Records.Add) {
			continue
		}
		n, _ := networkOn(next, e.Interface)
		names, addrs := counted(n.Records)
		for j, r := range e.Records.Add {
			if names[strings.ToLower(r.Name)] > maxPerName || addrs[r.IP] > maxPerName {
				return tooMany(fmt.Sprintf("/change/dns/%d/records/add/%d", i, j))
			}
		}
	}
	return nil
}

// fits is surely true of all that are added.
func (k *census) fits(added []agentv1.DNSRecord) bool {
	for i := range added {
		if name, addr := k.of(&added[i]); int(max(*name, *addr))+len(added) > maxPerName {
			return false
		}
	}
	return true
}

// counted are the records of each name, in lower case, and of each address.
func counted(list []agentv1.DNSRecord) (names map[string]int, addrs map[netip.Addr]int) {
	names, addrs = make(map[string]int, len(list)), make(map[netip.Addr]int, len(list))
	for i := range list {
		names[strings.ToLower(list[i].Name)]++
		addrs[list[i].IP]++
	}
	return names, addrs
}

// Take takes a change along.
func (k Claims) Take(ch agentv1.Change) {
	for _, e := range ch.DNS {
		if c := k[e.Interface]; c != nil {
			c.count(e.Records.Remove, -1)
			c.count(e.Records.Add, 1)
		}
	}
}

// Nic is empty: guests have these addresses, not the router.
func (k Claims) Nic(netip.Addr) string { return "" }
