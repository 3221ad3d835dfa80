package model

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// DefaultQuotas are how many objects of a kind an account may own unless an
// admin said otherwise. The admin's account may own any number.
var DefaultQuotas = map[Kind]int{
	L3Networks: 20, IPRanges: 40, VMs: 100, Nics: 200, VIPs: 20, EIPs: 20, PortForwardings: 20,
}

// TokenQuota is the quota of tokens, which are no part of the model: who keeps
// them counts them.
const (
	TokenQuota    = "tokens"
	defaultTokens = 20
)

// MaxQuota is the highest that can be set.
const MaxQuota = 1_000_000

// Unlimited is the allowed number where there is no limit.
const Unlimited = -1

// Allowed is how many objects of a kind an account may own.
func Allowed(a *v1.Account, kind Kind) int {
	return allowed(a, kind.String(), DefaultQuotas[kind])
}

// AllowedTokens is how many tokens an account may have.
func AllowedTokens(a *v1.Account) int {
	return allowed(a, TokenQuota, defaultTokens)
}

func allowed(a *v1.Account, name string, unlessSet int) int {
	if a.UUID == v1.AdminAccountUUID {
		return Unlimited
	}
	if n, ok := a.Quotas[name]; ok {
		return n
	}
	return unlessSet
}

// CheckTokenQuota is whether an account with so many tokens may have one more.
func CheckTokenQuota(a *v1.Account, used int) error {
	if allowed := AllowedTokens(a); allowed != Unlimited && used >= allowed {
		return exceeded(a, TokenQuota, used, allowed)
	}
	return nil
}

// QuotasOf are an account's quotas and what it uses of them, by name; all but
// that of tokens.
func QuotasOf(v *View, a *v1.Account) []*v1.Quota {
	var all []*v1.Quota
	for _, kind := range slices.Sorted(maps.Keys(DefaultQuotas)) {
		all = append(all, &v1.Quota{AccountUUID: a.UUID, AccountName: a.Name, Name: kind.String(), Used: usedBy(v, a.UUID, kind), Allowed: Allowed(a, kind)})
	}
	return all
}

// usedBy counts what an account owns of a kind. Routers' own addresses do not
// count: the account did not ask for them.
func usedBy(v *View, account string, kind Kind) (n int) {
	if account == v1.AdminAccountUUID {
		for r := range v.All(kind, "") {
			if r.GetMeta().AccountUUID == "" && counts(r) {
				n++
			}
		}
		return n
	}
	for r := range v.under(OwnedBy(kind), account) {
		if counts(r) {
			n++
		}
	}
	return n
}

func counts(r v1.Resource) bool {
	vip, ok := r.(*v1.VIP)
	return !ok || !vip.System
}

// checkQuota is whether an account may have one more of a kind. It runs in the
// transaction that makes the object, so two calls at once cannot both take the
// last place.
func checkQuota(v *View, kind Kind, r v1.Resource) error {
	account := r.GetMeta().AccountUUID
	if _, limited := DefaultQuotas[kind]; !limited || account == "" || !counts(r) {
		return nil
	}
	a := Get[v1.Account](v, account)
	if a == nil {
		return v1.NotFound(Accounts.Noun(), account)
	}
	used, allowed := usedBy(v, account, kind), Allowed(a, kind)
	if used < allowed {
		return nil
	}
	return exceeded(a, kind.String(), used, allowed)
}

func exceeded(a *v1.Account, name string, used, allowed int) error {
	e := v1.Errorf(http.StatusTooManyRequests, "quota-exceeded", "account %q has %d of %d %s; delete one, or ask an admin for more (`sluice quota set`)", a.Name, used, allowed, name)
	e.Quota = &v1.Quota{AccountUUID: a.UUID, AccountName: a.Name, Name: name, Used: used, Allowed: allowed}
	return e
}

func setQuota(v *View, a *v1.Account, name string, allowed *int) error {
	kind, ok := KindByPath(name)
	if _, limited := DefaultQuotas[kind]; (!ok || !limited) && name != TokenQuota {
		return v1.Invalid("unknown-quota", "quota %q is none of %s", name, strings.Join(quotaNames(), ", "))
	}
	if allowed == nil {
		delete(a.Quotas, name)
	} else if *allowed < 0 || *allowed > MaxQuota {
		return v1.Invalid("invalid-quota", "quota %s: %d is not between 0 and %d", name, *allowed, MaxQuota)
	} else {
		a.Quotas[name] = *allowed
	}
	if name == TokenQuota { // fewer than there are: no more are made
		return nil
	}
	if used := usedBy(v, a.UUID, kind); used > Allowed(a, kind) {
		return v1.Conflict("quota-below-use", "account %q has %d %s, more than %d; delete some first", a.Name, used, kind, Allowed(a, kind)).On(a.UUID)
	}
	return nil
}

func quotaNames() []string {
	var names []string
	for _, kind := range slices.Sorted(maps.Keys(DefaultQuotas)) {
		names = append(names, kind.String())
	}
	return append(names, TokenQuota)
}
