package offering

import (
	"slices"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

const (
	zone  = "0199d1a0-0000-7000-8000-00000000000a"
	guest = "0199d1a0-0000-7000-8000-00000000000b"
)

func offer(last string, change func(*v1.VirtualRouterOffering)) *v1.VirtualRouterOffering {
	o := &v1.VirtualRouterOffering{
		Meta: v1.Meta{UUID: "0199d1a0-0000-7000-8000-00000000000" + last, Name: last}, ZoneUUID: zone, State: v1.Enabled, PublicNetworkUUID: "public",
	}
	if change != nil {
		change(o)
	}
	return o
}

func TestChoose(t *testing.T) {
	plain, second := offer("1", nil), offer("2", nil)
	standard := offer("3", func(o *v1.VirtualRouterOffering) { o.IsDefault = true })
	tagged := offer("4", func(o *v1.VirtualRouterOffering) { o.SystemTags = []string{"guestL3Network::" + guest} })
	off := func(o *v1.VirtualRouterOffering) *v1.VirtualRouterOffering {
		c := *o
		c.State = v1.Disabled
		return &c
	}
	elsewhere := offer("5", func(o *v1.VirtualRouterOffering) { o.ZoneUUID = "elsewhere"; o.IsDefault = true })
	private := offer("6", func(o *v1.VirtualRouterOffering) { o.PublicNetworkUUID = "" })
	itself := offer("7", func(o *v1.VirtualRouterOffering) { o.PublicNetworkUUID = guest })
	type list = []*v1.VirtualRouterOffering

	tests := []struct {
		name       string
		offerings  list
		tags       []string // of the network
		snat       bool
		want, code string
	}{
		{"none", nil, nil, false, "", "no-default-offering"},
		{"none enabled", list{off(plain), off(standard)}, nil, false, "", "no-default-offering"},
		{"none in the zone", list{elsewhere}, nil, false, "", "no-default-offering"},
		{"tagged for the network", list{plain, standard, tagged}, []string{"virtualRouterOffering::" + second.UUID}, false, "4", ""},
		{"tagged but disabled", list{plain, standard, off(tagged)}, nil, false, "3", ""},
		{"named by the network", list{plain, second, standard}, []string{"virtualRouterOffering::" + second.UUID}, false, "2", ""},
		{"named but disabled", list{plain, off(second), standard}, []string{"virtualRouterOffering::" + second.UUID}, false, "3", ""},
		{"default", list{plain, second, standard}, nil, false, "3", ""},
		{"any other", list{plain, second, off(standard)}, nil, false, "1", ""},
		{"SNAT without public network", list{private}, nil, true, "6", "no-public-network"},
		{"no SNAT, no public network needed", list{private}, nil, false, "6", ""},
		{"public network is the guest's", list{itself}, nil, true, "7", "public-network-is-guest"},
		{"public network is the guest's without SNAT", list{itself}, nil, false, "7", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l3 := &v1.L3Network{Meta: v1.Meta{UUID: guest, Name: "guest", SystemTags: tt.tags}, ZoneUUID: zone, NetworkServices: map[string][]string{}}
			if tt.snat {
				l3.NetworkServices[v1.ProviderVirtualRouter] = []string{v1.SNAT}
			}
			got, err := Choose(slices.Values(tt.offerings), l3)
			if v1.Code(err) != tt.code || (err == nil) != (tt.code == "") {
				t.Fatalf("got %v, want %q", err, tt.code)
			}
			if err == nil && got.Name != tt.want {
				t.Errorf("chose %s, want %s", got.Name, tt.want)
			}
		})
	}
}
