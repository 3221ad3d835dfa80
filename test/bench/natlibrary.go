package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/netfilter"
	"sigs.k8s.io/knftables"
)

// libraryChanges is how many single changes are measured.
const libraryChanges = 20

// ways to have 10,000 mappings in the kernel.
var ways = map[string]func(context.Context) (mappingWay, error){
	"netlink":   byNetlink,   // google/nftables
	"knftables": byKnftables, // starts nft for each transaction
	"nft":       byNft,       // the same without its checks of objects
	"tree":      byTree,      // two levels of iptables chains
}

// mappingWay puts the EIPs of router 1 into maps or chains, and moves one.
type mappingWay struct {
	apply func() error
	move  func(i int) error
}

// mappingTimes are a way's, in seconds.
type mappingTimes struct{ Apply, Change float64 }

// libraries measures each way in a namespace of its own, and in turns.
func libraries(ctx context.Context, b *bench) (rows []result, err error) {
	names := []string{"netlink", "knftables", "nft", "tree"}
	var applies, moves [4][]float64
	for range b.runs {
		for i, name := range names {
			t, err := b.mappingTimes(ctx, name)
			if err != nil {
				return nil, err
			}
			applies[i], moves[i] = append(applies[i], t.Apply), append(moves[i], t.Change)
		}
	}
	remark("nat-library: %d EIPs in both directions, in iptables one; ours is google/nftables, load=%s", many, load())
	for i, peer := range names[1:] {
		rows = append(rows,
			against("nat-library-apply-"+peer, "s", median(applies[0]), peer, median(applies[i+1]), 1),
			against("nat-library-change-"+peer, "s", median(moves[0]), peer, median(moves[i+1]), 1))
	}
	return rows, nil
}

func (b *bench) mappingTimes(ctx context.Context, way string) (t mappingTimes, err error) {
	s, err := b.newRack(ctx, "way")
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	out, err := s.In(ctx, "way", b.self, "mappings", "-way", way)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(out), &t)
}

// mappingsMain measures one way in the namespace it is in.
func mappingsMain(args []string) error {
	f := flag.NewFlagSet("mappings", flag.ContinueOnError)
	name := f.String("way", "netlink", "which")
	if err := f.Parse(args); err != nil {
		return err
	}
	make, ok := ways[*name]
	if !ok {
		return fmt.Errorf("no way %q", *name)
	}
	way, err := make(context.Background())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := way.apply(); err != nil {
		return err
	}
	applied := time.Now()
	for i := range libraryChanges {
		if err := way.move(i); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(mappingTimes{
		Apply: applied.Sub(began).Seconds(), Change: time.Since(applied).Seconds() / libraryChanges,
	})
}

func byNetlink(ctx context.Context) (mappingWay, error) {
	door, err := netfilter.Open()
	if err != nil {
		return mappingWay{}, err
	}
	all := dataplane.NewElements()
	for i := range many {
		all.Inbound[vipOf(1, i)], all.Outbound[guestOf(1, i)] = guestOf(1, i), vipOf(1, i)
	}
	return mappingWay{
		apply: func() error {
			return door.SetMappings(ctx, dataplane.SetMappings{Rebuild: true, Del: dataplane.NewElements(), Add: all})
		},
		move: func(i int) error {
			s := dataplane.SetMappings{Del: dataplane.NewElements(), Add: dataplane.NewElements()}
			s.Del.Inbound[vipOf(1, i)], s.Add.Inbound[vipOf(1, i)] = guestOf(1, i), guestOf(1, many+i)
			s.Del.Outbound[guestOf(1, i)], s.Add.Outbound[guestOf(1, many+i)] = vipOf(1, i), vipOf(1, i)
			return door.SetMappings(ctx, s)
		},
	}, nil
}

func byKnftables(ctx context.Context) (mappingWay, error) {
	nft, err := knftables.New(knftables.IPv4Family, "ways")
	if err != nil {
		return mappingWay{}, err
	}
	element := func(name string, key, value netip.Addr) *knftables.Element {
		return &knftables.Element{Map: name, Key: []string{key.String()}, Value: []string{value.String()}}
	}
	return mappingWay{
		apply: func() error {
			tx := nft.NewTransaction()
			tx.Add(&knftables.Table{})
			for _, c := range []struct{ name, hook, priority, mappings, rule string }{
				{"arriving", "prerouting", "-110", "inbound", "dnat to ip daddr map @inbound"},
				{"departing", "postrouting", "90", "outbound", "snat to ip saddr map @outbound"},
			} {
				tx.Add(&knftables.Map{Name: c.mappings, Type: "ipv4_addr : ipv4_addr"})
				tx.Add(&knftables.Chain{Name: c.name, Type: knftables.PtrTo(knftables.NATType),
					Hook: knftables.PtrTo(knftables.BaseChainHook(c.hook)), Priority: knftables.PtrTo(knftables.BaseChainPriority(c.priority))})
				tx.Add(&knftables.Rule{Chain: c.name, Rule: c.rule})
			}
			for i := range many {
				tx.Add(element("inbound", vipOf(1, i), guestOf(1, i)))
				tx.Add(element("outbound", guestOf(1, i), vipOf(1, i)))
			}
			return nft.Run(ctx, tx)
		},
		move: func(i int) error {
			vip, from, to := vipOf(1, i), guestOf(1, i), guestOf(1, many+i)
			tx := nft.NewTransaction()
			tx.Delete(element("inbound", vip, from))
			tx.Add(element("inbound", vip, to))
			tx.Delete(element("outbound", from, vip))
			tx.Add(element("outbound", to, vip))
			return nft.Run(ctx, tx)
		},
	}, nil
}

func byNft(ctx context.Context) (mappingWay, error) {
	return mappingWay{
		apply: func() error {
			var text strings.Builder
			text.WriteString(`add table ip ways
add map ip ways inbound { type ipv4_addr : ipv4_addr; }
add map ip ways outbound { type ipv4_addr : ipv4_addr; }
add chain ip ways arriving { type nat hook prerouting priority -110; }
add rule ip ways arriving dnat to ip daddr map @inbound
add chain ip ways departing { type nat hook postrouting priority 90; }
add rule ip ways departing snat to ip saddr map @outbound
`)
			for i := range many {
				fmt.Fprintf(&text, "add element ip ways inbound { %s : %s }\n", vipOf(1, i), guestOf(1, i))
				fmt.Fprintf(&text, "add element ip ways outbound { %s : %s }\n", guestOf(1, i), vipOf(1, i))
			}
			return fed(ctx, text.String(), "nft", "-f", "-")
		},
		move: func(i int) error {
			vip, from, to := vipOf(1, i), guestOf(1, i), guestOf(1, many+i)
			return fed(ctx, fmt.Sprintf(`delete element ip ways inbound { %[1]s }
add element ip ways inbound { %[1]s : %[3]s }
delete element ip ways outbound { %[2]s }
add element ip ways outbound { %[3]s : %[1]s }
`, vip, from, to), "nft", "-f", "-")
		},
	}, nil
}

func byTree(ctx context.Context) (mappingWay, error) {
	rules := eipRules(1)
	return mappingWay{
		apply: func() error { return fed(ctx, ruleTree(rules), "iptables-nft-restore", "--noflush") },
		move: func(i int) error {
			r := rules[i] // of the first group
			return fed(ctx, fmt.Sprintf("*nat\n-D GROUP-0 %[1]s -j DNAT --to-destination %[2]s\n-A GROUP-0 %[1]s -j DNAT --to-destination %[3]s\nCOMMIT\n",
				r.match, r.to, guestOf(1, many+i)), "iptables-nft-restore", "--noflush")
		},
	}, nil
}

// fed runs a command with a text on its standard input.
func fed(ctx context.Context, text string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.400s", strings.Join(command, " "), err, out)
	}
	return nil
}
