package model

import (
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
)

// rangeRequest is an AddIPRange that was read and holds together.
type rangeRequest struct {
	Subnet
	ranges []v1.AddressRange
}

func parseRange(req v1.AddIPRange) (rangeRequest, error) {
	bounds := req.StartIP != "" || req.EndIP != "" || req.Netmask != ""
	switch {
	case req.NetworkCIDR != "" && bounds:
		return rangeRequest{}, v1.Invalid("invalid-ip-range", "give networkCidr, or startIp, endIp and netmask, not both")
	case req.NetworkCIDR != "":
		return parseByCIDR(req)
	}
	return parseByBounds(req)
}

// parseByCIDR takes every host address but the gateway, which is the first one
// unless given; a gateway in the middle leaves two ranges.
func parseByCIDR(req v1.AddIPRange) (rangeRequest, error) {
	cidr, err := v1.ParseCIDR("networkCidr", req.NetworkCIDR)
	if err != nil {
		return rangeRequest{}, err
	}
	if cidr.Bits() > 30 {
		return rangeRequest{}, v1.Refused("cidr-without-hosts", "networkCidr %s has no room for a gateway and a host; /30 is the longest", cidr)
	}
	first, last := cidr.Addr().Next(), broadcast(cidr).Prev()
	asked := rangeRequest{Subnet: Subnet{CIDR: cidr, Gateway: first}}
	if req.Gateway != "" {
		if asked.Gateway, err = parseGateway(asked.Subnet, req.Gateway); err != nil {
			return rangeRequest{}, err
		}
	}
	if first.Less(asked.Gateway) {
		asked.ranges = append(asked.ranges, v1.AddressRange{StartIP: first, EndIP: asked.Gateway.Prev()})
	}
	if asked.Gateway.Less(last) {
		asked.ranges = append(asked.ranges, v1.AddressRange{StartIP: asked.Gateway.Next(), EndIP: last})
	}
	return asked, nil
}

func parseByBounds(req v1.AddIPRange) (rangeRequest, error) {
	start, err := v1.ParseIPv4("startIp", req.StartIP)
	if err != nil {
		return rangeRequest{}, err
	}
	end, err := v1.ParseIPv4("endIp", req.EndIP)
	if err != nil {
		return rangeRequest{}, err
	}
	bits, err := v1.ParseNetmask(req.Netmask)
	if err != nil {
		return rangeRequest{}, err
	}
	cidr := netip.PrefixFrom(start, bits).Masked()
	if err := v1.ValidateCIDR("startIp/netmask", cidr); err != nil {
		return rangeRequest{}, err
	}
	asked := rangeRequest{Subnet: Subnet{CIDR: cidr}, ranges: []v1.AddressRange{{StartIP: start, EndIP: end}}}
	if asked.Gateway, err = parseGateway(asked.Subnet, req.Gateway); err != nil {
		return rangeRequest{}, err
	}
	return asked, checkBounds(asked)
}

func checkBounds(asked rangeRequest) error {
	r := asked.ranges[0]
	switch {
	case !asked.CIDR.Contains(r.EndIP):
		return v1.Refused("range-outside-network", "endIp %s is outside %s, the network of startIp and netmask", r.EndIP, asked.CIDR)
	case r.EndIP.Less(r.StartIP):
		return v1.Refused("range-reversed", "endIp %s comes before startIp %s; swap them", r.EndIP, r.StartIP)
	case r.StartIP == asked.CIDR.Addr():
		return v1.Refused("range-has-network-address", "startIp %s is the network's own address; start at %s", r.StartIP, r.StartIP.Next())
	case r.EndIP == broadcast(asked.CIDR):
		return v1.Refused("range-has-broadcast-address", "endIp %s is the broadcast address; end at %s", r.EndIP, r.EndIP.Prev())
	case ipam.Within(asked.ranges, asked.Gateway):
		return v1.Refused("gateway-in-range", "gateway %s is inside the range; leave it outside", asked.Gateway)
	}
	return nil
}

func parseGateway(s Subnet, text string) (netip.Addr, error) {
	gateway, err := v1.ParseIPv4("gateway", text)
	if err != nil {
		return netip.Addr{}, err
	}
	if !s.IsHost(gateway) {
		return netip.Addr{}, v1.Refused("gateway-outside-network", "gateway %s is not a host address of %s; choose one that is", gateway, s.CIDR)
	}
	return gateway, nil
}
