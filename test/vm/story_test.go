package vm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestStory is the canary: the whole main job, and nothing left behind.
func TestStory(t *testing.T) {
	s := newSite(t, "canary")
	s.apply()
	s.tell()
	s.nothingLeft()
}

// TestManyGuestsOneRouter starts fifteen guests at once.
func TestManyGuestsOneRouter(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	l3, err := client.List[v1.L3Network](t.Context(), s.API, "/v1/l3-networks?name=guest", nil)
	s.check(err)
	var wg sync.WaitGroup
	errs := make([]error, 15)
	for i := range errs {
		wg.Go(func() {
			var vm v1.VMInstance
			body := v1.CreateVMInstance{CreateMeta: v1.CreateMeta{Name: fmt.Sprintf("guest-%d", i)}, Nics: []v1.CreateVMNic{{L3NetworkUUID: l3[0].UUID}}}
			if err := s.API.Do(t.Context(), http.MethodPost, "/v1/vm-instances", body, &vm); err != nil {
				errs[i] = err
				return
			}
			errs[i] = s.start(t.Context(), vm.UUID)
		})
	}
	wg.Wait()
	s.check(errors.Join(errs...))
	s.oneRouter()
	s.nothingLeft()
}

// TestKilledServer kills the server at moments of a router's making and starts
// it again: the router is finished, and there is one of it.
func TestKilledServer(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	for i, after := range []time.Duration{5 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		vm := s.vm([]string{"web", "app", "db"}[i%3])
		started := make(chan error, 1)
		go func() { started <- s.start(context.Background(), vm) }()
		time.Sleep(after)
		s.Lab.Kill("server")
		<-started // whatever it said: nobody was there to mean it
		s.check(s.Serve(t.Context()))
		s.check(s.start(t.Context(), vm))
		router := s.oneRouter()
		// The next round makes a router from nothing again.
		s.check(s.API.Do(t.Context(), http.MethodDelete, "/v1/virtual-routers/"+router.UUID, nil, nil))
		s.check(s.NoRouters(t.Context(), 30*time.Second))
		s.check(s.API.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vm+"/actions", v1.Action{Action: "stop"}, nil))
	}
	s.nothingLeft()
}

// TestSilentRouter gives routers too little time to boot: the start fails with
// stage, cause and next step; with enough time a retry works.
func TestSilentRouter(t *testing.T) {
	s := newSite(t, "all", "--boot-timeout", "300ms")
	s.apply()
	vm := s.vm("web")
	err := s.start(t.Context(), vm)
	var refusal *v1.Error
	if !errors.As(err, &refusal) || refusal.Code != "router-failed" || refusal.Status != http.StatusServiceUnavailable {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{"Boot", "10.97.0.", "virsh console"} {
		if !strings.Contains(refusal.Detail, word) {
			t.Errorf("the error does not say %q: %s", word, refusal.Detail)
		}
	}
	s.Lab.Stop("server", 10*time.Second)
	s.Flags = nil
	s.check(s.Serve(t.Context()))
	s.check(s.start(t.Context(), vm))
	s.nothingLeft()
}

// TestDiskImage runs a router from the template's disk instead of its kernel.
func TestDiskImage(t *testing.T) {
	s := newSite(t, "all")
	s.edit = strings.NewReplacer("name: router, source:", "name: router, format: qcow2, source:")
	s.apply()
	s.tell()
	s.nothingLeft()
}

// TestLibvirtGone has libvirt's socket out of reach: the host says so, and a
// retry works when it is back.
func TestLibvirtGone(t *testing.T) {
	s := newSite(t, "all")
	socket := s.Lab.Dir + "/libvirt"
	s.edit = strings.NewReplacer("cluster: demo}\n\n- l2", "cluster: demo, libvirt-uri: 'qemu:///system?socket="+socket+"'}\n\n- l2")
	_, err := s.Apply(t.Context(), s.topology())
	if err == nil || !strings.Contains(err.Error(), "hypervisor-unreachable") || !strings.Contains(err.Error(), "libvirtd") {
		t.Fatalf("got %v", err)
	}
	s.check(os.Symlink("/run/libvirt/libvirt-sock", socket))
	hosts, err := client.List[v1.Host](t.Context(), s.API, "/v1/hosts", nil)
	s.check(err)
	var host v1.Host
	s.check(s.API.Do(t.Context(), http.MethodGet, "/v1/hosts/"+hosts[0].UUID+"?wait=30s", nil, &host))
	if host.Status != v1.Connected {
		t.Fatalf("libvirt is back, and the host is %s: %v", host.Status, host.Conditions)
	}
	s.apply()
	s.check(s.start(t.Context(), s.vm("web")))
	s.nothingLeft()
}
