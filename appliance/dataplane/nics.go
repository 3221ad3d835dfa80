package dataplane

import (
	"net/netip"
	"slices"
	"strings"
)

// NicState is an interface as found.
type NicState struct {
	Link      string
	MAC       string
	Up        bool
	MTU       int
	Addresses []netip.Prefix
}

// Nics are the interfaces, by name, as the last Apply or Change left them.
func (p *Plane) Nics() []NicState {
	nics := p.nics()
	for i := range nics { // there may be thousands, and a change is not to wait
		slices.SortFunc(nics[i].Addresses, netip.Prefix.Compare)
		nics[i].Addresses = slices.Compact(nics[i].Addresses)
	}
	return nics
}

func (p *Plane) nics() (nics []NicState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addresses := map[string][]netip.Prefix{}
	for at := range p.have.Addresses {
		addresses[at.Link] = append(addresses[at.Link], at.Prefix)
	}
	for _, name := range sortedKeys(p.have.Links, strings.Compare) {
		l := p.have.Links[name]
		nics = append(nics, NicState{Link: name, MAC: l.MAC, Up: l.Up, MTU: l.MTU, Addresses: addresses[name]})
	}
	return nics
}
