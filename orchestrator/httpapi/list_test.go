package httpapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// names walks all pages of a list.
func (s *site) names(query string) (names []string, pages int) {
	s.t.Helper()
	for cursor := ""; ; pages++ {
		a := s.ok("GET", "/v1/zones?"+query+cursor, nil)
		for _, i := range a.items() {
			names = append(names, i["name"].(string))
		}
		next := a.str("next")
		if next == "" {
			return names, pages + 1
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
}

func TestListPages(t *testing.T) {
	s := newSite(t)
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("zone-%02d", (i*7)%25)
		want = append(want, name)
		s.create("/v1/zones", object{"name": name})
	}
	sorted := slices.Sorted(slices.Values(want))
	reversed := slices.Clone(sorted)
	slices.Reverse(reversed)
	for query, want := range map[string][]string{
		"":                             want, // by uuid is by creation
		"limit=10":                     want,
		"limit=25":                     want,
		"limit=10&sort=uuid":           want,
		"limit=4&sort=name":            sorted,
		"limit=1&sort=-name":           reversed,
		"limit=10&sort=revision":       want,
		"limit=7&sort=createDate":      want,
		"limit=10&name~=ZONE-1":        slices.DeleteFunc(slices.Clone(want), func(n string) bool { return !strings.HasPrefix(n, "zone-1") }),
		"limit=2&name~=e-2&sort=name":  {"zone-20", "zone-21", "zone-22", "zone-23", "zone-24"},
		"name=zone-03":                 {"zone-03"},
		"name=zone-03&name~=4":         nil,
		"state=Enabled&name=zone-04":   {"zone-04"},
		"state=Disabled":               nil,
		"name=zone-0":                  nil,
		"limit=10&sort=-state&name~=0": slices.DeleteFunc(slices.Clone(want), func(n string) bool { return !strings.Contains(n, "0") }),
	} {
		got, pages := s.names(query)
		if query == "limit=10&sort=-state&name~=0" {
			slices.Reverse(got) // all alike: by uuid, backwards
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
		if strings.Contains(query, "limit=10") && len(want) == 25 && pages != 3 {
			t.Errorf("%s: %d pages", query, pages)
		}
	}
}

// TestListWhileChanging: what is there all the time is listed once, whatever
// else is deleted and made between the pages.
func TestListWhileChanging(t *testing.T) {
	s := newSite(t)
	for i := range 9 {
		s.create("/v1/zones", object{"name": fmt.Sprint("zone-", i)})
	}
	for _, sort := range []string{"uuid", "name", "-name"} {
		first := s.ok("GET", "/v1/zones?limit=4&sort="+sort, nil)
		last := first.items()[3]
		s.ok("DELETE", "/v1/zones/"+last["uuid"].(string), nil)
		second := s.ok("GET", "/v1/zones?limit=100&sort="+sort+"&cursor="+first.str("next"), nil)
		seen := map[any]bool{}
		for _, i := range append(first.items(), second.items()...) {
			if seen[i["uuid"]] {
				t.Errorf("%s: %v is listed twice", sort, i["name"])
			}
			seen[i["uuid"]] = true
		}
		if left := s.store.View().Len(model.Zones); len(seen) != left+1 {
			t.Errorf("%s: %d listed of %d and the one deleted", sort, len(seen), left)
		}
	}
}

func TestListByOtherFields(t *testing.T) {
	s := newSite(t)
	m := s.build()
	for path, want := range map[string]int{
		"/v1/vm-nics?ip=10.0.0.2": 1, "/v1/vm-nics?isDefault=true": 1, "/v1/vm-nics?deviceId=0": 1, "/v1/vm-nics?deviceId=1": 0,
		"/v1/l2-networks?attachedClusterUuids=" + m["cluster"]: 2, "/v1/l3-networks?dns=1.1.1.1": 1, "/v1/l3-networks?mtu=1500": 2,
		"/v1/ip-ranges?networkCidr=10.0.0.0/24": 1, "/v1/ip-ranges?sort=-startIp": 2, "/v1/l3-networks?category=Public": 1,
		"/v1/virtual-router-offerings?isDefault=true&zoneUuid=" + m["zone"]: 1, "/v1/vm-instances?hostname=vm-1": 1,
	} {
		if got := len(s.ok("GET", path, nil).items()); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	first := s.ok("GET", "/v1/ip-ranges?sort=-startIp&limit=1", nil).items()[0]
	if first["networkCidr"] != "192.168.122.0/24" {
		t.Errorf("addresses sort as text: %v", first)
	}
	if vm := s.ok("GET", "/v1/vm-instances", nil).items()[0]; len(vm["nics"].([]any)) != 1 {
		t.Errorf("nics are not filled in lists: %v", vm)
	}
}
