package model

import (
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// The life of a domain as a host tells it, a line an event, and what the VM is
// after each. D is the VM's domain, E another with the same MAC; hosts are 1
// and 2; an API line is the owner's own call.
func TestGuestsLife(t *testing.T) {
	type step struct {
		does   string
		state  string
		reason string // of the condition Running
		domain string // the VM's domain afterwards
	}
	run, stop := v1.StateRunning, v1.StateStopped
	for name, steps := range map[string][]step{
		"started and stopped outside":       {{"D runs on 1", run, ReasonHypervisor, "D"}, {"D runs on 1", run, ReasonHypervisor, "D"}, {"D ends on 1", stop, ReasonHypervisor, ""}, {"D ends on 1", stop, ReasonHypervisor, ""}},
		"never a domain":                    {{"API start", run, ReasonAPI, ""}, {"D ends on 1", run, ReasonAPI, ""}, {"nothing on 1", run, ReasonAPI, ""}},
		"started by the API, then a domain": {{"API start", run, ReasonAPI, ""}, {"D runs on 1", run, ReasonHypervisor, "D"}, {"D ends on 1", stop, ReasonHypervisor, ""}},
		"stopped by its owner while it runs": {{"D runs on 1", run, ReasonHypervisor, "D"}, {"API stop", stop, ReasonAPI, "D"}, {"D runs on 1", stop, ReasonAPI, "D"},
			{"D ends on 1", stop, ReasonHypervisor, ""}, {"D runs on 1", run, ReasonHypervisor, "D"}},
		"nic detached":                 {{"D runs on 1", run, ReasonHypervisor, "D"}, {"D without nics on 1", stop, ReasonHypervisor, ""}, {"D runs on 1", run, ReasonHypervisor, "D"}},
		"seen at the target first":     {{"D runs on 1", run, ReasonHypervisor, "D"}, {"D runs on 2", run, ReasonHypervisor, "D"}, {"D ends on 1", run, ReasonHypervisor, "D"}, {"nothing on 1", run, ReasonHypervisor, "D"}, {"D ends on 2", stop, ReasonHypervisor, ""}},
		"another domain with its MAC":  {{"D runs on 1", run, ReasonHypervisor, "D"}, {"E runs on 1", run, ReasonHypervisor, "E"}, {"D ends on 1", run, ReasonHypervisor, "E"}, {"E ends on 1", stop, ReasonHypervisor, ""}},
		"gone while nobody looked":     {{"D runs on 1", run, ReasonHypervisor, "D"}, {"nothing on 2", run, ReasonHypervisor, "D"}, {"nothing on 1", stop, ReasonHypervisor, ""}},
		"come while nobody looked":     {{"D alone on 1", run, ReasonHypervisor, "D"}, {"D alone on 1", run, ReasonHypervisor, "D"}},
		"replaced while nobody looked": {{"D runs on 1", run, ReasonHypervisor, "D"}, {"E alone on 1", run, ReasonHypervisor, "E"}},
		"its host is deleted":          {{"D runs on 1", run, ReasonHypervisor, "D"}, {"host 1 deleted", run, ReasonHypervisor, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			hosts := map[string]string{"1": w.host, "2": w.addHost("second", w.cluster)}
			vm := w.addVM("vm", w.guest, w.guest)
			w.clean()
			for _, s := range steps {
				w.ok(w.guestDoes(s.does, vm, hosts))
				got := Get[v1.VMInstance](w.tx.View, vm.UUID)
				if got.State != s.state || got.Conditions[0].Reason != s.reason || got.DomainUUID != s.domain || (got.HostUUID != "") != (s.domain != "") {
					t.Fatalf("after %q: %+v, want %+v", s.does, got, s)
				}
				if got.Conditions[0].Status != map[string]string{run: v1.True, stop: v1.False}[s.state] {
					t.Errorf("after %q: %+v", s.does, got.Conditions)
				}
				w.clean()
				again := s.does != "API start" && s.does != "API stop"
				if w.ok(w.guestDoes(s.does, vm, hosts)); again && w.tx.Changed() {
					t.Errorf("%q again wrote something", s.does)
				}
			}
			if r := RouterOf(w.tx.View, w.guest); r == nil || r.WantedState != run {
				t.Errorf("router is %+v", r)
			}
		})
	}
}

func (w *world) guestDoes(what string, vm *v1.VMInstance, hosts map[string]string) error {
	switch what {
	case "API start":
		_, err := StartVM(w.tx, vm.UUID)
		return err
	case "API stop":
		_, err := StopVM(w.tx, vm.UUID)
		return err
	case "host 1 deleted":
		return DeleteHost(w.tx, hosts["1"])
	}
	domain, rest, on := what[:1], what[2:len(what)-5], hosts[what[len(what)-1:]]
	g := Guest{HostUUID: on, DomainUUID: domain, Name: "web", MACs: []string{"02:00:00:00:00:99", vm.Nics[1].MAC}}
	switch rest {
	case "runs":
		g.Runs = true
	case "without nics":
		g.Runs, g.MACs = true, nil
	case "alone":
		g.Runs = true
		return ObserveGuests(w.tx, on, []Guest{{HostUUID: on, DomainUUID: "F", Name: "stranger", MACs: []string{"02:00:00:00:00:98"}, Runs: true}, g})
	case "ends":
	default: // nothing
		return ObserveGuests(w.tx, on, nil)
	}
	return ObserveGuest(w.tx, g)
}

// A domain that cannot be served is told, without a write each time, and
// started once it can be.
func TestGuestThatCannotBeServed(t *testing.T) {
	w := newWorld(t)
	vm := w.addVM("vm", w.guest)
	w.ok(DeleteOffering(w.tx, w.offering))
	w.clean()
	g := Guest{HostUUID: w.host, DomainUUID: "D", Name: "web", MACs: []string{vm.Nics[0].MAC}, Runs: true}
	if err := ObserveGuest(w.tx, g); v1.Code(err) != "no-default-offering" {
		t.Fatalf("got %v", err)
	}
	got := Get[v1.VMInstance](w.tx.View, vm.UUID)
	if got.State != v1.StateStopped || got.DomainUUID != "" || got.Conditions[0].Reason != ReasonCannotBeServed {
		t.Fatalf("VM is %+v", got)
	}
	w.clean()
	if err := ObserveGuest(w.tx, g); err == nil || w.tx.Changed() {
		t.Fatalf("again: %v, wrote %t", err, w.tx.Changed())
	}
	o, err := CreateOffering(w.tx, w.offeringRequest("another"))
	must(w, o, err)
	w.ok(ObserveGuest(w.tx, g))
	if got := Get[v1.VMInstance](w.tx.View, vm.UUID); got.State != v1.StateRunning {
		t.Fatalf("VM is %+v", got)
	}
	w.clean()
}
