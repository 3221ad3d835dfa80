package vm

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestRoutersMoveAndAreFenced has two real libvirts. A router moves to the
// other host when its own goes into Maintenance; it is made there again, by the
// administrator's word, when its own is lost; and what it left behind is removed
// when that is back. Its addresses and MACs stay all the time.
func TestRoutersMoveAndAreFenced(t *testing.T) {
	s := newSite(t, "all")
	other := newSecond(s)
	s.apply()
	first := s.host("this-machine")
	s.check(s.start(t.Context(), s.vm("web")))
	router := s.oneRouter()

	var added v1.Host
	s.check(s.API.Do(t.Context(), http.MethodPost, "/v1/hosts?wait=60s", v1.CreateHost{CreateMeta: v1.CreateMeta{Name: "other"}, ClusterUUID: first.ClusterUUID, LibvirtURI: other.uri}, &added))

	s.setState(first.UUID, v1.Maintenance)
	s.onHost(router, added.UUID)
	if left, there := s.Domains(t.Context()), other.domains(); len(left) != 0 || len(there) != 1 {
		t.Fatalf("moved: domains %v here, %v on the other host", left, there)
	}
	s.setState(first.UUID, v1.Enabled)

	other.off()
	s.until("the other host is Disconnected", func() bool { return s.hostBy(added.UUID).Status == v1.Disconnected })
	s.check(s.API.Do(t.Context(), http.MethodPost, "/v1/hosts/"+added.UUID+"/actions", v1.Action{Action: "fence"}, nil))
	s.onHost(router, first.UUID)
	s.oneRouter()

	other.on()
	s.until("the other host is back", func() bool { h := s.hostBy(added.UUID); return h.Status == v1.Connected && !h.Fenced })
	if left := other.domains(); len(left) != 0 {
		t.Errorf("the other host is back and has %v", left)
	}
	s.onHost(router, first.UUID)
	s.check(s.API.Do(t.Context(), http.MethodDelete, "/v1/hosts/"+added.UUID, nil, nil))
	s.nothingLeft()
}

// TestRebootEndsInOrder: a router that is rebooted ends by its own system, and is
// back with what it had.
func TestRebootEndsInOrder(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	s.check(s.start(t.Context(), s.vm("web")))
	before := s.oneRouter()
	began := time.Now()
	var after v1.VirtualRouter
	s.check(s.API.Do(t.Context(), http.MethodPost, "/v1/virtual-routers/"+before.UUID+"/actions?wait=90s", v1.Action{Action: "reboot"}, &after))
	t.Logf("served again after %.2fs", time.Since(began).Seconds())
	if after.BootID == before.BootID || !reflect.DeepEqual(after.Nics, before.Nics) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "ended by itself") {
			t.Log(line)
			s.oneRouter()
			s.nothingLeft()
			return
		}
	}
	t.Error("the router was ended by its hypervisor")
}

func (s *site) host(name string) v1.Host {
	s.Helper()
	var page struct{ Items []v1.Host }
	s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/hosts?name="+name, nil, &page))
	if len(page.Items) != 1 {
		s.Fatalf("%d hosts are named %s", len(page.Items), name)
	}
	return page.Items[0]
}

func (s *site) hostBy(uuid string) (h v1.Host) {
	s.Helper()
	s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/hosts/"+uuid, nil, &h))
	return h
}

func (s *site) setState(host, state string) {
	s.Helper()
	s.check(s.API.Do(s.Context(), http.MethodPatch, "/v1/hosts/"+host, map[string]string{"state": state}, nil))
}

// onHost waits until the router serves on a host, with what it had.
func (s *site) onHost(before v1.VirtualRouter, host string) {
	s.Helper()
	began := time.Now()
	var now v1.VirtualRouter
	s.until("the router serves on the host", func() bool {
		now = v1.VirtualRouter{}
		s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/virtual-routers/"+before.UUID, nil, &now))
		return now.HostUUID == host && now.Status == v1.Connected && now.AppliedHash == now.DesiredHash
	})
	s.Logf("on the host after %.2fs", time.Since(began).Seconds())
	if !reflect.DeepEqual(now.Nics, before.Nics) {
		s.Errorf("nics %+v, they were %+v", now.Nics, before.Nics)
	}
}

func (s *site) until(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s: not within 60s\n%s", what, strings.Join(s.Domains(s.Context()), " "))
		}
	}
}
