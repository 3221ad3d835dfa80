package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// CreateAccount makes an account, which owns itself.
func CreateAccount(tx *Tx, req v1.CreateAccount) (*v1.Account, error) {
	meta, err := newMeta(tx.View, Accounts, req.CreateMeta)
	if err != nil {
		return nil, err
	}
	if meta.UUID == "" {
		meta.UUID = NewUUID()
	}
	meta.AccountUUID = meta.UUID
	a := &v1.Account{Meta: meta}
	return a, tx.Create(a)
}

// DeleteAccount deletes an account. While it owns anything that is refused with
// the list (account-in-use), unless cascade deletes it all first. The admin's
// account is refused (admin-account). A missing account is fine.
func DeleteAccount(tx *Tx, uuid string, cascade bool) error {
	a := Get[v1.Account](tx.View, uuid)
	if a == nil {
		return nil
	}
	if uuid == v1.AdminAccountUUID {
		return v1.Refused("admin-account", "the admin's account is always there; delete what it owns instead").On(uuid)
	}
	return tx.atomic(func() error {
		if cascade {
			if err := emptyAccount(tx, uuid); err != nil {
				return err
			}
		}
		handOver(tx, uuid)
		if err := checkEmpty(tx.View, a); err != nil {
			return err
		}
		unshare(tx, uuid)
		tx.Drop(Accounts, uuid)
		return nil
	})
}

// emptyAccount deletes what an account owns, in an order in which each goes.
func emptyAccount(tx *Tx, account string) error {
	for _, step := range []struct {
		kind   Kind
		delete func(tx *Tx, uuid string) error
	}{
		{PortForwardings, DeletePortForwardingRule}, {EIPs, DeleteEIP}, {VMs, DeleteVM}, {L3Networks, DeleteL3Network}, {VIPs, DeleteVIP},
	} {
		for r := range tx.under(OwnedBy(step.kind), account) {
			if vip, ok := r.(*v1.VIP); ok && vip.System {
				continue
			}
			if err := step.delete(tx, r.GetMeta().UUID); err != nil {
				return err
			}
		}
	}
	return nil
}

// handOver gives the admin the addresses of routers whose networks are deleted:
// they stay until the routers' domains are gone.
func handOver(tx *Tx, account string) {
	for _, vip := range slices.Collect(Related[v1.VIP](tx.View, OwnedBy(VIPs), account)) {
		r := Get[v1.VirtualRouter](tx.View, vip.VirtualRouterUUID)
		if !vip.System || r == nil || Get[v1.L3Network](tx.View, r.L3NetworkUUID) != nil || First[v1.PortForwardingRule](tx.View, ForwardingsOfVIP, vip.UUID) != nil {
			continue
		}
		vip = Copy(vip)
		vip.AccountUUID = ""
		tx.Save(vip)
	}
}

// maxListed bounds a refusal's list.
const maxListed = 100

func checkEmpty(v *View, a *v1.Account) error {
	var uuids, words []string
	for _, kind := range owned {
		if kind == Accounts {
			continue
		}
		have := uuidsOf(v.under(OwnedBy(kind), a.UUID))
		if len(have) > 0 {
			words = append(words, fmt.Sprintf("%d %s", len(have), kind))
			uuids = append(uuids, have...)
		}
	}
	if len(uuids) == 0 {
		return nil
	}
	return v1.Conflict("account-in-use", "account %q owns %s; delete those, or repeat with ?cascade=true to have them deleted", a.Name, strings.Join(words, ", ")).On(uuids[:min(len(uuids), maxListed)]...)
}

// unshare takes an account off every list that names it.
func unshare(tx *Tx, account string) {
	for _, kind := range shareable {
		for r := range tx.under(SharedWith(kind), account) {
			c := copyOf(kind, r)
			c.GetMeta().SharedWith = without(c.GetMeta().SharedWith, account)
			tx.Save(c)
		}
	}
}

// shareable are the kinds that accounts can be given the use of.
var shareable = []Kind{L2Networks, L3Networks}

// Share sets which accounts may use an L2 or L3 network besides its owner.
// Taking it from an account that has something on it is refused with what that
// is (share-in-use).
func Share(tx *Tx, kind Kind, uuid string, with []string) (v1.Resource, error) {
	r := tx.Any(kind, uuid)
	if r == nil || !slices.Contains(shareable, kind) {
		return nil, v1.NotFound(kind.Noun(), uuid)
	}
	list := slices.Sorted(slices.Values(with))
	list = slices.Compact(list)
	if slices.Contains(list, v1.Everybody) {
		list = []string{v1.Everybody}
	}
	for _, account := range list {
		if account != v1.Everybody && Get[v1.Account](tx.View, account) == nil {
			return nil, v1.NotFound(Accounts.Noun(), account)
		}
	}
	if slices.Equal(list, r.GetMeta().SharedWith) {
		return r, nil
	}
	c := copyOf(kind, r)
	c.GetMeta().SharedWith = list
	var left []string
	for _, user := range usersOf(tx.View, kind, uuid) {
		if !VisibleTo(user.AccountUUID, c) {
			left = append(left, user.UUID)
		}
	}
	if len(left) > 0 {
		return nil, v1.Conflict("share-in-use", "accounts that %s %q would be taken from have %d objects on it; delete those first", kind.Noun(), r.GetMeta().Name, len(left)).On(left[:min(len(left), maxListed)]...)
	}
	tx.Save(c)
	return c, nil
}

// usersOf are the metas of what is on a network.
func usersOf(v *View, kind Kind, uuid string) (users []*v1.Meta) {
	if kind == L2Networks {
		for l3 := range Related[v1.L3Network](v, L3sOfL2, uuid) {
			users = append(users, &l3.Meta)
		}
		return users
	}
	for nic := range Related[v1.VMNic](v, NicsOfL3, uuid) {
		users = append(users, &nic.Meta)
	}
	for vip := range Related[v1.VIP](v, VIPsOfL3, uuid) {
		if !vip.System { // a router's address is the cloud's doing
			users = append(users, &vip.Meta)
		}
	}
	return users
}

// SetQuotas changes what an account may own; nil is the default again. Less
// than it owns is refused (quota-below-use).
func SetQuotas(tx *Tx, uuid string, quotas map[string]*int) (*v1.Account, error) {
	a, err := need[v1.Account](tx.View, uuid)
	if err != nil {
		return nil, err
	}
	if uuid == v1.AdminAccountUUID {
		return nil, v1.Refused("admin-account", "the admin's account has no quotas").On(uuid)
	}
	c := Copy(a)
	if c.Quotas = maps.Clone(a.Quotas); c.Quotas == nil {
		c.Quotas = map[string]int{}
	}
	for name, allowed := range quotas {
		if err := setQuota(tx.View, c, name, allowed); err != nil {
			return nil, err
		}
	}
	if !maps.Equal(c.Quotas, a.Quotas) {
		tx.Save(c)
	}
	return c, nil
}
