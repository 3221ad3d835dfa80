package dhcp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// Config is one network, ready to be answered from. It never changes once it
// is made, so any number of readers share it; a new spec makes a new one.
type Config struct {
	iface    hw
	serverID ip4
	first    ip4 // network address
	mask     uint32
	// plain and lease begin the options of an answer: message type (to be
	// set), server id, and with an address its times.
	plain, lease []byte
	// options by [nic is its guest's default one][code], encoded.
	options [2]optionTable
	// unasked are codes given without being asked for.
	unasked []byte
	// maxSize is the largest IP datagram sent, in bytes.
	maxSize  int
	relays   []ip4
	bindings bindingTable
	source   agentv1.DHCPNetwork
}

type optionTable [256][]byte

// binding is the fixed address of a guest nic.
type binding struct {
	mac hw
	ip  ip4
	// table is 1 where the nic is its guest's default one.
	table uint8
	// own are the nic's own options, encoded, sorted by code. They win over
	// the network's.
	own  []ownOption
	boot *bootFields
}

type ownOption struct {
	code    byte
	unasked bool
	bytes   []byte
}

// bootFields fill siaddr, sname and file for boot ROMs that never look at
// options 66 and 67 (RFC 2131 section 2).
type bootFields struct {
	siaddr      ip4
	sname, file []byte
}

// option gives the encoded option for a nic, or nil.
func (c *Config) option(b *binding, code byte) []byte {
	for i := range b.own {
		if b.own[i].code == code {
			return b.own[i].bytes
		}
	}
	return c.options[b.table][code]
}

// contains says whether an address is in the network's subnet.
func (c *Config) contains(a ip4) bool {
	return binary.BigEndian.Uint32(a[:])&c.mask == binary.BigEndian.Uint32(c.first[:])
}

func (c *Config) relayed(by ip4) bool { return slices.Contains(c.relays, by) }

// MAC is the address of the router's nic that the network is served on.
func (c *Config) MAC() string { return c.iface.String() }

// Len is the number of bindings.
func (c *Config) Len() int { return c.bindings.len }

// Prepare makes the Config of a network that Validate has passed; its errors
// are for callers that did not. With prev, the Config of the same network
// before, only bindings that differ are prepared again: one changed among
// 65,000 costs one comparison for each and the copy of one shard. The same
// network again gives prev itself.
func Prepare(prev *Config, n agentv1.DHCPNetwork) (*Config, error) {
	if prev == nil {
		prev = &Config{}
	} else if sameNetwork(prev.source, n) {
		return prev, nil
	}
	c, err := prepareNetwork(n)
	if err != nil {
		return nil, err
	}
	edit := editTable(prev.bindings)
	err = walkBindings(prev.source.Bindings, n.Bindings, samePrepared(prev.source, n), func(was, is *agentv1.DHCPBinding) error {
		if was != nil {
			edit.drop(was)
		}
		if is == nil {
			return nil
		}
		return edit.add(n, is)
	})
	if err != nil {
		return nil, err
	}
	c.bindings = edit.table
	return c, nil
}

// edited is the Config of n, the same network but for an edit of its bindings.
func (c *Config) edited(n agentv1.DHCPNetwork, e agentv1.Edit[agentv1.DHCPBinding]) (*Config, error) {
	edit := editTable(c.bindings)
	for i := range e.Remove {
		edit.drop(&e.Remove[i])
	}
	for i := range e.Add {
		if err := edit.add(n, &e.Add[i]); err != nil {
			return nil, err
		}
	}
	next := *c
	next.bindings, next.source = edit.table, n
	return &next, nil
}

// samePrepared says of a binding in two networks whether what was prepared of it
// is still right: where it has routes, the network's are in there too.
func samePrepared(old, now agentv1.DHCPNetwork) func(was, is *agentv1.DHCPBinding) bool {
	sameRoutes := old.Router == now.Router && slices.Equal(old.Routes, now.Routes)
	return func(was, is *agentv1.DHCPBinding) bool {
		return was.Equal(is) && (sameRoutes || len(is.Routes) == 0)
	}
}

func prepareNetwork(n agentv1.DHCPNetwork) (*Config, error) {
	h, ok := parseMAC(n.Interface)
	if !ok {
		return nil, fmt.Errorf("prepare network: interface %q is not a MAC", n.Interface)
	}
	if !n.Subnet.Addr().Is4() || !n.ServerID.Is4() {
		return nil, fmt.Errorf("prepare network %s: subnet and server id have to be IPv4", n.Interface)
	}
	c := &Config{
		iface: h, serverID: n.ServerID.As4(), first: n.Subnet.Masked().Addr().As4(),
		mask: maskOf(n.Subnet.Bits()), maxSize: min(n.MTU, 1500), source: n,
	}
	id := encodeAddrs(optServerID, n.ServerID)
	c.plain = slices.Concat(encode(optMessageType, []byte{0}), id)
	c.lease = slices.Concat(c.plain, leaseTimes(n.LeaseSeconds))
	for _, r := range n.Relays {
		if r.Is4() {
			c.relays = append(c.relays, r.As4())
		}
	}
	c.options[1] = networkOptions(n, true)
	c.options[0] = networkOptions(n, false)
	if n.MTU != 1500 { // "non-default values on the client's subnet", RFC 2131 section 4.3.1
		c.unasked = []byte{optMTU}
	}
	return c, nil
}

// leaseTimes gives options 51, 58 (1/2) and 59 (7/8, RFC 2131 section 4.4.5).
// Of an endless lease there is nothing to renew.
func leaseTimes(seconds uint32) []byte {
	lease := encode32(optLease, seconds)
	if seconds == 1<<32-1 {
		return lease
	}
	t2 := uint32(uint64(seconds) * 7 / 8)
	return slices.Concat(lease, encode32(optT1, seconds/2), encode32(optT2, t2))
}

// networkOptions encodes what a nic may ask for. A guest has one default route
// and one resolver configuration, so its other nics get neither.
func networkOptions(n agentv1.DHCPNetwork, isDefault bool) optionTable {
	var t optionTable
	set := func(code byte, b []byte) { t[code] = b }
	set(optMask, encode32(optMask, maskOf(n.Subnet.Bits())))
	set(optMTU, encode(optMTU, binary.BigEndian.AppendUint16(nil, uint16(n.MTU))))
	if b := broadcastOf(n.Subnet); b.IsValid() {
		set(optBroadcast, encodeAddrs(optBroadcast, b))
	}
	if isDefault {
		if n.Router.IsValid() {
			set(optRouter, encodeAddrs(optRouter, n.Router))
		}
		if len(n.DNS) > 0 {
			set(optDNS, encodeAddrs(optDNS, n.DNS...))
		}
		if n.Domain != "" {
			set(optDomain, encode(optDomain, []byte(n.Domain)))
			set(optSearch, encode(optSearch, searchList(n.Domain)))
		}
	}
	for _, o := range routeOptions(networkRoutes(n, isDefault)) {
		set(o.code, o.bytes)
	}
	return t
}

func prepareBinding(n agentv1.DHCPNetwork, s *agentv1.DHCPBinding) (*binding, error) {
	h, ok := parseMAC(s.MAC)
	if !ok || !s.IP.Is4() {
		return nil, fmt.Errorf("a MAC and an IPv4 address are needed, not %q and %v", s.MAC, s.IP)
	}
	b := &binding{mac: h, ip: s.IP.As4()}
	if s.IsDefault {
		b.table = 1
	}
	if s.Hostname != "" {
		b.own = append(b.own, ownOption{code: optHostname, bytes: encode(optHostname, []byte(s.Hostname))})
	}
	b.own = append(b.own, ownRoutes(n, s)...)
	for _, code := range slices.Sorted(maps.Keys(s.Options)) {
		v, err := hex.DecodeString(s.Options[code])
		if err != nil {
			return nil, fmt.Errorf("option %d: %w", code, err)
		}
		b.own = slices.DeleteFunc(b.own, func(o ownOption) bool { return o.code == code })
		b.own = append(b.own, ownOption{code: code, unasked: true, bytes: encode(code, v)})
		b.boot = b.boot.with(code, v)
	}
	slices.SortFunc(b.own, func(x, y ownOption) int { return int(x.code) - int(y.code) })
	return b, nil
}

// with adds what options 66 and 67 say to the boot fields, as far as it fits
// with the ending zero byte.
func (f *bootFields) with(code byte, v []byte) *bootFields {
	if code != optTFTPServer && code != optBootFile {
		return f
	}
	if f == nil {
		f = &bootFields{}
	}
	switch {
	case code == optBootFile && len(v) < fileLen:
		f.file = v
	case code == optTFTPServer && len(v) < snameLen:
		f.sname = v
		if a, ok := parseIP4(string(v)); ok {
			f.siaddr = a
		}
	}
	return f
}
