package placement

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// scene: clusters c1 and c2 with hosts h1, h2 and h3; L2 a is on both, b on c1.
func scene(change func(v *model.View)) *model.View {
	v := model.NewView()
	put := func(r v1.Resource) { v.Put(model.KindOf(r), r) }
	for _, c := range []string{"c1", "c2"} {
		put(&v1.Cluster{Meta: v1.Meta{UUID: c}, State: v1.Enabled})
	}
	for h, c := range map[string]string{"h1": "c1", "h2": "c1", "h3": "c2"} {
		put(&v1.Host{Meta: v1.Meta{UUID: h}, ClusterUUID: c, State: v1.Enabled, Status: v1.Connected})
	}
	put(&v1.L2Network{Meta: v1.Meta{UUID: "a"}, AttachedClusterUUIDs: []string{"c1", "c2"}})
	put(&v1.L2Network{Meta: v1.Meta{UUID: "b"}, AttachedClusterUUIDs: []string{"c1"}})
	put(&v1.L3Network{Meta: v1.Meta{UUID: "on-a"}, L2NetworkUUID: "a"})
	put(&v1.L3Network{Meta: v1.Meta{UUID: "on-b"}, L2NetworkUUID: "b"})
	put(router("busy", "h1", "on-a"))
	if change != nil {
		change(v)
	}
	return v
}

func router(uuid, host string, l3s ...string) *v1.VirtualRouter {
	r := &v1.VirtualRouter{Meta: v1.Meta{UUID: uuid, Name: uuid}, HostUUID: host, WantedState: v1.StateRunning, OfferingUUID: "o"}
	for _, l3 := range l3s {
		r.Nics = append(r.Nics, v1.RouterNic{L3NetworkUUID: l3})
	}
	return r
}

func host(v *model.View, uuid string, change func(*v1.Host)) {
	h := model.Copy(model.Get[v1.Host](v, uuid))
	change(h)
	v.Put(model.Hosts, h)
}

func dedicated(v *model.View, tags ...string) {
	v.Put(model.Offerings, &v1.VirtualRouterOffering{Meta: v1.Meta{UUID: "o", SystemTags: tags}})
}

func TestChoose(t *testing.T) {
	const h1, h2, h3 = "h1", "h2", "h3"
	tests := []struct {
		name   string
		change func(*model.View)
		router *v1.VirtualRouter
		want   string // empty: no-host
	}{
		{"fewest routers, then by UUID", nil, router("r", "", "on-a"), h2},
		{"only where all L2s are", func(v *model.View) { host(v, h2, func(h *v1.Host) { h.State = v1.Disabled }) }, router("r", "", "on-a", "on-b"), h1},
		{"keeps the host it has", nil, router("r", h1, "on-a"), h1},
		{"leaves one in Maintenance", func(v *model.View) { host(v, h1, func(h *v1.Host) { h.State = v1.Maintenance }) }, router("r", h1, "on-a"), h2},
		{"not on one that does not answer", func(v *model.View) { host(v, h2, func(h *v1.Host) { h.Status = v1.Disconnected }) }, router("r", "", "on-a"), h3},
		{"not in a Disabled cluster", func(v *model.View) {
			v.Put(model.Clusters, &v1.Cluster{Meta: v1.Meta{UUID: "c1"}, State: v1.Disabled})
		}, router("r", "", "on-a"), h3},
		{"where its offering is dedicated to", func(v *model.View) { dedicated(v, "dedicatedHost::"+uuidOf(v, h3)) }, router("r", "", "on-a"), "dedicated"},
		{"nowhere", nil, router("r", "", "on-a", "gone"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Choose(scene(tt.change), tt.router)
			if tt.want == "dedicated" {
				tt.want = dedicatedUUID
			}
			if got != tt.want || (err == nil) != (tt.want != "") || err != nil && v1.Code(err) != "no-host" {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// dedicatedUUID is a host's UUID in the form that tags take.
const dedicatedUUID = "0199d1a0-0000-7000-8000-000000000003"

// uuidOf adds a twin of a host under dedicatedUUID.
func uuidOf(v *model.View, h string) string {
	twin := model.Copy(model.Get[v1.Host](v, h))
	twin.UUID = dedicatedUUID
	v.Put(model.Hosts, twin)
	return dedicatedUUID
}

func TestMustMove(t *testing.T) {
	tests := []struct {
		name   string
		change func(*model.View)
		router *v1.VirtualRouter
		want   bool
	}{
		{"all well", nil, router("r", "h1", "on-a", "on-b"), false},
		{"not placed", nil, router("r", "", "on-a"), false},
		{"Disabled host is not left", func(v *model.View) { host(v, "h1", func(h *v1.Host) { h.State = v1.Disabled }) }, router("r", "h1", "on-a"), false},
		{"silent host is not left", func(v *model.View) { host(v, "h1", func(h *v1.Host) { h.Status = v1.Disconnected }) }, router("r", "h1", "on-a"), false},
		{"Maintenance", func(v *model.View) { host(v, "h1", func(h *v1.Host) { h.State = v1.Maintenance }) }, router("r", "h1", "on-a"), true},
		{"L2 was detached", nil, router("r", "h3", "on-a", "on-b"), true},
		{"host is gone", nil, router("r", "h9", "on-a"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := MustMove(scene(tt.change), tt.router); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
