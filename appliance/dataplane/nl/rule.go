package nl

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func ofWay(table int) bool {
	return dataplane.FirstWayTable <= table && table <= dataplane.LastWayTable
}

// observeRules reads those that lead to tables of ways: no others are our business.
func observeRules(s *dataplane.State) error {
	rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	s.Rules = map[dataplane.Rule]dataplane.RuleState{}
	for _, r := range rules {
		if r.Mask != nil && ofWay(r.Table) {
			at := dataplane.Rule{Priority: r.Priority, Mark: r.Mark, Mask: *r.Mask, Table: r.Table}
			s.Rules[at] = dataplane.RuleState{Ours: r.Protocol == Protocol}
		}
	}
	return nil
}

// AddRule adds a rule of ours.
func AddRule(r dataplane.Rule) error { return netlink.RuleAdd(rule(r)) }

// DelRule removes a rule; a missing one is fine.
func DelRule(r dataplane.Rule) error {
	err := netlink.RuleDel(rule(r))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func rule(r dataplane.Rule) *netlink.Rule {
	n := netlink.NewRule()
	n.Family, n.Priority, n.Table, n.Protocol = netlink.FAMILY_V4, r.Priority, r.Table, Protocol
	n.Mark, n.Mask = r.Mark, &r.Mask
	return n
}
