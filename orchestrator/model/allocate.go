package model

import (
	"crypto/rand"
	"math/big"
	"net/netip"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/plan/ipam"
)

// CapacityOf counts the addresses of an L3 network's ranges, without reserved
// ones: used + free = total.
func CapacityOf(v *View, l3 string) (v1.Capacity, error) {
	if _, err := need[v1.L3Network](v, l3); err != nil {
		return v1.Capacity{}, err
	}
	total, used := poolOf(v, l3).Capacity(usedOf(v, l3))
	return v1.Capacity{Total: total, Used: used, Free: total - used}, nil
}

// FreeIPs are the lowest free addresses of an L3 network, limit at most.
func FreeIPs(v *View, l3 string, limit int) ([]netip.Addr, error) {
	if _, err := need[v1.L3Network](v, l3); err != nil {
		return nil, err
	}
	free := []netip.Addr{}
	if limit <= 0 {
		return free, nil
	}
	for ip := range poolOf(v, l3).Free(usedOf(v, l3)) {
		if free = append(free, ip); len(free) >= limit {
			break
		}
	}
	return free, nil
}

func poolOf(v *View, l3 string) ipam.Pool {
	var p ipam.Pool
	for r := range Related[v1.IPRange](v, RangesOfL3, l3) {
		p.Ranges = append(p.Ranges, v1.AddressRange{StartIP: r.StartIP, EndIP: r.EndIP})
	}
	if n := Get[v1.L3Network](v, l3); n != nil {
		p.Reserved = append(slices.Clip(n.ReservedRanges), strangersOf(v, n)...)
	}
	return p
}

func usedOf(v *View, l3 string) ipam.Used { return v.addresses.ofL3(l3) }

// allocateIP is the address asked for, or one that the network's
// strategy chooses if none is.
func allocateIP(v *View, l3 *v1.L3Network, asked string) (netip.Addr, error) {
	pool := poolOf(v, l3.UUID)
	if len(pool.Ranges) == 0 {
		return netip.Addr{}, v1.Refused("no-ip-range", "L3 network %q has no ip range; add one with `sluice l3-network add-ip-range`", l3.Name).On(l3.UUID)
	}
	if asked != "" {
		return askedIP(v, l3, pool, asked)
	}
	ip, ok := choose(l3, pool, usedOf(v, l3.UUID))
	if !ok {
		return netip.Addr{}, v1.Conflict("no-free-address", "L3 network %q has no free address left; add an ip range, or delete what is unused", l3.Name).On(l3.UUID)
	}
	return ip, nil
}

// choose is a free address by the network's strategy; false if there is none.
func choose(l3 *v1.L3Network, pool ipam.Pool, used ipam.Used) (netip.Addr, bool) {
	switch l3.AllocationStrategy {
	case v1.Random:
		total, inUse := pool.Capacity(used)
		if total == inUse {
			return netip.Addr{}, false
		}
		n, err := rand.Int(rand.Reader, big.NewInt(total-inUse))
		if err != nil { // the system's source never fails (crypto/rand)
			panic("model: random address: " + err.Error())
		}
		return pool.Nth(used, n.Int64())
	case v1.AscDelayRecycle:
		return pool.After(used, l3.LastAllocatedIP)
	}
	return pool.First(used)
}

// handOut notes how far AscDelayRecycle has come when r is about to get an
// address, chosen or asked for: forward to it, or back to it if that is where
// it begins again. Then no address above the mark was handed out since it last
// began, so that all of those rest, once freed, until it begins again.
func (tx *Tx) handOut(r v1.Resource) {
	for _, h := range holdingsOf(r) {
		l3 := Get[v1.L3Network](tx.View, h.l3)
		if l3 == nil || l3.AllocationStrategy != v1.AscDelayRecycle || tx.AddressOwner(h.l3, h.ip) != "" {
			continue
		}
		pool := poolOf(tx.View, h.l3)
		if !pool.InRange(h.ip) {
			continue // a gateway, which nobody chooses
		}
		if next, _ := pool.After(usedOf(tx.View, h.l3), l3.LastAllocatedIP); next == h.ip || l3.LastAllocatedIP.Less(h.ip) {
			l3 = Copy(l3)
			l3.LastAllocatedIP = h.ip
			tx.Save(l3)
		}
	}
}

// SetAllocationStrategy says how free addresses are chosen from now on.
func SetAllocationStrategy(tx *Tx, uuid, strategy string) (*v1.L3Network, error) {
	return changeL3(tx, uuid, func(l3 *v1.L3Network) (err error) {
		if l3.AllocationStrategy, err = allocationStrategy(strategy); l3.AllocationStrategy != v1.AscDelayRecycle {
			l3.LastAllocatedIP = netip.Addr{}
		}
		return err
	})
}

func allocationStrategy(asked string) (string, error) {
	return oneOf("allocationStrategy", asked, v1.FirstAvailable, v1.FirstAvailable, v1.Random, v1.AscDelayRecycle)
}

func askedIP(v *View, l3 *v1.L3Network, pool ipam.Pool, asked string) (netip.Addr, error) {
	ip, err := v1.ParseIPv4("ip", asked)
	if err != nil {
		return netip.Addr{}, err
	}
	switch owner := v.AddressOwner(l3.UUID, ip); {
	case !pool.InRange(ip):
		return netip.Addr{}, v1.Refused("address-outside-ranges", "%s is in no range of L3 network %q; ask for one that is, or leave it out", ip, l3.Name).On(l3.UUID)
	case strangerAt(l3, ip) != "" && owner == "":
		return netip.Addr{}, v1.Conflict("address-in-use", "%s of L3 network %q answers ARP as %s, which is nobody's that is known here; turn that off and wait a minute, or ask for another", ip, l3.Name, strangerAt(l3, ip)).On(l3.UUID)
	case pool.IsReserved(ip):
		return netip.Addr{}, v1.Refused("address-reserved", "%s of L3 network %q is reserved; ask for another", ip, l3.Name).On(l3.UUID)
	case owner != "":
		return netip.Addr{}, v1.Conflict("address-in-use", "%s of L3 network %q is in use; ask for another, or leave it out", ip, l3.Name).On(owner)
	}
	return ip, nil
}

// allocateMAC is the MAC asked for, or a new one. also are MACs chosen in the
// same request.
func allocateMAC(v *View, asked string, also map[string]bool) (string, error) {
	if asked == "" {
		return ipam.MAC(rand.Reader, func(mac string) bool { return also[mac] || v.MACOwner(mac) != "" })
	}
	mac, err := v1.ParseMAC(asked)
	if err != nil {
		return "", err
	}
	if owner := v.MACOwner(mac); owner != "" {
		return "", v1.Conflict("mac-in-use", "MAC %s is in use; ask for another, or leave it out", mac).On(owner)
	}
	if also[mac] {
		return "", v1.Refused("mac-in-use", "MAC %s is asked for twice; ask for another, or leave it out", mac)
	}
	return mac, nil
}
