package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// maxClashes bounds what is said of names: who has thousands of them alike knows.
const maxClashes = 10

// Clashes says in a sentence each which names of a router's guest network mean
// several: running guests with one host name, or a guest with the name of a
// record of the network. DNS serves the addresses of all.
func Clashes(v *model.View, r *v1.VirtualRouter) []string {
	owners := map[string]map[string][]netip.Addr{} // by name, then by who has it
	add := func(name, owner string, ip netip.Addr) {
		name = strings.ToLower(name)
		if owners[name] == nil {
			owners[name] = map[string][]netip.Addr{}
		}
		owners[name][owner] = append(owners[name][owner], ip)
	}
	for g := range Guests(v, nicsOf(v, r)) {
		if g.VM.Hostname != "" {
			add(g.VM.Hostname, fmt.Sprintf("VM %s (%s)", g.VM.Name, g.VM.UUID), g.Nic.IP)
		}
	}
	if l3 := model.Get[v1.L3Network](v, r.L3NetworkUUID); l3 != nil {
		for _, record := range l3.DNSRecords {
			for _, ip := range record.IPs {
				add(record.Name, "a DNS record of the network", ip)
			}
		}
	}
	var clashes []string
	more := 0
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		switch {
		case len(owners[name]) < 2:
		case len(clashes) == maxClashes:
			more++
		default:
			clashes = append(clashes, clash(name, owners[name]))
		}
	}
	if more > 0 {
		clashes = append(clashes, fmt.Sprintf("%d more names mean several.", more))
	}
	return clashes
}

func clash(name string, owners map[string][]netip.Addr) string {
	var who []string
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		who = append(who, owner+" at "+strings.Trim(fmt.Sprint(owners[owner]), "[]"))
	}
	return fmt.Sprintf("The name %q is that of %s: DNS answers with all of them; rename one if that is not meant.", name, strings.Join(who, ", and of "))
}
