package netfilter

import (
	"reflect"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is the table of ours. (Never name anything in it "dnat": nft could
// not parse its own listing.)
const tableName = "sluice"

// layout is the fixed part of the table: what there is does not depend on what
// is mapped.
type layout struct {
	table  *nftables.Table
	sets   []*nftables.Set
	chains []chain
}

type chain struct {
	*nftables.Chain
	rules [][]expr.Any
}

var (
	typeEndpoint = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	typeTarget   = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	typeGrant    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIPAddr)
)

// The sets, by name; dataplane.Elements says what is in them.
const (
	setPublic   = "public"
	setGuests   = "guests"
	setInbound  = "inbound"
	setOutbound = "outbound"
	setForward  = "forward"
	setLimited  = "limited"
	setGrants   = "grants"
)

func newLayout() layout {
	t := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	set := func(s nftables.Set) *nftables.Set { s.Table = t; return &s }
	addr := nftables.TypeIPAddr
	return layout{table: t,
		sets: []*nftables.Set{
			set(nftables.Set{Name: setPublic, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}),
			set(nftables.Set{Name: setGuests, KeyType: addr, Interval: true}),
			set(nftables.Set{Name: setInbound, KeyType: addr, DataType: addr, IsMap: true}),
			set(nftables.Set{Name: setOutbound, KeyType: addr, DataType: addr, IsMap: true}),
			set(nftables.Set{Name: setForward, KeyType: typeEndpoint, DataType: typeTarget, IsMap: true, Concatenation: true}),
			set(nftables.Set{Name: setLimited, KeyType: typeEndpoint, DataType: typeTarget, IsMap: true, Concatenation: true}),
			set(nftables.Set{Name: setGrants, KeyType: typeGrant, Interval: true, Concatenation: true}),
		},
		chains: []chain{arriving(t), departing(t), leaking(t)},
	}
}

// Registers hold 4 bytes; the first and those after it. The kernel reports the
// first by its old number.
const (
	reg0 = unix.NFT_REG_1
	reg1 = unix.NFT_REG32_01
	reg2 = unix.NFT_REG32_02
	reg3 = unix.NFT_REG32_03
)

func load(base expr.PayloadBase, offset, length, reg uint32) expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: base, Offset: offset, Len: length, DestRegister: reg}
}

func destination(reg uint32) expr.Any { return load(expr.PayloadBaseNetworkHeader, 16, 4, reg) }
func source(reg uint32) expr.Any      { return load(expr.PayloadBaseNetworkHeader, 12, 4, reg) }
func protocol(reg uint32) expr.Any    { return load(expr.PayloadBaseNetworkHeader, 9, 1, reg) }

// port is safe for any protocol: only tcp and udp are in the maps, and the
// kernel puts fragments together before.
func port(reg uint32) expr.Any { return load(expr.PayloadBaseTransportHeader, 2, 2, reg) }

func member(set string) expr.Any { return &expr.Lookup{SourceRegister: reg0, SetName: set} }
func mapped(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: set}
}

func leaving(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg} }

func translate(kind expr.NATType, proto uint32) expr.Any {
	// The kernel takes a minimum without a maximum for both, and reports both.
	return &expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0, RegAddrMax: reg0,
		RegProtoMin: proto, RegProtoMax: proto, Specified: proto != 0}
}

// arriving: EIP first, then port forwarding, for whatever side the packet came
// from; so a guest finds a public address where everybody does. Before
// iptables' nat chains, where others may have theirs.
func arriving(t *nftables.Table) chain {
	return chain{
		Chain: &nftables.Chain{Name: "arriving", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest - 10)},
		rules: [][]expr.Any{
			{destination(reg0), mapped(setInbound), translate(expr.NATTypeDestNAT, 0)},
			{destination(reg0), protocol(reg1), port(reg2), mapped(setForward), translate(expr.NATTypeDestNAT, reg1)},
			{destination(reg0), protocol(reg1), port(reg2), source(reg3), member(setGrants), mapped(setLimited), translate(expr.NATTypeDestNAT, reg1)},
		},
	}
}

// departing: an EIP's guest speaks with it to the outside, with its own ports;
// the first translation stands, so this precedes general SNAT in iptables.
// Multicast is never translated.
func departing(t *nftables.Table) chain {
	return chain{
		Chain: &nftables.Chain{Name: "departing", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATSource - 10)},
		rules: [][]expr.Any{
			{destination(reg0),
				&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: []byte{240, 0, 0, 0}, Xor: make([]byte, 4)},
				&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{224, 0, 0, 0}},
				&expr.Verdict{Kind: expr.VerdictReturn}},
			{leaving(reg0), member(setPublic), source(reg0), mapped(setOutbound), translate(expr.NATTypeSourceNAT, 0)},
		},
	}
}

// leaking: after all translation no guest's own address leaves; neither that
// of a guest without any mapping, nor on packets that tracking finds invalid
// and so does not translate.
func leaking(t *nftables.Table) chain {
	return chain{
		Chain: &nftables.Chain{Name: "leaking", Table: t, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATSource + 100)},
		rules: [][]expr.Any{
			{leaving(reg0), member(setPublic), source(reg0), member(setGuests), &expr.Verdict{Kind: expr.VerdictDrop}},
		},
	}
}

// stands is whether the kernel's table is exactly this layout; any foreign
// change in it is a difference.
func (l layout) stands(c *nftables.Conn) (bool, error) {
	tables, err := c.ListTablesOfFamily(l.table.Family)
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		if t.Name == l.table.Name {
			ok, err := l.setsStand(c)
			if !ok || err != nil {
				return false, err
			}
			return l.chainsStand(c)
		}
	}
	return false, nil
}

func (l layout) setsStand(c *nftables.Conn) (bool, error) {
	have, err := c.GetSets(l.table)
	if err != nil || len(have) != len(l.sets) {
		return false, err
	}
	byName := map[string]*nftables.Set{}
	for _, s := range have {
		byName[s.Name] = s
	}
	for _, w := range l.sets {
		h := byName[w.Name]
		if h == nil || h.IsMap != w.IsMap || h.Interval != w.Interval || h.Concatenation != w.Concatenation ||
			h.HasTimeout != w.HasTimeout || h.Dynamic || h.Constant ||
			h.KeyType.GetNFTMagic() != w.KeyType.GetNFTMagic() || h.DataType.GetNFTMagic() != w.DataType.GetNFTMagic() {
			return false, nil
		}
	}
	return true, nil
}

func (l layout) chainsStand(c *nftables.Conn) (bool, error) {
	all, err := c.ListChainsOfTableFamily(l.table.Family)
	if err != nil {
		return false, err
	}
	have := map[string]*nftables.Chain{}
	for _, x := range all {
		if x.Table.Name == l.table.Name {
			have[x.Name] = x
		}
	}
	if len(have) != len(l.chains) {
		return false, nil
	}
	for _, w := range l.chains {
		h := have[w.Name]
		if h == nil || h.Type != w.Type || h.Hooknum == nil || *h.Hooknum != *w.Hooknum ||
			h.Priority == nil || *h.Priority != *w.Priority || h.Policy != nil && *h.Policy != nftables.ChainPolicyAccept {
			return false, nil
		}
		if ok, err := w.rulesStand(c); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w chain) rulesStand(c *nftables.Conn) (bool, error) {
	rules, err := c.GetRules(w.Table, w.Chain)
	if err != nil || len(rules) != len(w.rules) {
		return false, err
	}
	for i, r := range rules {
		if !reflect.DeepEqual(r.Exprs, w.rules[i]) {
			return false, nil
		}
	}
	return true, nil
}
