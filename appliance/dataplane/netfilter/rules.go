package netfilter

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"golang.org/x/sys/unix"
)

// Rules of the chains that depend on the nics are text, as nft prints it, and
// each carries its own. So they can be read without decoding what they do: a
// rule is its text if that compiles to it, and else not ours.

// rulesText is where a rule's text is in its user data; nft passes over it.
const rulesText userdata.Type = 83

// foreign stands for a rule that is not ours.
const foreign = "(a rule of others)"

// phrases are what a rule may say without a name or an address.
var phrases = []struct {
	text  string
	exprs []expr.Any
}{
	{"tcp flags syn / syn,rst tcp option maxseg size set rt mtu", append(ofProtocol(unix.IPPROTO_TCP),
		load(expr.PayloadBaseTransportHeader, 13, 1, reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 1, Mask: []byte{6}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{2}},
		&expr.Rt{Register: reg0, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: reg0, DestRegister: reg0, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: reg0, Type: 2, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt})},
	{"ct mark 0x00000000", []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, equals(0)}},
	{"ct mark & 0x000000ff == 0x00000000", []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, anyOf(maskMapped), equals(0)}},
	{"ct mark & 0x0000ff00 != 0x00000000", []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, anyOf(maskWay), differs(0)}},
	{"meta mark set ct mark & 0x0000ff00", []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, anyOf(maskWay), setMark(reg0)}},
	{"meta mark set ip saddr map @ways", []expr.Any{source(reg0), mapped(setWays), setMark(reg0)}},
	{"ct mark set meta mark", []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0}, &expr.Ct{Key: expr.CtKeyMARK, Register: reg0, SourceRegister: true}}},
	{"ct status confirmed,snat / confirmed,snat", []expr.Any{status(), anyOf(ipsConfirmed | ipsSourceNAT), equals(ipsConfirmed | ipsSourceNAT)}},
	{"ct status confirmed,dnat / confirmed,dnat", []expr.Any{status(), anyOf(ipsConfirmed | ipsDestinationNAT), equals(ipsConfirmed | ipsDestinationNAT)}},
	{"ct status assured,confirmed,snat / assured,confirmed,snat", []expr.Any{status(), anyOf(ipsAssured | ipsConfirmed | ipsSourceNAT), equals(ipsAssured | ipsConfirmed | ipsSourceNAT)}},
	{"flow add @" + flowtable, []expr.Any{&expr.FlowOffload{Name: flowtable}}},
	{"ct status ! confirmed", []expr.Any{status(), anyOf(ipsConfirmed), equals(0)}},
	{"ct status dnat", []expr.Any{status(), anyOf(ipsDestinationNAT), differs(0)}},
	{"ct state established,related,new", []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: reg0},
		anyOf(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED | expr.CtStateBitNEW), differs(0)}},
	{"jump counting", []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: "counting"}}},
	{"accept", []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}},
	{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}},
}

// compile is what the kernel is told for a rule.
func compile(rule string) ([]expr.Any, error) {
	var all []expr.Any
	for rest := rule; rest != ""; {
		part, length, err := next(rest)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule, err)
		}
		all = append(all, part...)
		rest = strings.TrimPrefix(rest[length:], " ")
	}
	return all, nil
}

// next compiles what a text begins with, and says how long that is.
func next(text string) (part []expr.Any, length int, err error) {
	for _, p := range phrases {
		if after, ok := strings.CutPrefix(text, p.text); ok && (after == "" || after[0] == ' ') {
			return p.exprs, len(p.text), nil
		}
	}
	words := strings.SplitN(text, " ", 5)
	op, length := expr.CmpOpEq, 0
	if i := slices.Index(words, "!="); i > 0 && i < 3 {
		words, op, length = slices.Delete(words, i, i+1), expr.CmpOpNeq, len("!= ")
	}
	switch {
	case len(words) > 3 && words[1] == "mark" && words[2] == "set":
		part, err = marks(words[0], words[3])
		return part, len(strings.Join(words[:4], " ")), err
	case len(words) > 1 && (words[0] == "iifname" || words[0] == "oifname"):
		part, err = named(words[0], words[1], op)
		return part, length + len(words[0]+" "+words[1]), err
	case len(words) > 3 && strings.HasPrefix(text, "arp daddr ip "):
		part, err = compared("arp daddr ip", words[3], op)
		return part, len(strings.Join(words[:4], " ")), err
	case len(words) > 2:
		part, err = compared(words[0]+" "+words[1], words[2], op)
		return part, length + len(words[0]+" "+words[1]+" "+words[2]), err
	}
	return nil, 0, fmt.Errorf("no condition: %q", text)
}

func setMark(reg uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyMARK, Register: reg, SourceRegister: true}
}

func marks(what, value string) ([]expr.Any, error) {
	n, err := strconv.ParseUint(value, 0, 32)
	set := setMark(reg0)
	if what == "ct" {
		set = &expr.Ct{Key: expr.CtKeyMARK, Register: reg0, SourceRegister: true}
	}
	return []expr.Any{&expr.Immediate{Register: reg0, Data: binary.NativeEndian.AppendUint32(nil, uint32(n))}, set}, err
}

func named(what, quoted string, op expr.CmpOp) ([]expr.Any, error) {
	name, err := strconv.Unquote(quoted)
	if err != nil || name == "" || len(name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("%s %s: not a name in quotes", what, quoted)
	}
	key := expr.MetaKeyIIFNAME
	if what == "oifname" {
		key = expr.MetaKeyOIFNAME
	}
	return []expr.Any{&expr.Meta{Key: key, Register: reg0}, &expr.Cmp{Op: op, Register: reg0, Data: ifname(name)}}, nil
}

// compared is a field of a packet against a value.
func compared(field, value string, op expr.CmpOp) ([]expr.Any, error) {
	switch field {
	case "ip saddr", "ip daddr", "arp daddr ip":
		if !strings.Contains(value, "/") {
			value += "/32"
		}
		p, err := netip.ParsePrefix(value)
		if err != nil || !p.Addr().Is4() {
			return nil, fmt.Errorf("%s %s: no IPv4 prefix", field, value)
		}
		at := map[string]expr.Any{"ip saddr": source(reg0), "ip daddr": destination(reg0),
			"arp daddr ip": load(expr.PayloadBaseNetworkHeader, 24, 4, reg0)}[field] // RFC 826: ar$tpa
		return within(at, p, op), nil
	case "udp sport", "udp dport":
		n, err := strconv.ParseUint(value, 10, 16)
		at := load(expr.PayloadBaseTransportHeader, 0, 2, reg0)
		if field == "udp dport" {
			at = load(expr.PayloadBaseTransportHeader, 2, 2, reg0)
		}
		return append(ofProtocol(unix.IPPROTO_UDP), at, &expr.Cmp{Op: op, Register: reg0, Data: binaryutil.BigEndian.PutUint16(uint16(n))}), err
	}
	return nil, fmt.Errorf("no condition: %q", field)
}

func ofProtocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{number}}}
}

func within(loaded expr.Any, p netip.Prefix, op expr.CmpOp) []expr.Any {
	all := []expr.Any{loaded}
	if p.Bits() < 32 {
		mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
		all = append(all, &expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: mask, Xor: make([]byte, 4)})
	}
	return append(all, &expr.Cmp{Op: op, Register: reg0, Data: p.Masked().Addr().AsSlice()})
}

// change puts chains in the transaction that follows.
func (l layout) change(c *nftables.Conn, s dataplane.SetMappings) (messages uint32, err error) {
	if messages, err = l.changeFlowtable(c, s); err != nil {
		return 0, err
	}
	for _, w := range l.ruled {
		if slices.Contains(s.Gone, w.Name) {
			c.FlushChain(w)
			c.DelChain(w)
			messages += 2
			if w.Table == l.arp {
				c.DelTable(l.arp)
				messages++
			}
		}
		rules, changed := s.Chains[w.Name]
		if !changed {
			continue
		}
		if w.Table == l.arp { // there for its chains only
			c.AddTable(l.arp)
			messages++
		}
		c.AddChain(w)
		c.FlushChain(w)
		messages += 2 + uint32(len(rules))
		for _, text := range rules {
			exprs, err := compile(text)
			if err != nil {
				return 0, fmt.Errorf("chain %s: %w", w.Name, err)
			}
			c.AddRule(&nftables.Rule{Table: w.Table, Chain: w, Exprs: exprs, UserData: userdata.Append(nil, rulesText, []byte(text))})
		}
	}
	return messages, nil
}

// rules reads the chains that depend on the nics, those that there are.
func (l layout) rules(c *nftables.Conn) (map[dataplane.ChainID][]string, error) {
	have, err := l.listChains(c)
	if err != nil {
		return nil, err
	}
	chains := map[dataplane.ChainID][]string{}
	for _, w := range l.ruled {
		if have[w.Name] == nil {
			continue
		}
		rules, err := c.GetRules(w.Table, w)
		if err != nil {
			return nil, err
		}
		texts := make([]string, len(rules))
		for i, r := range rules {
			texts[i] = textOf(r)
		}
		chains[dataplane.ChainID{Table: l.table.Name, Chain: w.Name}] = texts
	}
	return chains, l.readFlowtable(c, chains)
}

func textOf(r *nftables.Rule) string {
	text := string(userdata.Get(r.UserData, rulesText))
	if exprs, err := compile(text); err != nil || text == "" || !reflect.DeepEqual(r.Exprs, readable(exprs)) {
		return foreign
	}
	return text
}

// readable is without what the library can write, but not read.
func readable(exprs []expr.Any) []expr.Any {
	return slices.DeleteFunc(slices.Clone(exprs), func(e expr.Any) bool {
		switch e.(type) {
		case *expr.Rt, *expr.Byteorder:
			return true
		}
		return false
	})
}
