package dhcp

import (
	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Want checks the DHCP part of a content and opens the server's port on every
// guest link that is served. It is pure. A wrong value is a
// *dataplane.FieldError; a nic that is not there yet is not, and opens nothing.
func Want(c agentv1.Content, links dataplane.Links) (dataplane.Want, error) {
	if err := validate(c); err != nil {
		return dataplane.Want{}, err
	}
	var w dataplane.Want
	for _, n := range c.DHCP {
		if link, ok := links[n.Interface]; ok {
			w.Inputs = append(w.Inputs, dataplane.Input{Link: link, Protocol: "udp", Port: serverPort, Owner: name})
		}
	}
	return w, nil
}

// Plan gives the Config of every network, building on those before (by MAC of
// the interface) where there are any. It is pure.
func Plan(c agentv1.Content, before map[string]*Config) ([]*Config, error) {
	var out []*Config
	for _, n := range c.DHCP {
		cfg, err := Prepare(before[n.Interface], n)
		if err != nil {
			return nil, err
		}
		out = append(out, cfg)
	}
	return out, nil
}
