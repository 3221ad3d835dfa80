package vm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestStory is the canary: the whole main job, and nothing left behind.
func TestStory(t *testing.T) {
	need(t, "canary")
	w := newWorld(t)
	w.apply()
	w.rememberBridges()
	w.tell()
	w.nothingLeft()
}

// rememberBridges lets a later run remove them if this one is killed.
func (w *world) rememberBridges() {
	w.Helper()
	all, err := client.List[v1.L2Network](w.Context(), w.api, "/v1/l2-networks", nil)
	w.check(err)
	var names []string
	for _, l2 := range all {
		for _, r := range l2.Realizations {
			names = append(names, r.Bridge)
		}
	}
	w.check(os.WriteFile("/run/sluice-vmtest-bridges", []byte(strings.Join(names, "\n")), 0o600))
}

// nothingLeft deletes everything through the API and looks for remains.
func (w *world) nothingLeft() {
	w.Helper()
	for _, path := range []string{"vm-instances", "l2-networks"} {
		all, err := client.List[v1.Zone](w.Context(), w.api, "/v1/"+path, nil)
		w.check(err)
		for _, o := range all {
			w.check(w.api.Do(w.Context(), http.MethodDelete, "/v1/"+path+"/"+o.UUID, nil, nil))
		}
	}
	w.eventually(30*time.Second, "routers are gone", func() bool { return len(w.routers()) == 0 })
	if left := w.domains(); len(left) != 0 {
		w.Errorf("domains left: %v", left)
	}
	out, err := exec.Command("virsh", "-q", "-c", "qemu:///system", "vol-list", instance).Output()
	w.check(err)
	if strings.Contains(string(out), "router-") {
		w.Errorf("volumes left: %s", out)
	}
	links, err := exec.Command("ip", "-br", "link", "show", "type", "bridge").Output()
	w.check(err)
	remembered, err := os.ReadFile("/run/sluice-vmtest-bridges")
	w.check(err)
	for name := range strings.FieldsSeq(string(remembered)) {
		if strings.Contains(string(links), name) {
			w.Errorf("bridge left: %s", name)
		}
	}
}

// TestManyGuestsOneRouter starts fifteen guests at once.
func TestManyGuestsOneRouter(t *testing.T) {
	need(t, "all")
	w := newWorld(t)
	w.apply()
	w.rememberBridges()
	l3, err := client.List[v1.L3Network](t.Context(), w.api, "/v1/l3-networks?name=guest", nil)
	w.check(err)
	var wg sync.WaitGroup
	errs := make([]error, 15)
	for i := range errs {
		wg.Go(func() {
			var vm v1.VMInstance
			body := v1.CreateVMInstance{CreateMeta: v1.CreateMeta{Name: fmt.Sprintf("guest-%d", i)}, Nics: []v1.CreateVMNic{{L3NetworkUUID: l3[0].UUID}}}
			if err := w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances", body, &vm); err != nil {
				errs[i] = err
				return
			}
			errs[i] = w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vm.UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil)
		})
	}
	wg.Wait()
	w.check(errors.Join(errs...))
	if got := w.routers(); len(got) != 1 {
		t.Fatalf("%d routers, want one", len(got))
	}
	if got := w.domains(); len(got) != 1 {
		t.Fatalf("domains %v, want one", got)
	}
	w.nothingLeft()
}

// TestKilledServer kills the server at moments of a router's making and starts
// it again: the router is finished, and there is one of it.
func TestKilledServer(t *testing.T) {
	need(t, "all")
	w := newWorld(t)
	w.apply()
	w.rememberBridges()
	for i, after := range []time.Duration{5 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		name := []string{"web", "app", "db"}[i%3]
		vms, err := client.List[v1.VMInstance](t.Context(), w.api, "/v1/vm-instances?name="+name, nil)
		w.check(err)
		started := make(chan error, 1)
		go func() {
			started <- w.api.Do(context.Background(), http.MethodPost, "/v1/vm-instances/"+vms[0].UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil)
		}()
		time.Sleep(after)
		w.lab.Kill("server")
		<-started
		w.serve()
		w.check(w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vms[0].UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil))
		if got := w.domains(); len(got) != 1 {
			t.Fatalf("killed after %s: domains %v, want one", after, got)
		}
		for _, r := range w.routers() { // the next round makes a router from nothing again
			w.check(w.api.Do(t.Context(), http.MethodDelete, "/v1/virtual-routers/"+r.UUID, nil, nil))
		}
		w.eventually(30*time.Second, "router is gone", func() bool { return len(w.routers()) == 0 })
		w.check(w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vms[0].UUID+"/actions?wait=0s", v1.Action{Action: "stop"}, nil))
	}
	w.nothingLeft()
}

// TestSilentRouter gives routers too little time to boot: the start fails with
// stage, cause and next step; with enough time a retry works.
func TestSilentRouter(t *testing.T) {
	need(t, "all")
	w := newWorld(t)
	w.lab.Stop("server", 10*time.Second)
	w.flags = []string{"--boot-timeout", "300ms"}
	w.serve()
	w.apply()
	w.rememberBridges()
	vms, err := client.List[v1.VMInstance](t.Context(), w.api, "/v1/vm-instances?name=web", nil)
	w.check(err)
	err = w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vms[0].UUID+"/actions?wait=60s", v1.Action{Action: "start"}, nil)
	var refusal *v1.Error
	if !errors.As(err, &refusal) || refusal.Code != "router-failed" || refusal.Status != http.StatusServiceUnavailable {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{"Boot", "10.97.0.", "virsh console"} {
		if !strings.Contains(refusal.Detail, word) {
			t.Errorf("the error does not say %q: %s", word, refusal.Detail)
		}
	}
	w.lab.Stop("server", 10*time.Second)
	w.flags = nil
	w.serve()
	w.check(w.api.Do(t.Context(), http.MethodPost, "/v1/vm-instances/"+vms[0].UUID+"/actions?wait=180s", v1.Action{Action: "start"}, nil))
	w.nothingLeft()
}

// TestDiskImage runs a router from the template's disk instead of its kernel.
func TestDiskImage(t *testing.T) {
	need(t, "all")
	w := newWorld(t)
	w.edit = strings.NewReplacer("name: router, source:", "name: router, format: qcow2, source:")
	w.apply()
	w.rememberBridges()
	w.tell()
	w.nothingLeft()
}

// TestLibvirtGone has libvirt's socket out of reach: the host says so, nothing
// is lost, and it is connected again when libvirt is back.
func TestLibvirtGone(t *testing.T) {
	need(t, "all")
	w := newWorld(t)
	w.edit = strings.NewReplacer("- host: {name: this-machine, cluster: demo}", "- host: {name: this-machine, cluster: demo, libvirt-uri: 'qemu:///system?socket="+w.dir+"/libvirt'}")
	out, err := w.tryApply()
	if err == nil || !strings.Contains(out, "hypervisor-unreachable") || !strings.Contains(out, "libvirtd") {
		t.Fatalf("got %v: %s", err, out)
	}
	w.check(os.Symlink("/run/libvirt/libvirt-sock", w.dir+"/libvirt"))
	w.apply()
	w.rememberBridges()
	w.tell()
	w.nothingLeft()
}
