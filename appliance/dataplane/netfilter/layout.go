package netfilter

import (
	"encoding/binary"
	"reflect"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"golang.org/x/sys/unix"
)

// tableName is the table of ours. (Never name anything in it "dnat": nft could
// not parse its own listing.)
const tableName = dataplane.TableName

// layout is the fixed part of the table: what there is does not depend on what
// is mapped, nor on the nics. Ruled are the base chains that do: their rules
// are a State's.
type layout struct {
	table *nftables.Table
	// arp is the table of the same name for ARP: nothing but ruled chains.
	arp    *nftables.Table
	sets   []*nftables.Set
	chains []chain
	ruled  []*nftables.Chain
}

type chain struct {
	*nftables.Chain
	rules [][]expr.Any
}

var (
	typeEndpoint = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	typeTarget   = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	typeMeter    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeCTDir)
	typeMeterVIP = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeCTDir)
	typeGrant    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeIPAddr)
)

// The sets, by name; dataplane.Elements says what is in them.
const (
	setPublic   = "public"
	setGuests   = "guests"
	setInbound  = "inbound"
	setOutbound = "outbound"
	setWays     = "ways"
	setForward  = "forward"
	setLimited  = "limited"
	setGrants   = "grants"
)

// The sets that are not ours to fill: packets make their elements, and setHeld
// has what hold puts in for a while. They are in no State.
const (
	setCalled    = "called"    // VIP, direction: counted, of connections that came for an EIP
	setCalling   = "calling"   // VIP, direction: counted, of those that its guest made
	setForwarded = "forwarded" // VIP, protocol, port, direction: counted
	setPace      = "pace"      // guest: its rate of new connections
	setHeld      = "held"      // guest: gets no new connections
)

func newLayout() layout {
	t := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	arp := &nftables.Table{Name: tableName, Family: nftables.TableFamilyARP}
	set := func(s nftables.Set) *nftables.Set { s.Table = t; return &s }
	addr := nftables.TypeIPAddr
	return layout{table: t, arp: arp,
		sets: []*nftables.Set{
			set(nftables.Set{Name: setPublic, KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}),
			set(nftables.Set{Name: setGuests, KeyType: addr, Interval: true}),
			set(nftables.Set{Name: setInbound, KeyType: addr, DataType: addr, IsMap: true}),
			set(nftables.Set{Name: setOutbound, KeyType: addr, DataType: addr, IsMap: true}),
			set(nftables.Set{Name: setWays, KeyType: addr, DataType: nftables.TypeMark, IsMap: true}),
			set(nftables.Set{Name: setForward, KeyType: typeEndpoint, DataType: typeTarget, IsMap: true, Concatenation: true}),
			set(nftables.Set{Name: setLimited, KeyType: typeEndpoint, DataType: typeTarget, IsMap: true, Concatenation: true}),
			set(nftables.Set{Name: setGrants, KeyType: typeGrant, Interval: true, Concatenation: true}),
			set(nftables.Set{Name: setCalled, KeyType: typeMeterVIP, Concatenation: true, Dynamic: true, Size: 1 << 17}),
			set(nftables.Set{Name: setCalling, KeyType: typeMeterVIP, Concatenation: true, Dynamic: true, Size: 1 << 17}),
			set(nftables.Set{Name: setForwarded, KeyType: typeMeter, Concatenation: true, Dynamic: true, Size: 1 << 18}),
			set(nftables.Set{Name: setPace, KeyType: addr, Dynamic: true, HasTimeout: true, Timeout: time.Minute, Size: 1 << 16}),
			set(nftables.Set{Name: setHeld, KeyType: addr, HasTimeout: true}),
		},
		chains: []chain{arriving(t), departing(t), leaking(t), counting(t)},
		ruled:  append(ruled(t), answers(arp)),
	}
}

// ruled: source is before tracking, via behind it and before translation.
func ruled(t *nftables.Table) []*nftables.Chain {
	accept, drop := nftables.ChainPolicyAccept, nftables.ChainPolicyDrop
	return []*nftables.Chain{
		{Name: "source", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw, Policy: &accept},
		{Name: "via", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle, Policy: &accept},
		{Name: "forward", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop},
	}
}

// answers is for what is asked of the router by ARP (NF_ARP_IN).
func answers(arp *nftables.Table) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return &nftables.Chain{Name: "answers", Table: arp, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookRef(0), Priority: nftables.ChainPriorityFilter, Policy: &accept}
}

// ours is whether a set's elements are part of the State.
func ours(set *nftables.Set) bool { return !set.Dynamic && set.Name != setHeld }

// Registers hold 4 bytes; the first and those after it. The kernel reports the
// first by its old number.
const (
	reg0 = unix.NFT_REG_1
	reg1 = unix.NFT_REG32_01
	reg2 = unix.NFT_REG32_02
	reg3 = unix.NFT_REG32_03
	// regMark is none of those that a translation uses.
	regMark = unix.NFT_REG32_05
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

// counted makes the element, if it is new, and counts the packet for it.
func counted(set string) expr.Any {
	return &expr.Dynset{SrcRegKey: reg0, SetName: set, Operation: unix.NFT_DYNSET_OP_ADD, Exprs: []expr.Any{&expr.Counter{}}}
}

// Of linux/netfilter/nf_conntrack_common.h, IPS_ASSURED, IPS_CONFIRMED, IPS_SRC_NAT and IPS_DST_NAT.
const (
	ipsAssured        = 1 << 2
	ipsConfirmed      = 1 << 3
	ipsSourceNAT      = 1 << 4
	ipsDestinationNAT = 1 << 5
)

func status() expr.Any { return &expr.Ct{Key: expr.CtKeySTATUS, Register: reg0} }

// A connection's mark is what mapped it, in its first byte: its packets are
// then counted, and those of others asked no more. The second one is the nic.
const (
	_ uint32 = iota
	markInbound
	markOutbound
	markForward

	maskMapped = 0xff
	maskWay    = 0xff00
)

func marked(mark uint32) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, anyOf(maskMapped), equals(mark)}
}

// marking is a mark that keeps the nic, in a register that translation does not
// need.
func marking(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: regMark},
		&expr.Bitwise{SourceRegister: regMark, DestRegister: regMark, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, maskWay), Xor: binary.NativeEndian.AppendUint32(nil, mark)},
	}
}

// asked loads from the tuple of the first packet before its translation,
// answered from that of its answer.
func asked(key expr.CtKey, reg uint32) expr.Any {
	return &expr.Ct{Key: key, Register: reg, Direction: expr.CtDirOriginal}
}

func answered(key expr.CtKey, reg uint32) expr.Any {
	return &expr.Ct{Key: key, Register: reg, Direction: expr.CtDirReply}
}

func direction(reg uint32) expr.Any { return &expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg} }

func anyOf(bits uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4)}
}

func equals(value uint32) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: binary.NativeEndian.AppendUint32(nil, value)}
}

func differs(value uint32) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: binary.NativeEndian.AppendUint32(nil, value)}
}

func leaving(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg} }

func translate(kind expr.NATType, proto uint32) expr.Any {
	// The kernel takes a minimum without a maximum for both, and reports both.
	return &expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0, RegAddrMax: reg0,
		RegProtoMin: proto, RegProtoMax: proto, Specified: proto != 0}
}

// A guest's new connections: as many a second, and at once, as leave the agent
// the time to see that the table fills, and few enough to be fast for anybody.
const (
	paceRate  = 10_000
	paceBurst = 10_000
)

// arriving: EIP first, then port forwarding, for whatever side the packet came
// from; so a guest finds a public address where everybody does. Before
// iptables' nat chains, where others may have theirs.
//
// Before, nobody speaks with an address of the router's own: the kernel's check
// of that takes the longer for each packet the more addresses the router has,
// and is switched off (accept_local); no connection that there is has one as
// the source of what comes in.
//
// Also before, new connections of guests are paced: one of them cannot fill the
// table before the agent has noticed and holds it. Here, because a chain of
// this type sees a connection's first packet only: what follows, answered or
// not, goes on. Counting connections (ct count) is no way: the kernel walks a
// guest's list for a new one, so that it costs the more the more the guest has.
func arriving(t *nftables.Table) chain {
	drop := &expr.Verdict{Kind: expr.VerdictDrop}
	return chain{
		Chain: &nftables.Chain{Name: "arriving", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest - 10)},
		rules: [][]expr.Any{
			{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, &expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: ifname("lo")},
				&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagSADDR: true}, equals(unix.RTN_LOCAL), drop},
			{source(reg0), member(setHeld), drop},
			{source(reg0), member(setGuests), &expr.Dynset{SrcRegKey: reg0, SetName: setPace, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
				&expr.Limit{Type: expr.LimitTypePkts, Rate: paceRate, Burst: paceBurst, Unit: expr.LimitTimeSecond, Over: true}}}, drop},
			rule(markInbound, translate(expr.NATTypeDestNAT, 0), destination(reg0), mapped(setInbound)),
			rule(markForward, translate(expr.NATTypeDestNAT, reg1), destination(reg0), protocol(reg1), port(reg2), mapped(setForward)),
			rule(markForward, translate(expr.NATTypeDestNAT, reg1), destination(reg0), protocol(reg1), port(reg2), source(reg3), member(setGrants), mapped(setLimited)),
		},
	}
}

// rule marks what it finds mapped, and translates it.
func rule(mark uint32, translated expr.Any, found ...expr.Any) []expr.Any {
	return append(marking(mark), append(found, &expr.Ct{Key: expr.CtKeyMARK, Register: regMark, SourceRegister: true}, translated)...)
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
			// Its first packet is counted here: when it was forwarded, it had no
			// mark. By way of the mark, because nft aborts where it has to list
			// as a key what comes out of a map, whose length it does not know.
			rule(markOutbound, translate(expr.NATTypeSourceNAT, 0), leaving(reg0), member(setPublic), source(reg0), mapped(setOutbound),
				&expr.Ct{Key: expr.CtKeyMARK, Register: reg0, SourceRegister: true}, &expr.Ct{Key: expr.CtKeyMARK, Register: reg1}, direction(reg2),
				&expr.Dynset{SrcRegKey: reg1, SetName: setCalling, Operation: unix.NFT_DYNSET_OP_ADD, Exprs: []expr.Any{&expr.Counter{}}}),
		},
	}
}

// leaking: what nothing has translated does not leave with a guest's own
// address. A chain of this type is asked for first packets only, and last;
// those that follow have to be translated to pass (see the chain forward).
func leaking(t *nftables.Table) chain {
	return chain{
		Chain: &nftables.Chain{Name: "leaking", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATSource + 100)},
		rules: [][]expr.Any{
			{leaving(reg0), member(setPublic), source(reg0), member(setGuests), &expr.Verdict{Kind: expr.VerdictDrop}},
		},
	}
}

// counting is for packets of connections that are mapped, in both directions.
// A connection of general SNAT, the most there are, has no mark and does not
// come here.
func counting(t *nftables.Table) chain {
	return chain{
		Chain: &nftables.Chain{Name: "counting", Table: t},
		rules: [][]expr.Any{
			append(marked(markInbound), asked(expr.CtKeyDSTIP, reg0), direction(reg1), counted(setCalled)),
			append(marked(markOutbound), answered(expr.CtKeyDSTIP, reg0), direction(reg1), counted(setCalling)),
			append(marked(markForward), asked(expr.CtKeyDSTIP, reg0), asked(expr.CtKeyPROTOCOL, reg1), asked(expr.CtKeyPROTODST, reg2),
				direction(reg3), counted(setForwarded)),
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
			h.HasTimeout != w.HasTimeout || h.Dynamic != w.Dynamic || h.Constant ||
			h.KeyType.GetNFTMagic() != w.KeyType.GetNFTMagic() || h.DataType.GetNFTMagic() != w.DataType.GetNFTMagic() {
			return false, nil
		}
	}
	return true, nil
}

func (l layout) chainsStand(c *nftables.Conn) (bool, error) {
	have, err := l.listChains(c)
	if err != nil {
		return false, err
	}
	for _, w := range l.chains {
		if !same(have[w.Name], w.Chain) {
			return false, nil
		}
		if ok, err := w.rulesStand(c); !ok || err != nil {
			return false, err
		}
		delete(have, w.Name)
	}
	for _, w := range l.ruled { // may be missing
		if h := have[w.Name]; h != nil && !same(h, w) {
			return false, nil
		}
		delete(have, w.Name)
	}
	return len(have) == 0, nil
}

// listChains are the chains of both tables, by name.
func (l layout) listChains(c *nftables.Conn) (map[string]*nftables.Chain, error) {
	have := map[string]*nftables.Chain{}
	for _, t := range []*nftables.Table{l.table, l.arp} {
		all, err := c.ListChainsOfTableFamily(t.Family)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			if x.Table.Name == t.Name {
				have[x.Name] = x
			}
		}
	}
	return have, nil
}

// same is whether a chain that was read, nil for none, is hooked as wanted.
func same(h, w *nftables.Chain) bool {
	if h == nil || h.Type != w.Type || (h.Hooknum == nil) != (w.Hooknum == nil) {
		return false
	}
	if w.Hooknum == nil {
		return true
	}
	policy := nftables.ChainPolicyAccept
	if w.Policy != nil {
		policy = *w.Policy
	}
	return *h.Hooknum == *w.Hooknum && h.Priority != nil && *h.Priority == *w.Priority && (h.Policy == nil || *h.Policy == policy)
}

func (w chain) rulesStand(c *nftables.Conn) (bool, error) {
	rules, err := c.GetRules(w.Table, w.Chain)
	if err != nil || len(rules) != len(w.rules) {
		return false, err
	}
	for i, r := range rules {
		if !reflect.DeepEqual(r.Exprs, readable(w.rules[i])) {
			return false, nil
		}
	}
	return true, nil
}
