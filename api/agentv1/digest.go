package agentv1

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Digest tells contents apart, and can be kept up to date at the cost of a
// change: SHA-256 of the content's head (all but the lists that may be long) and
// the sum, in four lanes modulo 2^64, of the SHA-256 of every entry of those
// lists. The order of entries does not count. It is a check against mistakes
// and lost updates; what authenticates a spec is the TLS session.
type Digest struct {
	head [sha256.Size]byte
	many lanes
}

type lanes [4]uint64

// The labels of the long lists in a digest.
const (
	labelBinding        = "binding"
	labelRecord         = "record"
	labelEIP            = "eip"
	labelPortForwarding = "portForwarding"
)

// String is the digest as specs carry it: 64 hexadecimal digits.
func (d Digest) String() string {
	h := sha256.New()
	h.Write(d.head[:])
	for _, lane := range d.many {
		h.Write(binary.BigEndian.AppendUint64(nil, lane))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Hash is the content's Digest. Two contents have the same one exactly if they
// ask for the same router.
func (c Content) Hash() string { return c.Digest().String() }

// Digest is that of the whole content.
func (c Content) Digest() Digest {
	d := Digest{head: c.head()}
	for _, n := range c.DHCP {
		count(&d.many, labelBinding, n.Interface, n.Bindings, 1)
	}
	for _, n := range c.DNS {
		count(&d.many, labelRecord, n.Interface, n.Records, 1)
	}
	count(&d.many, labelEIP, "", c.EIPs, 1)
	count(&d.many, labelPortForwarding, "", c.PortForwardings, 1)
	return d
}

// Changed is the digest of Content.Changed.
func (d Digest) Changed(c Change) Digest {
	for _, e := range c.DHCP {
		count(&d.many, labelBinding, e.Interface, e.Bindings.Remove, -1)
		count(&d.many, labelBinding, e.Interface, e.Bindings.Add, 1)
	}
	for _, e := range c.DNS {
		count(&d.many, labelRecord, e.Interface, e.Records.Remove, -1)
		count(&d.many, labelRecord, e.Interface, e.Records.Add, 1)
	}
	count(&d.many, labelEIP, "", c.EIPs.Remove, -1)
	count(&d.many, labelEIP, "", c.EIPs.Add, 1)
	count(&d.many, labelPortForwarding, "", c.PortForwardings.Remove, -1)
	count(&d.many, labelPortForwarding, "", c.PortForwardings.Add, 1)
	return d
}

// head is the hash of all but the lists that may be long.
func (c Content) head() [sha256.Size]byte {
	c.EIPs, c.PortForwardings = nil, nil
	c.DHCP, c.DNS = slices.Clone(c.DHCP), slices.Clone(c.DNS)
	for i := range c.DHCP {
		c.DHCP[i].Bindings = nil
	}
	for i := range c.DNS {
		c.DNS[i].Records = nil
	}
	return sha256.Sum256(marshal(c))
}

// count adds (sign 1) or takes away (sign -1) the hashes of entries.
func count[T any](many *lanes, label, network string, entries []T, sign int) {
	if len(entries) == 0 {
		return
	}
	prefix := []byte(label + "\x00" + network + "\x00")
	for i := range entries {
		many.add(append(prefix, marshal(&entries[i])...), sign)
	}
}

func (l *lanes) add(entry []byte, sign int) {
	sum := sha256.Sum256(entry)
	for i := range l {
		l[i] += uint64(sign) * binary.BigEndian.Uint64(sum[8*i:])
	}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // plain data: cannot fail
		panic("agentv1: marshal: " + err.Error())
	}
	return b
}

// DigestJSON is the Digest of a content as its sender has it, from its JSON:
// fields that this program does not know count, too, which Content.Digest
// would leave out. The sender's JSON is in its own order; spaces do not count.
func DigestJSON(content []byte) (Digest, error) {
	var d Digest
	head, err := without(content, func(key string, value json.RawMessage) (json.RawMessage, error) {
		switch key {
		case "eips":
			return nil, d.many.addRaw(labelEIP, "", value)
		case "portForwardings":
			return nil, d.many.addRaw(labelPortForwarding, "", value)
		case "dhcp":
			return d.many.networks(labelBinding, "bindings", value)
		case "dns":
			return d.many.networks(labelRecord, "records", value)
		}
		return value, nil
	})
	if err != nil {
		return Digest{}, fmt.Errorf("digest content: %w", err)
	}
	d.head = sha256.Sum256(head)
	return d, nil
}

// networks takes a list out of every network, and counts its entries.
func (l *lanes) networks(label, list string, networks json.RawMessage) (json.RawMessage, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(networks, &all); err != nil {
		return nil, err
	}
	for i, raw := range all {
		var of struct {
			Interface string `json:"interface"`
		}
		if err := json.Unmarshal(raw, &of); err != nil {
			return nil, err
		}
		rest, err := without(raw, func(key string, value json.RawMessage) (json.RawMessage, error) {
			if key != list {
				return value, nil
			}
			return nil, l.addRaw(label, of.Interface, value)
		})
		if err != nil {
			return nil, err
		}
		all[i] = rest
	}
	return json.Marshal(all)
}

func (l *lanes) addRaw(label, network string, list json.RawMessage) error {
	var entries []json.RawMessage
	if err := json.Unmarshal(list, &entries); err != nil {
		return err
	}
	for _, e := range entries {
		entry := bytes.NewBufferString(label + "\x00" + network + "\x00")
		if err := json.Compact(entry, e); err != nil {
			return err
		}
		l.add(entry.Bytes(), 1)
	}
	return nil
}

// without is a JSON object, compact, with each member's value replaced by what
// f makes of it; members for which that is nil are left out.
func without(object []byte, f func(key string, value json.RawMessage) (json.RawMessage, error)) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(err, errors.New("no JSON object"))
	}
	out := []byte{'{'}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // a member's name is a string
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if value, err = f(key, value); err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, marshal(key)...), ':'), marshal(value)...) // compacts
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	return append(out, '}'), nil
}
