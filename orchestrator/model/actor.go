package model

import (
	"iter"
	"slices"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// OwnedBy is the index of what an account owns of a kind, by account. What is
// the admin's is in none: who sees everything needs none.
func OwnedBy(kind Kind) Index { return MACOwners + 1 + Index(kind) }

// SharedWith is the index of what is shared of a kind, by account.
func SharedWith(kind Kind) Index { return OwnedBy(kindCount) + Index(kind) }

const indexCount = int(MACOwners) + 1 + 2*int(kindCount)

// owned are the kinds of objects that accounts own. All others are the cloud's.
var owned = []Kind{Accounts, L3Networks, IPRanges, VMs, Nics, VIPs, EIPs, PortForwardings}

// Owned reports whether accounts own objects of the kind.
func (k Kind) Owned() bool { return slices.Contains(owned, k) }

// For is the view as an account looks at it: request bodies that name what it
// does not see are answered as if that did not exist. The empty account is the
// orchestrator itself, an admin or an operator, who see everything.
func (v *View) For(account string) *View {
	if account == v.account {
		return v
	}
	c := v.Clone()
	c.account = account
	return c
}

// Account is the one that the view is For.
func (v *View) Account() string { return v.account }

// Sees reports whether the view's account may read and use a resource.
func (v *View) Sees(r v1.Resource) bool { return VisibleTo(v.account, r) }

// VisibleTo reports whether an account may read and use a resource: its own,
// and what is shared with it.
func VisibleTo(account string, r v1.Resource) bool {
	m := r.GetMeta()
	return account == "" || m.AccountUUID == account || sharedWith(m.SharedWith, account)
}

func sharedWith(list []string, account string) bool {
	return slices.Contains(list, account) || slices.Contains(list, v1.Everybody)
}

// Seen yields the resources of a kind that the view's account sees, in order of
// UUID, after the given UUID. For an account it takes time that grows with
// their number and not with everybody's.
func (v *View) Seen(kind Kind, after string) iter.Seq[v1.Resource] {
	if v.account == "" {
		return v.All(kind, after)
	}
	var seen []row
	for r := range v.under(OwnedBy(kind), v.account) {
		seen = append(seen, row{r.GetMeta().UUID, r})
	}
	for _, account := range []string{v.account, v1.Everybody} {
		for r := range v.under(SharedWith(kind), account) {
			seen = append(seen, row{r.GetMeta().UUID, r})
		}
	}
	slices.SortFunc(seen, row.Compare)
	return func(yield func(v1.Resource) bool) {
		for _, r := range slices.Compact(seen) {
			if r.uuid > after && !yield(r.resource) {
				return
			}
		}
	}
}

// Claim makes sure that the Tx's account may change a resource. One that it does
// not see is taken out of the Tx, so that the rule that follows answers as for
// a missing one; one that is only shared with it is refused (not-owner).
func (tx *Tx) Claim(kind Kind, uuid string) error {
	r := tx.Any(kind, uuid)
	switch {
	case r == nil || tx.account == "" || r.GetMeta().AccountUUID == tx.account:
		return nil
	case tx.Sees(r):
		return v1.Forbidden("not-owner", "%s %q is shared with your account, which may use it but not change it; ask its owner", kind.Noun(), r.GetMeta().Name).On(uuid)
	}
	tx.View.Remove(kind, uuid)
	return nil
}

// ActFor makes the Tx's rule run on behalf of an account: it owns what is made.
func (tx *Tx) ActFor(account string) { tx.View.account = account }

// nameFor is a network's name in a refusal, which must not tell one account
// what another has.
func (v *View) nameFor(l3 *v1.L3Network) string {
	if v.Sees(l3) {
		return l3.Name
	}
	return "of another account"
}
