package httpapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Raw answers text that is no JSON.
type Raw struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// domainInterface is an <interface> of libvirt's domain XML
// (https://libvirt.org/formatdomain.html#network-interfaces).
type domainInterface struct {
	XMLName xml.Name   `xml:"interface"`
	Type    string     `xml:"type,attr"`
	MAC     attribute  `xml:"mac"`
	Source  bridge     `xml:"source"`
	Model   nicModel   `xml:"model"`
	MTU     *mtu       `xml:"mtu"`
	Filter  *filterRef `xml:"filterref"`
}

type (
	attribute struct {
		Address string `xml:"address,attr"`
	}
	bridge struct {
		Bridge string `xml:"bridge,attr"`
	}
	nicModel struct {
		Type string `xml:"type,attr"`
	}
	mtu struct {
		Size int `xml:"size,attr"`
	}
	filterRef struct {
		Filter    string    `xml:"filter,attr"`
		Parameter parameter `xml:"parameter"`
	}
	parameter struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
)

// libvirtXML lists an <interface> for each nic of a VM, in order.
func (a *API) libvirtXML(ctx context.Context, in *struct {
	UUID string `path:"uuid"`
}) (*Raw, error) {
	view := a.view(ctx)
	vm := model.Get[v1.VMInstance](view, in.UUID)
	if vm == nil || !view.Sees(vm) {
		return nil, v1.NotFound(model.VMs.Noun(), in.UUID)
	}
	var out bytes.Buffer
	for _, nic := range model.WithNics(view, vm).Nics {
		i, err := interfaceOf(view, vm, nic)
		if err != nil {
			return nil, err
		}
		element, err := xml.MarshalIndent(i, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode interface of nic %s: %w", nic.UUID, err)
		}
		out.Write(element)
		out.WriteByte('\n')
	}
	return &Raw{ContentType: "text/xml; charset=utf-8", Body: out.Bytes()}, nil
}

func interfaceOf(v *model.View, vm *v1.VMInstance, nic v1.VMNic) (*domainInterface, error) {
	l3 := model.Get[v1.L3Network](v, nic.L3NetworkUUID)
	if l3 == nil {
		return nil, v1.NotFound(model.L3Networks.Noun(), nic.L3NetworkUUID)
	}
	onto, err := bridgeOf(v, vm, l3)
	if err != nil {
		return nil, err
	}
	i := &domainInterface{Type: "bridge", MAC: attribute{nic.MAC}, Source: bridge{onto}, Model: nicModel{"virtio"}}
	if l3.MTU != 0 {
		i.MTU = &mtu{l3.MTU}
	}
	if slices.Contains(vm.SystemTags, v1.TagCleanTraffic) {
		// libvirt's own filter against spoofed MAC, ARP and IP.
		i.Filter = &filterRef{"clean-traffic", parameter{"IP", nic.IP.String()}}
	}
	return i, nil
}

// bridgeOf is the bridge of a network on the VM's host, or on any connected one
// while the VM has none: bridges are named alike everywhere.
func bridgeOf(v *model.View, vm *v1.VMInstance, l3 *v1.L3Network) (string, error) {
	l2 := model.Get[v1.L2Network](v, l3.L2NetworkUUID)
	if l2 == nil {
		return "", v1.NotFound(model.L2Networks.Noun(), l3.L2NetworkUUID)
	}
	for _, r := range l2.Realizations {
		host := model.Get[v1.Host](v, r.HostUUID)
		if host != nil && host.Status == v1.Connected && (vm.HostUUID == "" || vm.HostUUID == r.HostUUID) {
			return r.Bridge, nil
		}
	}
	return "", v1.Unavailable("l2-not-realized", "L2 network %q is on no connected host; attach it to the cluster of one, and see `sluice host list`", l2.Name).On(l2.UUID, l3.UUID)
}
