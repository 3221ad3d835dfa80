// Package netfilter is the door to the kernel's packet filter, for both of the
// data plane's halves: policy in chains of iptables, which go-iptables probes,
// iptables-save reads and iptables-restore changes, and mappings in the
// nftables table sluice, by netlink. Nothing of others is touched.
package netfilter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/google/nftables"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Door reads and changes the packet filter of the network namespace of the
// calling thread. It is not for concurrent use.
type Door struct {
	// nftBackend: iptables is a front of nftables, so that the generation of
	// nftables covers its rules too.
	nftBackend bool
	probed     bool

	// policy and mappings are what was read when nftables had the generation.
	// Every transaction of anybody moves it on by one, so that nothing need be
	// read while it stands.
	policy, mappings seen
	// reads counts how often either was read.
	reads uint64

	// flowtables is whether the kernel has them; nil: not asked yet.
	flowtables *bool
	// stale: the flowtable may have lost nics since it was read.
	stale bool

	conns conns
}

type seen struct {
	state      *dataplane.State
	generation uint32
}

func (s seen) at(generation uint32) bool { return s.state != nil && s.generation == generation }

// Open finds the tools; it changes nothing.
func Open() (*Door, error) {
	nft, err := nftBackend()
	return &Door{nftBackend: nft}, err
}

// probe asks iptables, once, whether it can do what guests' rules need. Not at
// the start: it is a process more on the way of every boot, and a router that
// waits for its first spec has no such rules.
func (d *Door) probe() error {
	if d.probed {
		return nil
	}
	ipt, err := iptables.New()
	if err != nil {
		return fmt.Errorf("probe iptables: %w", err)
	}
	if !ipt.HasRandomFully() { // iptables 1.6.2, 2018
		return errors.New("iptables is too old: it has no --random-fully, which keeps others from guessing translated ports")
	}
	d.probed = true
	return nil
}

// nftBackend tells by the name of the program that iptables stands for; asking
// it would be one more process at each start.
func nftBackend() (bool, error) {
	path, err := exec.LookPath("iptables")
	if err != nil {
		return false, fmt.Errorf("find iptables: %w", err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false, fmt.Errorf("find iptables: %w", err)
	}
	return strings.Contains(filepath.Base(real), "nft"), nil
}

// untouched is the generation of a network namespace in which nftables never
// had a transaction (net/netfilter/nf_tables_api.c, nf_tables_init_net).
const untouched = 1

// Forget makes the next Observe read everything.
func (d *Door) Forget() { d.policy, d.mappings = seen{}, seen{} }

// Observe fills in Builtins, Chains, Layout and Mappings.
func (d *Door) Observe(ctx context.Context, s *dataplane.State) error {
	return d.conns.do(func(c *nftables.Conn) error { return d.observe(ctx, c, s) })
}

func (d *Door) observe(ctx context.Context, c *nftables.Conn, s *dataplane.State) error {
	gen, err := generation(c)
	if err != nil {
		return err
	}
	// The generation is that of before reading: what changes meanwhile is read
	// again the next time.
	if !d.policy.at(gen) || !d.nftBackend {
		read := &dataplane.State{}
		if d.nftBackend && gen == untouched {
			parse(read, "") // as it is at every boot: no need to ask
		} else if err := d.observePolicy(ctx, read); err != nil {
			return err
		}
		d.policy = seen{read, gen}
		d.reads++
	}
	if !d.mappings.at(gen) {
		read := &dataplane.State{}
		if err := observeMappings(c, read); err != nil {
			return fmt.Errorf("read table %s: %w", tableName, err)
		}
		d.mappings = seen{read, gen}
		d.reads++
		d.stale = false
	}
	if err := d.refreshFlowtable(c); err != nil {
		return err
	}
	s.Builtins, s.Chains = maps.Clone(d.policy.state.Builtins), maps.Clone(d.policy.state.Chains)
	maps.Copy(s.Chains, d.mappings.state.Chains)
	s.Layout, s.Mappings = d.mappings.state.Layout, d.mappings.state.Mappings
	s.Version += d.reads
	return nil
}

// changed takes along what is known over a transaction of our own on the
// mappings, which was committed after the generation before. It is exact, and
// better than reading back: the kernel leaves elements out of what it lists
// while a set that has grown a lot is still being rehashed. If anybody else had
// a transaction meanwhile, all is read anew.
func (d *Door) changed(c *nftables.Conn, before uint32, s dataplane.SetMappings) error {
	now, err := generation(c)
	if err != nil {
		return err
	}
	if now != before+1 {
		return nil
	}
	if d.policy.at(before) {
		d.policy.generation = now
	}
	switch {
	case s.Rebuild:
		d.mappings = seen{&dataplane.State{Layout: true, Mappings: s.Add.Clone(), Chains: map[dataplane.ChainID][]string{}}, now}
		d.mappings.state.ChangeChains(s)
	case d.mappings.at(before):
		d.mappings.state.Mappings.Change(s.Del, s.Add)
		d.mappings.state.ChangeChains(s)
		d.mappings.generation = now
	}
	return nil
}

// changedPolicy is the same for the policy: mappings stand over as many
// transactions as there were tables to change, one each.
func (d *Door) changedPolicy(c *nftables.Conn, before uint32, tables int) error {
	now, err := generation(c)
	if err != nil {
		return err
	}
	if d.mappings.at(before) && now == before+uint32(tables) {
		d.mappings.generation = now
	}
	return nil
}

func generation(c *nftables.Conn) (uint32, error) {
	gen, err := c.GetGen()
	if err != nil {
		return 0, fmt.Errorf("read nftables generation: %w", err)
	}
	return gen.ID, nil
}
