package model

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Limits of what is remembered of strangers on an L3 network.
const (
	MaxStrangers = 256
	// ProxyAnswers is how many addresses a MAC has that is not believed to have
	// any of them: it answers for everybody (proxy ARP), and says nothing.
	ProxyAnswers = 4
)

// Place is an address on an L3 network.
type Place struct {
	L3 string
	IP netip.Addr
}

// Heard is who answered ARP for addresses that routers are about to take: MACs
// in lower case. What is not in it did not answer.
type Heard map[Place]string

// AddressCondition is the type of a VIP's condition that tells whether it can
// be taken, with its reasons.
const (
	AddressCondition = "Address"
	ReasonClaimed    = "Claimed"
	ReasonInUse      = "AddressInUse"
)

// AnswersForRouter takes up who answered for the addresses that a router has not
// had yet. Those that it may choose become others, and it is to be built anew;
// for one that it must have, such as the gateway, the refusal (address-in-use)
// names the MAC, and what else changed stands nevertheless.
func AnswersForRouter(tx *Tx, uuid string, heard Heard) (refused, err error) {
	r := Get[v1.VirtualRouter](tx.View, uuid)
	if r == nil || r.WantedState == v1.StateDestroyed {
		return nil, nil
	}
	guest := Get[v1.L3Network](tx.View, r.L3NetworkUUID)
	moved := false
	for _, n := range r.Nics {
		mac := heard[Place{n.L3NetworkUUID, n.IP}]
		if mac == "" || n.Claimed || tx.MACOwner(mac) == uuid || !noteStranger(tx, n.L3NetworkUUID, n.IP, mac) {
			continue
		}
		subnet, _ := SubnetOf(tx.View, n.L3NetworkUUID)
		if fixedAddress(guest, n.L3NetworkUUID, subnet) == n.IP {
			refused = v1.Conflict("address-in-use", "%s, which the router must have on L3 network %q, answers ARP as %s, which is nobody's that is known here; turn that off, or set another address with `sluice l3-network set-router-interface-ip`",
				n.IP, guest.Name, mac).On(uuid, n.L3NetworkUUID)
			continue
		}
		moved = true
	}
	if !moved {
		return refused, nil
	}
	changed, err := replan(tx.View, r, guest)
	if err != nil {
		return refused, err
	}
	return refused, commitReplan(tx, changed)
}

// ClaimVIPs takes up who answered for VIPs, by UUID with the address that was
// asked about. A VIP that nobody answered for is claimed. Another one, if its
// address was not asked for by its owner and nothing uses it yet, gets the next
// free address, to be asked about in turn; else its condition tells, and no
// router takes it. One that has changed meanwhile is passed over.
func ClaimVIPs(tx *Tx, asked map[string]netip.Addr, heard Heard) error {
	for _, uuid := range slices.Sorted(maps.Keys(asked)) {
		ip := asked[uuid]
		vip := Get[v1.VIP](tx.View, uuid)
		if vip == nil || vip.System || vip.IP != ip {
			continue
		}
		mac := heard[Place{vip.L3NetworkUUID, ip}]
		if mac == "" || isRouter(tx.View, mac) || !noteStranger(tx, vip.L3NetworkUUID, ip, mac) {
			setVIPAddress(tx, vip, v1.Condition{Status: v1.True, Reason: ReasonClaimed})
			continue
		}
		if !vip.IPRequested && len(vipUsers(tx.View, uuid)) == 0 {
			if next, err := allocateIP(tx.View, Get[v1.L3Network](tx.View, vip.L3NetworkUUID), ""); err == nil {
				moveVIP(tx, vip, next)
				continue
			}
		}
		setVIPAddress(tx, vip, v1.Condition{Status: v1.False, Reason: ReasonInUse,
			Message: ip.String() + " answers ARP as " + mac + ", which is nobody's that is known here, so no router takes it; turn that off (it is asked again every minute), or delete the VIP and create another"})
	}
	return nil
}

// isRouter: a router that had the VIP before may still be on its way out.
func isRouter(v *View, mac string) bool { return Get[v1.VirtualRouter](v, v.MACOwner(mac)) != nil }

func setVIPAddress(tx *Tx, vip *v1.VIP, c v1.Condition) {
	c.Type, c.Since = AddressCondition, tx.Now
	if len(vip.Conditions) == 1 {
		have := vip.Conditions[0]
		if have.Status == c.Status && have.Message == c.Message {
			return
		}
	}
	vip = Copy(vip)
	vip.Conditions = []v1.Condition{c}
	tx.Save(vip)
}

// Withheld reports whether no router takes a VIP because a stranger has it.
func Withheld(vip *v1.VIP) bool {
	return slices.ContainsFunc(vip.Conditions, func(c v1.Condition) bool { return c.Type == AddressCondition && c.Status == v1.False })
}

// ForgetStrangers takes addresses of an L3 network off the list of strangers:
// nobody answers there any more.
func ForgetStrangers(tx *Tx, uuid string, silent []netip.Addr) error {
	l3 := Get[v1.L3Network](tx.View, uuid)
	if l3 == nil {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(l3.Strangers), func(s v1.Stranger) bool { return slices.Contains(silent, s.IP) })
	if len(left) < len(l3.Strangers) {
		l3 = Copy(l3)
		l3.Strangers = left
		tx.Save(l3)
	}
	return nil
}

// noteStranger remembers who has an address; false if he answers for everybody.
func noteStranger(tx *Tx, uuid string, ip netip.Addr, mac string) bool {
	l3 := Get[v1.L3Network](tx.View, uuid)
	others, since := 0, tx.Now
	for _, s := range l3.Strangers {
		if s.IP == ip && s.MAC == mac {
			since = s.Since
		} else if s.MAC == mac {
			others++
		}
	}
	if others >= ProxyAnswers {
		return false
	}
	if strangerAt(l3, ip) == mac {
		return true
	}
	l3 = Copy(l3)
	l3.Strangers = withStranger(l3.Strangers, v1.Stranger{IP: ip, MAC: strings.ToLower(mac), Since: since.Truncate(time.Second)})
	tx.Save(l3)
	return true
}

// withStranger is the list with one more, sorted by address; of too many the
// oldest goes.
func withStranger(list []v1.Stranger, s v1.Stranger) []v1.Stranger {
	list = slices.DeleteFunc(slices.Clone(list), func(have v1.Stranger) bool { return have.IP == s.IP })
	if len(list) >= MaxStrangers {
		oldest := slices.MinFunc(list, func(a, b v1.Stranger) int { return a.Since.Compare(b.Since) })
		list = slices.DeleteFunc(list, func(have v1.Stranger) bool { return have.IP == oldest.IP })
	}
	list = append(list, s)
	slices.SortFunc(list, func(a, b v1.Stranger) int { return a.IP.Compare(b.IP) })
	return list
}

// strangerAt is the MAC of the stranger that has an address; empty if none.
func strangerAt(l3 *v1.L3Network, ip netip.Addr) string {
	i, found := slices.BinarySearchFunc(l3.Strangers, ip, func(s v1.Stranger, ip netip.Addr) int { return s.IP.Compare(ip) })
	if !found {
		return ""
	}
	return l3.Strangers[i].MAC
}

// strangersOf are the addresses that are not handed out because of strangers:
// one that somebody has been given is in use as it is.
func strangersOf(v *View, l3 *v1.L3Network) (all []v1.AddressRange) {
	for _, s := range l3.Strangers {
		if v.AddressOwner(l3.UUID, s.IP) == "" {
			all = append(all, v1.AddressRange{StartIP: s.IP, EndIP: s.IP})
		}
	}
	return all
}

// strangers: in order, each address once, all of the network.
func (c *checker) strangers() {
	for l3 := range List[v1.L3Network](c.v) {
		subnet, _ := SubnetOf(c.v, l3.UUID)
		for i, s := range l3.Strangers {
			c.want(subnet.CIDR.Contains(s.IP), "stranger %s is not of L3 network %s (%s)", s.IP, l3.UUID, subnet)
			c.want(i == 0 || l3.Strangers[i-1].IP.Less(s.IP), "strangers of L3 network %s are not in order: %v", l3.UUID, l3.Strangers)
		}
		c.want(len(l3.Strangers) <= MaxStrangers, "L3 network %s has %d strangers", l3.UUID, len(l3.Strangers))
	}
}
