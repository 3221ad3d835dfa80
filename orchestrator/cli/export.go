package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/sluice-nfv/sluice/api/client"
)

func (s *session) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "print all objects as a file for apply", Args: cobra.NoArgs,
		Long: `export prints what was made by people, in the order in which apply makes it:
apply finds nothing to change in it, and makes the same anew on an empty server.
Addresses and MACs are written out. Routers, their own VIPs and UUIDs are left
out, because the server makes them. What a topology has no words for is said on
stderr.`,
		Example: "  sluice export > site.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			x := exporting{session: s, names: map[string]string{}, nics: map[string]string{}, whole: map[string]bool{}}
			list, err := x.all(cmd.Context())
			if err != nil {
				return err
			}
			return s.writeYAML(list)
		},
	}
}

// exporting remembers the names of what it has written: what comes later
// refers to them.
type exporting struct {
	*session
	names map[string]string // UUID to name
	nics  map[string]string // UUID of a default nic to the name of its VM
	whole map[string]bool   // UUIDs of networks whose ranges a cidr makes
}

// all is the whole topology as YAML.
func (x *exporting) all(ctx context.Context) (*yaml.Node, error) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range nouns {
		n := &nouns[i]
		if n.derived || n.apart {
			continue
		}
		items, err := client.List[object](ctx, x.api, "/v1/"+n.path, nil)
		if err != nil {
			return nil, err
		}
		items = slices.DeleteFunc(items, func(o object) bool {
			return o["system"] == true || x.whole[fmt.Sprint(o["l3NetworkUuid"])] && n.name == "ip-range"
		})
		if err := unique(n, items); err != nil {
			return nil, err
		}
		for _, o := range items {
			list.Content = append(list.Content, x.object(n, o))
		}
	}
	return list, nil
}

// unique: apply finds objects by their names.
func unique(n *noun, items []object) error {
	byName := map[string][]object{}
	var errs []error
	for _, o := range items {
		name := nameOrUUID(o)
		if byName[name] = append(byName[name], o); len(byName[name]) == 2 {
			errs = append(errs, fmt.Errorf("%w; give them different names with `sluice %s update UUID --name NAME`", ambiguous(n, name, byName[name]), n.name))
		}
	}
	return errors.Join(errs...)
}

// object is `noun: {name: ..., ...}`.
func (x *exporting) object(n *noun, o object) *yaml.Node {
	words := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	say(words, "name", o["name"])
	x.names[fmt.Sprint(o["uuid"])] = fmt.Sprint(o["name"])
	for _, f := range n.fields {
		value := o[f.json]
		switch {
		case value == false || f.flag == "mtu" && fmt.Sprint(value) == "1500" || value == "FirstAvailable": // defaults
			continue
		case n.name == "ip-range" && f.flag == "cidr": // said by the others
			continue
		case f.ref != "" && value != nil && value != "":
			value = x.nameFor(n, o, f, fmt.Sprint(value))
		}
		say(words, f.flag, value)
	}
	say(words, "description", o["description"])
	say(words, "tags", o["systemTags"])
	x.parts(n, o, words)
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar(n.name), words}}
}

// nameFor is what apply would find a referred object by: nics are found by
// their VM if they are its default one. Else it is the UUID.
func (x *exporting) nameFor(n *noun, o object, f field, id string) string {
	names := x.names
	if f.ref == "vm-nic" {
		names = x.nics
	}
	if name, ok := names[id]; ok {
		return name
	}
	x.note(n, o, "its %s has no name for a topology; its UUID %s stands on this server only", f.flag, id)
	return id
}

func (x *exporting) note(n *noun, o object, format string, args ...any) {
	fmt.Fprintln(x.err, clean(fmt.Sprintf("%s %s: ", n.name, nameOrUUID(o))+fmt.Sprintf(format, args...)))
}

// parts are what stands beside the fields.
func (x *exporting) parts(n *noun, o object, words *yaml.Node) {
	switch n.name {
	case "l2-network":
		say(words, "clusters", x.namesOf(texts(o["attachedClusterUuids"])))
	case "l3-network":
		if cidr, gateway, ok := wholeNetwork(o); ok {
			x.whole[fmt.Sprint(o["uuid"])] = true
			say(words, "cidr", cidr)
			say(words, "gateway", gateway)
		}
		var services []any
		for _, t := range texts(at(o["networkServices"], "VirtualRouter")) {
			services = append(services, strings.ToLower(t))
		}
		say(words, "services", services)
		x.saySettings(n, o, words, x.whole[fmt.Sprint(o["uuid"])])
	case "vm-instance":
		say(words, "state", o["state"])
		x.exportNics(n, o, words)
	}
}

// wholeNetwork reports whether the ranges of a network are those that its cidr
// and gateway make: all host addresses but the gateway.
func wholeNetwork(o object) (cidr, gateway string, ok bool) {
	ranges, _ := o["ipRanges"].([]any)
	if len(ranges) == 0 {
		return "", "", false
	}
	cidr, gateway = cell(at(ranges[0], "networkCidr")), cell(at(ranges[0], "gateway"))
	network, err1 := netip.ParsePrefix(cidr)
	between, err2 := netip.ParseAddr(gateway)
	if err1 != nil || err2 != nil {
		return "", "", false
	}
	var want []string
	first, last := network.Masked().Addr().Next(), lastHost(network)
	if first.Less(between) {
		want = append(want, first.String()+"-"+between.Prev().String())
	}
	if between.Less(last) {
		want = append(want, between.Next().String()+"-"+last.String())
	}
	var have []string
	for _, r := range ranges {
		have = append(have, cell(at(r, "startIp"))+"-"+cell(at(r, "endIp")))
	}
	slices.Sort(want)
	slices.Sort(have)
	return cidr, gateway, slices.Equal(want, have)
}

// lastHost is the address before the broadcast address.
func lastHost(network netip.Prefix) netip.Addr {
	a := network.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) | uint32(1<<(32-network.Bits())-1)
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a).Prev()
}

func (x *exporting) namesOf(ids []string) []any {
	var out []any
	for _, id := range ids {
		out = append(out, x.names[id])
	}
	return out
}

func (x *exporting) exportNics(n *noun, o object, words *yaml.Node) {
	nics, _ := o["nics"].([]any)
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for i, nic := range nics {
		node := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		say(node, "l3", x.names[fmt.Sprint(at(nic, "l3NetworkUuid"))])
		say(node, "ip", at(nic, "ip"))
		say(node, "mac", at(nic, "mac"))
		say(node, routeWord, anys(writePairs("=", "prefix", "nexthop")(at(nic, "staticRoutes"))))
		list.Content = append(list.Content, node)
		isDefault := at(nic, "isDefault") == true
		if isDefault {
			x.nics[fmt.Sprint(at(nic, "uuid"))] = fmt.Sprint(o["name"])
		}
		if isDefault != (i == 0) {
			x.note(n, o, "its default nic is not the first, which a topology has no words for")
		}
	}
	words.Content = append(words.Content, scalar("nics"), list)
}

// say adds a word, unless there is nothing to say.
func say(words *yaml.Node, key string, value any) {
	node := &yaml.Node{}
	switch value := value.(type) {
	case nil:
		return
	case string:
		if value == "" {
			return
		}
		node = scalar(value)
	case []any:
		if len(value) == 0 {
			return
		}
		node.Kind, node.Style = yaml.SequenceNode, yaml.FlowStyle
		for _, item := range value {
			node.Content = append(node.Content, scalar(fmt.Sprint(item)))
		}
	default:
		node = &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value)}
	}
	words.Content = append(words.Content, scalar(key), node)
}
