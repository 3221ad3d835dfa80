package model

import (
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// access: every owner is there and within its quotas; an object belongs to the
// same account as what it is part of; nobody is on what he does not see.
func (c *checker) access() {
	c.want(Get[v1.Account](c.v, v1.AdminAccountUUID) != nil, "the admin's account is gone")
	used := map[string]map[Kind]int{}
	for _, kind := range Kinds() {
		for r := range c.v.All(kind, "") {
			m := r.GetMeta()
			c.owner(kind, r)
			c.shared(kind, m)
			if m.AccountUUID != "" && counts(r) {
				if used[m.AccountUUID] == nil {
					used[m.AccountUUID] = map[Kind]int{}
				}
				used[m.AccountUUID][kind]++
			}
		}
	}
	for a := range List[v1.Account](c.v) {
		for _, q := range QuotasOf(c.v, a) {
			kind, _ := KindByPath(q.Name)
			if a.UUID != v1.AdminAccountUUID {
				c.want(q.Used == used[a.UUID][kind], "account %s uses %d %s, the index says %d", a.UUID, used[a.UUID][kind], kind, q.Used)
				c.want(q.Used <= q.Allowed, "account %s uses %d of %d %s", a.UUID, q.Used, q.Allowed, kind)
			}
		}
	}
}

func (c *checker) owner(kind Kind, r v1.Resource) {
	m := r.GetMeta()
	if m.AccountUUID == "" {
		return
	}
	c.want(kind.Owned(), "%s %s has an owner, but is the cloud's", kind.Noun(), m.UUID)
	c.want(c.v.Any(Accounts, m.AccountUUID) != nil, "%s %s belongs to account %s, which is missing", kind.Noun(), m.UUID, m.AccountUUID)
	for _, k := range refersTo(r) {
		if slices.Contains(shareable, k.Kind) && c.v.Any(k.Kind, k.UUID) != nil && !isSystemVIP(r) {
			c.want(VisibleTo(m.AccountUUID, c.v.Any(k.Kind, k.UUID)), "%s %s is on %s %s, which its account does not see", kind.Noun(), m.UUID, k.Kind.Noun(), k.UUID)
		}
	}
}

func isSystemVIP(r v1.Resource) bool { return !counts(r) }

// shared: only networks are, and with accounts that are there.
func (c *checker) shared(kind Kind, m *v1.Meta) {
	c.want(len(m.SharedWith) == 0 || slices.Contains(shareable, kind), "%s %s is shared", kind.Noun(), m.UUID)
	for _, account := range m.SharedWith {
		c.want(account == v1.Everybody || c.v.Any(Accounts, account) != nil, "%s %s is shared with account %s, which is missing", kind.Noun(), m.UUID, account)
	}
}

// partOf: what hangs on something belongs to the same account.
func (c *checker) partOf() {
	same := func(what string, m *v1.Meta, whole v1.Resource) {
		if whole != nil {
			c.want(m.AccountUUID == whole.GetMeta().AccountUUID, "%s %s belongs to account %q, its %s to %q", what, m.UUID, m.AccountUUID, KindOf(whole).Noun(), whole.GetMeta().AccountUUID)
		}
	}
	for r := range List[v1.IPRange](c.v) {
		same("range", &r.Meta, c.v.Any(L3Networks, r.L3NetworkUUID))
	}
	for n := range List[v1.VMNic](c.v) {
		same("nic", &n.Meta, c.v.Any(VMs, n.VMInstanceUUID))
	}
	for e := range List[v1.EIP](c.v) {
		same("EIP", &e.Meta, c.v.Any(VIPs, e.VIPUUID))
		same("EIP", &e.Meta, c.v.Any(Nics, e.VMNicUUID))
	}
	for f := range List[v1.PortForwardingRule](c.v) {
		same("rule", &f.Meta, c.v.Any(VIPs, f.VIPUUID))
		same("rule", &f.Meta, c.v.Any(Nics, f.VMNicUUID))
	}
	for vip := range List[v1.VIP](c.v) {
		if r := Get[v1.VirtualRouter](c.v, vip.VirtualRouterUUID); vip.System && r != nil {
			same("system VIP", &vip.Meta, c.v.Any(L3Networks, r.L3NetworkUUID))
		}
	}
}
