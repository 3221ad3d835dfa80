package httpapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// listed is a kind with rows of random values, few enough to have many ties.
type listed struct {
	*site
	kind   model.Kind
	random *rand.Rand
	uuids  []string // that rows may name
}

func newListed(t *testing.T, kind model.Kind) *listed {
	l := &listed{site: newSite(t), kind: kind, random: rand.New(rand.NewPCG(uint64(kind), 7))}
	for range 3 {
		l.uuids = append(l.uuids, model.NewUUID())
	}
	for range 30 {
		l.save(model.NewUUID())
	}
	return l
}

// save makes a row of random values, or makes it another one.
func (l *listed) save(uuid string) {
	l.t.Helper()
	r := l.kind.New()
	l.fill(reflect.ValueOf(r).Elem())
	r.GetMeta().UUID = uuid
	l.update(func(tx *model.Tx) { tx.Save(r) })
}

func (l *listed) update(change func(*model.Tx)) {
	l.t.Helper()
	if _, err := l.store.Update(l.t.Context(), func(tx *model.Tx) error { change(tx); return nil }); err != nil {
		l.t.Fatal(err)
	}
}

func (l *listed) fill(v reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		at := v.FieldByIndex(f.Index)
		switch {
		case f.Anonymous:
		case at.Kind() == reflect.Map:
			at.Set(reflect.MakeMap(f.Type))
		case at.Kind() == reflect.Slice && isListed(f.Type.Elem()):
			at.Set(reflect.MakeSlice(f.Type, l.random.IntN(3), 3))
			for i := range at.Len() {
				l.set(at.Index(i), f)
			}
		case isListed(f.Type) && !(strings.Contains(f.Tag.Get("json"), "omitzero") && l.random.IntN(3) == 0):
			l.set(at, f)
		}
	}
}

// isListed: lists are filtered and sorted by values, not by objects.
func isListed(t reflect.Type) bool {
	switch reflect.New(t).Elem().Interface().(type) {
	case time.Time, netip.Addr, netip.Prefix:
		return true
	}
	return t.Kind() < reflect.Array && t.Kind() != reflect.Invalid || t.Kind() == reflect.String
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (l *listed) set(v reflect.Value, f reflect.StructField) {
	r, enum := l.random, f.Tag.Get("enum")
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(pick(r, time.Unix(1e9, 0), time.Unix(1e9, 5e8), time.Unix(2e9, 1)).UTC()))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(pick(r, netip.MustParseAddr("9.0.0.1"), netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("2001:db8::1"))))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(pick(r, netip.MustParsePrefix("9.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/24"))))
		return
	}
	switch {
	case v.CanInt():
		v.SetInt(pick[int64](r, 0, 2, 10, 1500))
	case v.CanUint():
		v.SetUint(pick[uint64](r, 0, 2, 10))
	case v.Kind() == reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case enum != "":
		v.SetString(pick(r, strings.Split(enum, ",")...))
	case strings.Contains(f.Name, "UUID"):
		v.SetString(pick(r, l.uuids...))
	case f.Name == "SharedWith":
		v.SetString(pick(r, "*", l.uuids[0]))
	default:
		v.SetString(pick(r, "a", "B", "b", "web-1", "Web-10", "x&y=z ~%"))
	}
}

// listedField is a field as the test knows it, from the type.
type listedField struct {
	name string
	reflect.StructField
}

// fields are those to filter and sort by; others are of objects.
func (l *listed) fields() (values, objects []listedField) {
	t := reflect.TypeOf(l.kind.New()).Elem()
	for _, f := range reflect.VisibleFields(t) {
		of := f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous || name == "":
		case isListed(of):
			values = append(values, listedField{name, f})
		default:
			objects = append(objects, listedField{name, f})
		}
	}
	return values, objects
}

// rows are all of them, as JSON has them.
func (l *listed) rows() (all []object) {
	for r := range l.store.View().All(l.kind, "") {
		b, err := json.Marshal(r)
		if err != nil {
			l.t.Fatal(err)
		}
		var o object
		if err := json.Unmarshal(b, &o); err != nil {
			l.t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// values are those of a row's field, as texts.
func (f listedField) values(row object) (all []string) {
	value := row[f.name]
	if list, ok := value.([]any); ok || f.Type.Kind() == reflect.Slice {
		for _, v := range list {
			all = append(all, fmt.Sprint(v))
		}
		return all
	}
	if value == nil { // omitted: the zero value
		zero := reflect.New(f.Type).Elem()
		if zero.Kind() == reflect.Struct {
			return []string{""}
		}
		return []string{fmt.Sprint(zero)}
	}
	if number, ok := value.(float64); ok {
		return []string{fmt.Sprintf("%.0f", number)}
	}
	if value == "0001-01-01T00:00:00Z" { // as omitted
		return []string{""}
	}
	return []string{fmt.Sprint(value)}
}

// compare is the order of a field's values.
func (f listedField) compare(a, b object) int {
	of := f.Type
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	return slices.CompareFunc(f.values(a), f.values(b), func(x, y string) int {
		switch reflect.New(of).Elem().Interface().(type) {
		case time.Time:
			t, _ := time.Parse(time.RFC3339Nano, x)
			u, _ := time.Parse(time.RFC3339Nano, y)
			return t.Compare(u)
		case netip.Addr:
			return addressOf(x).Compare(addressOf(y))
		case netip.Prefix:
			p, _ := netip.ParsePrefix(x)
			q, _ := netip.ParsePrefix(y)
			return cmp.Or(addressOf(p.Addr().String()).Compare(addressOf(q.Addr().String())), cmp.Compare(p.Bits(), q.Bits()))
		case int, int64, uint64:
			var n, m int
			_, _ = fmt.Sscan(x, &n)
			_, _ = fmt.Sscan(y, &m)
			return cmp.Compare(n, m)
		}
		return strings.Compare(x, y)
	})
}

// addressOf sorts IPv4 addresses as the IPv6 ones that they map to.
func addressOf(text string) netip.Addr {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16(ip.As16())
}

// walk reads all pages, and calls between before each but the first.
func (l *listed) walk(query string, between func()) (uuids []string) {
	l.t.Helper()
	for cursor, page := "", 0; ; page++ {
		if page > 0 && between != nil {
			between()
		}
		a := l.ok("GET", "/v1/"+l.kind.String()+"?"+query+cursor, nil)
		for _, i := range a.items() {
			uuids = append(uuids, i["uuid"].(string))
		}
		if cursor = "&cursor=" + url.QueryEscape(a.str("next")); a.str("next") == "" {
			return uuids
		}
	}
}

func uuidsOf(rows []object) (all []string) {
	for _, r := range rows {
		all = append(all, r["uuid"].(string))
	}
	return all
}

// TestEveryFieldOfEveryList: every kind, by every field, with every operator and
// in both orders, answers what a walk over all rows finds; and what is no field,
// or no value of it, is refused by its name.
func TestEveryFieldOfEveryList(t *testing.T) {
	for _, kind := range model.Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			l := newListed(t, kind)
			rows := l.rows()
			values, objects := l.fields()
			for _, f := range values {
				l.filters(f, rows)
				l.sorts(f, rows)
				l.refuses(f)
			}
			for _, f := range objects {
				l.refused(400, "unknown-filter", "GET", "/v1/"+kind.String()+"?"+f.name+"=x", nil)
				l.refused(400, "unknown-sort-field", "GET", "/v1/"+kind.String()+"?sort="+f.name, nil)
			}
			for _, no := range []string{"colour=red", "colour~=red", "vlan>=5", "name!=x", "UUID=x", "name~~=x"} {
				a := l.refused(400, "unknown-filter", "GET", "/v1/"+kind.String()+"?"+no, nil)
				if name, _, _ := strings.Cut(no, "="); !strings.Contains(a.str("detail"), fmt.Sprintf("%q", strings.TrimSuffix(name, "~"))) {
					t.Errorf("%s: %s", no, a.str("detail"))
				}
			}
		})
	}
}

func (l *listed) filters(f listedField, rows []object) {
	l.t.Helper()
	texts := []string{"", "nothing has this"}
	for _, r := range rows {
		texts = append(texts, f.values(r)...)
	}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		for _, part := range []string{text, strings.ToUpper(text[:min(2, len(text))])} {
			want := slices.DeleteFunc(slices.Clone(rows), func(r object) bool {
				return !slices.ContainsFunc(f.values(r), func(v string) bool { return strings.Contains(strings.ToLower(v), strings.ToLower(part)) })
			})
			l.finds(url.Values{f.name + "~": {part}, "limit": {"7"}}, uuidsOf(want))
		}
		if f.takes(text) != nil { // refused: see refuses
			continue
		}
		want := slices.DeleteFunc(slices.Clone(rows), func(r object) bool { return !slices.Contains(f.values(r), text) })
		l.finds(url.Values{f.name: {text}, "limit": {"7"}}, uuidsOf(want))
		both := slices.DeleteFunc(want, func(r object) bool { return !strings.Contains(strings.ToLower(r["name"].(string)), "web") })
		query := url.Values{f.name: {text}}
		query.Add("name~", "WEB")
		l.finds(query, uuidsOf(both))
	}
}

func (l *listed) finds(query url.Values, want []string) {
	l.t.Helper()
	if got := l.walk(query.Encode(), nil); !slices.Equal(got, want) {
		l.t.Errorf("%s?%s: %v, want %v", l.kind, query.Encode(), got, want)
	}
}

func (l *listed) sorts(f listedField, rows []object) {
	l.t.Helper()
	want := slices.SortedStableFunc(slices.Values(rows), f.compare)
	for _, limit := range []string{"4", "1000"} {
		l.finds(url.Values{"sort": {f.name}, "limit": {limit}}, uuidsOf(want))
	}
	slices.Reverse(want)
	l.finds(url.Values{"sort": {"-" + f.name}, "limit": {"5"}}, uuidsOf(want))
	cursor := l.ok("GET", "/v1/"+l.kind.String()+"?limit=1&sort=-"+f.name, nil).str("next")
	l.refused(400, "invalid-cursor", "GET", "/v1/"+l.kind.String()+"?sort="+f.name+"&cursor="+cursor, nil)
}

// takes is why a filter by the field is not by that text.
func (f listedField) takes(text string) error {
	of := f.Type
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	number := regexp.MustCompile("^[0-9]+$")
	enum := f.Tag.Get("enum")
	switch _, isTime := reflect.New(of).Elem().Interface().(time.Time); {
	case of.Kind() == reflect.Struct && text == "", isTime && text != "nothing has this":
		return nil
	case of.Kind() == reflect.Struct && text == "nothing has this", of.Kind() == reflect.Bool && text != "true" && text != "false",
		of.Kind() != reflect.String && of.Kind() != reflect.Bool && of.Kind() != reflect.Struct && !number.MatchString(text),
		text != "" && enum != "" && !slices.Contains(strings.Split(enum, ","), text),
		text == "nothing has this" && strings.Contains(f.Name, "UUID"):
		return fmt.Errorf("%s cannot be %q", f.name, text)
	}
	return nil
}

func (l *listed) refuses(f listedField) {
	l.t.Helper()
	const bad = "nothing has this"
	if f.takes(bad) == nil {
		return
	}
	a := l.refused(400, "invalid-filter", "GET", "/v1/"+l.kind.String()+"?"+url.Values{f.name: {bad}}.Encode(), nil)
	if !strings.Contains(a.str("detail"), f.name+"="+bad) {
		l.t.Errorf("%s: %s", f.name, a.str("detail"))
	}
}

// TestListsWhileRowsChange: whatever else is made, changed and deleted between
// the pages, what stays as it is is listed once, in its place.
func TestListsWhileRowsChange(t *testing.T) {
	for _, kind := range model.Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			l := newListed(t, kind)
			values, _ := l.fields()
			for _, f := range values {
				for _, sign := range []string{"", "-"} {
					l.walkWhileRowsChange(f, sign)
				}
			}
		})
	}
}

func (l *listed) walkWhileRowsChange(f listedField, sign string) {
	l.t.Helper()
	changed := map[string]bool{}
	got := l.walk("limit=4&sort="+sign+f.name, func() {
		uuids := uuidsOf(l.rows())
		gone, other, fresh := pick(l.random, uuids...), pick(l.random, uuids...), model.NewUUID()
		if gone != v1.AdminAccountUUID && len(uuids) > 25 {
			changed[gone] = true
			l.update(func(tx *model.Tx) { tx.Drop(l.kind, gone) })
		}
		changed[other], changed[fresh] = true, true
		l.save(other)
		l.save(fresh)
	})
	stays := func(uuids []string) []string {
		return slices.DeleteFunc(uuids, func(uuid string) bool { return changed[uuid] })
	}
	want := slices.SortedStableFunc(slices.Values(l.rows()), f.compare)
	if sign == "-" {
		slices.Reverse(want)
	}
	if got, want := stays(got), stays(uuidsOf(want)); !slices.Equal(got, want) {
		l.t.Errorf("sort=%s%s: %v, want %v", sign, f.name, got, want)
	}
}

// TestListsHideFromFiltersToo: what an account is not shown, it cannot find out
// by filtering or sorting.
func TestListsHideFromFiltersToo(t *testing.T) {
	m := newManor(t)
	red := m.with(m.token["red"])
	for _, query := range []string{"attachedClusterUuids=" + m.cloud["cluster"], "sharedWith=*", "sharedWith~="} {
		if got := red.ok("GET", "/v1/l2-networks?"+query, nil).items(); len(got) != 0 {
			t.Errorf("an account finds networks by %s: %v", query, got)
		}
		if got := m.ok("GET", "/v1/l2-networks?"+query, nil).items(); len(got) == 0 {
			t.Errorf("an admin finds none by %s", query)
		}
	}
}

// TestListsOfWhatIsNoResource: tokens, quotas, tags and providers are lists as
// the others are.
func TestListsOfWhatIsNoResource(t *testing.T) {
	m := newManor(t)
	m.ok("POST", "/v1/system-tags", object{"resourceType": "vm-instance", "resourceUuid": m.cloud["vm"], "tag": "cleanTraffic"})
	count := func(path string) int { return len(m.ok("GET", path, nil).items()) }
	for path, want := range map[string]int{
		"/v1/tokens?role=account": 2, "/v1/tokens?name~=SECRET-R": 2, "/v1/tokens?accountUuid=" + m.estate["red"]["accounts"]: 2, "/v1/tokens?limit=3": 3,
		"/v1/quotas?name=vips": 3, "/v1/quotas?accountName~=secret&name=tokens": 2, "/v1/quotas?used=3&name=vips&accountUuid=" + m.estate["red"]["accounts"]: 1,
		"/v1/system-tags?tag=cleanTraffic": 1, "/v1/system-tags?resourceType=vm-instance": 1, "/v1/system-tags?resourceType=vips": 0,
		"/v1/network-service-providers?type=VirtualRouter": 1, "/v1/network-service-providers?networkServiceTypes=LoadBalancer": 0,
	} {
		if got := count(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	first := m.ok("GET", "/v1/quotas?sort=-allowed&limit=4", nil)
	rest := m.ok("GET", "/v1/quotas?sort=-allowed&limit=100&cursor="+first.str("next"), nil)
	if all := count("/v1/quotas?limit=1000"); len(first.items())+len(rest.items()) != all || all < 12 {
		t.Errorf("%d and %d of %d quotas", len(first.items()), len(rest.items()), all)
	}
	for _, path := range []string{"tokens", "quotas", "system-tags", "network-service-providers"} {
		m.refused(400, "unknown-filter", "GET", "/v1/"+path+"?colour=red", nil)
		m.refused(400, "unknown-sort-field", "GET", "/v1/"+path+"?sort=colour", nil)
		m.refused(400, "invalid-cursor", "GET", "/v1/"+path+"?cursor=x", nil)
	}
}

// TestParametersAreWhatTheySay: a parameter that a call does not have, has twice
// or without a value would silently mean something else. Nothing is done.
func TestParametersAreWhatTheySay(t *testing.T) {
	m := newManor(t)
	zone := "/v1/zones/" + m.create("/v1/zones", object{"name": "z"})
	for query, code := range map[string]string{
		"dryrun=true": "unknown-parameter", "dryRun": "invalid-parameter", "dryRun=": "invalid-parameter", "dryRun=false&dryRun=true": "invalid-parameter",
		"dryRun=true;": "invalid-query", "dryRun=%zz": "invalid-query", "dryRun=yes": "invalid-request", "cascade=true": "unknown-parameter", "wait=1s&wait=2s": "invalid-parameter",
	} {
		a := m.refused(400, code, "DELETE", zone+"?"+query, nil)
		if name, _, _ := strings.Cut(query, "="); code != "invalid-query" && !strings.Contains(a.str("detail"), name) {
			t.Errorf("%s: %s", query, a.str("detail"))
		}
	}
	m.ok("GET", zone, nil)
	for _, route := range m.api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.HasPrefix(path, "/v1/") || path == "/v1/events" {
			continue
		}
		code := "unknown-parameter"
		if a := m.ok("GET", "/openapi.json", nil); strings.Contains(fmt.Sprint(a.object["paths"].(object)[path].(object)[strings.ToLower(method)].(object)["description"]), "can be a filter") {
			code = "unknown-filter"
		}
		path = strings.NewReplacer("{uuid}", nobody, "{nic}", nobody, "{cluster}", nobody, "{ip}", "1.1.1.1").Replace(path)
		m.refused(400, code, method, path+"?colour=red", nil)
	}
}
