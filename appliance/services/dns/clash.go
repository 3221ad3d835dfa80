package dns

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

const (
	// maxClashes bounds what is said of names at a time: who has thousands of them
	// alike knows.
	maxClashes = 10
	// eventsKept bounds events that nobody has taken yet.
	eventsKept = 64
)

// The events of names that several have.
const (
	eventClash      = "name-clash"
	eventClashEnded = "name-clash-ended"
)

// clashes are a sentence for each name that several have, by name.
type clashes map[string]string

// hostKey is a record's name within its network's domain, lower case.
func hostKey(c *Config, name string) string {
	name = strings.ToLower(name)
	if c.Domain != "" {
		name = strings.TrimSuffix(name, "."+c.Domain)
	}
	return name
}

// clashes are those of all names that have several addresses.
func (t *table) clashes() clashes {
	var several []string
	t.zone.names.each(func(n node) {
		if n.sets.addresses() < 2 {
			return
		}
		if name := hostKey(&t.config, dotted(n.name)); t.several(name) {
			several = append(several, name)
		}
	})
	return t.among(several)
}

// changed are the clashes after an edit, given those before.
func (c clashes) changed(t *table, records agentv1.Edit[agentv1.DNSRecord]) clashes {
	next, several := maps.Clone(c), []string(nil)
	for _, list := range [][]agentv1.DNSRecord{records.Remove, records.Add} {
		for i := range list {
			name := hostKey(&t.config, list[i].Name)
			if delete(next, name); t.several(name) {
				several = append(several, name)
			}
		}
	}
	if len(several) > 0 {
		if next == nil {
			next = clashes{}
		}
		maps.Copy(next, t.among(several))
	}
	return next
}

// several reports whether a name has several addresses.
func (t *table) several(name string) bool {
	var buf [maxNameLen + 1]byte
	wire := appendName(buf[:0], name)
	if t.config.Domain != "" {
		wire = appendName(wire[:len(wire)-1], t.config.Domain)
	}
	sets, _ := t.zone.names.find(wire)
	return sets.addresses() > 1
}

// among finds those of names that belong to several: records of one owner are
// one, as are those without one that have the same address.
func (t *table) among(names []string) clashes {
	if len(names) == 0 {
		return nil
	}
	owners := make(map[string]map[string]bool, len(names))
	addrs := make(map[string][]netip.Addr, len(names))
	for _, name := range names {
		owners[name] = map[string]bool{}
	}
	for i := range t.config.Records {
		r := &t.config.Records[i]
		name := hostKey(&t.config, r.Name)
		if of := owners[name]; of != nil {
			if of[r.Owner+"@"+ownAddress(r)] = true; !slices.Contains(addrs[name], r.IP) {
				addrs[name] = append(addrs[name], r.IP)
			}
		}
	}
	found := clashes{}
	for name, of := range owners {
		if len(of) > 1 && len(addrs[name]) > 1 {
			found[name] = clash(name, addrs[name])
		}
	}
	return found
}

// ownAddress tells records apart that say nothing of an owner.
func ownAddress(r *agentv1.DNSRecord) string {
	if r.Owner != "" {
		return ""
	}
	return r.IP.String()
}

// clash is what is said of a name and its addresses.
func clash(name string, addrs []netip.Addr) string {
	slices.SortFunc(addrs, netip.Addr.Compare)
	more := ""
	if n := len(addrs) - maxClashes; n > 0 {
		addrs, more = addrs[:maxClashes], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("name %q is that of several guests, at %s%s: DNS answers with all of them; rename one if that is not meant",
		name, strings.Trim(fmt.Sprint(addrs), "[]"), more)
}

// addresses counts those in the sets.
func (s rrsets) addresses() (n int) {
	for len(s) > 0 {
		var typ, count uint16
		if typ, count, _, s = s.next(); typ == typeA || typ == typeAAAA {
			n += int(count)
		}
	}
	return n
}

// dotted is the text of a name in wire format.
func dotted(wire []byte) string {
	var b []byte
	for ; wire[0] != 0; wire = wire[1+wire[0]:] {
		b = append(append(b, wire[1:1+wire[0]]...), '.')
	}
	return strings.TrimSuffix(string(b), ".")
}

// clash takes note of a network's clashes and tells what is new and what has
// ended. It is called with mu held.
func (s *Server) clash(sv *served, now clashes) {
	begun := changedKeys(now, sv.clashes)
	ended := slices.DeleteFunc(changedKeys(sv.clashes, now), func(name string) bool { return now[name] != "" })
	for _, text := range limited(begun, func(name string) string { return now[name] }) {
		s.log.Warn("dns names clash", "warning", text)
		s.tell(agentv1.Event{Type: eventClash, Service: serviceName, Detail: text})
	}
	for _, text := range limited(ended, func(name string) string { return fmt.Sprintf("name %q is one guest's again", name) }) {
		s.log.Info("dns names no longer clash: " + text)
		s.tell(agentv1.Event{Type: eventClashEnded, Service: serviceName, Detail: text})
	}
	sv.clashes = now
}

// changedKeys are the names of which not the same is said in other, sorted.
func changedKeys(all, other clashes) (names []string) {
	for name, text := range all {
		if other[name] != text {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// limited says a few things of many names.
func limited(names []string, say func(name string) string) (texts []string) {
	for i, name := range names {
		if i == maxClashes {
			return append(texts, fmt.Sprintf("the same of %d more names", len(names)-i))
		}
		texts = append(texts, say(name))
	}
	return texts
}

// tell never waits: who does not listen loses events.
func (s *Server) tell(e agentv1.Event) {
	select {
	case s.events <- e:
	default:
		s.counters.count(countEventLost)
	}
}

// Events are what the server noticed (name-clash, name-clash-ended). Events that
// nobody takes are lost and counted. The channel is never closed.
func (s *Server) Events() <-chan agentv1.Event { return s.events }

// Warnings are a sentence for each name that several guests have, a bounded
// number of them; DNS answers with the addresses of all.
func (s *Server) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, nic := range slices.Sorted(maps.Keys(s.served)) {
		now := s.served[nic].clashes
		all = append(all, limited(slices.Sorted(maps.Keys(now)), func(name string) string { return now[name] })...)
	}
	return all
}
