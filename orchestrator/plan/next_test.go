package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

func TestNext(t *testing.T) {
	fresh := append([]Action{Begin}, build...)
	running := v1.VirtualRouter{WantedState: v1.StateRunning, State: v1.StateRunning, Status: v1.Connected, AppliedHash: "h"}
	well := Observed{HostUsable: true, Domain: hypervisor.Running, Agent: AgentReady, AppliedHash: "h"}
	for _, c := range []struct {
		name   string
		change func(*v1.VirtualRouter, *Observed)
		want   []Action
	}{
		{"all is well", func(*v1.VirtualRouter, *Observed) {}, nil},
		{"not placed", func(r *v1.VirtualRouter, o *Observed) { o.HostUsable = false }, append([]Action{Place}, fresh...)},
		{"its host has to be left", func(r *v1.VirtualRouter, o *Observed) { r.HostUUID, o.HostUsable = "h1", false }, append([]Action{Leave, Place}, fresh...)},
		{"build was cut short too long ago", func(r *v1.VirtualRouter, o *Observed) { r.State, o.TokenOld = v1.StateCreating, true }, fresh},
		{"what booted did not enrol", func(r *v1.VirtualRouter, o *Observed) { r.State, o.Agent = v1.StateUnknown, AgentSilent }, fresh},
		{"silent, and known to be", func(r *v1.VirtualRouter, o *Observed) { r.Status, o.Agent = v1.Disconnected, AgentSilent }, nil},
		{"back after silence", func(r *v1.VirtualRouter, o *Observed) { r.Status = v1.Disconnected }, []Action{Apply}},
		{"build was cut short", func(r *v1.VirtualRouter, o *Observed) { r.State = v1.StateCreating }, build},
		{"domain destroyed behind our back", func(r *v1.VirtualRouter, o *Observed) { o.Domain = hypervisor.Stopped }, fresh},
		{"domain undefined behind our back", func(r *v1.VirtualRouter, o *Observed) { o.Domain = hypervisor.Absent }, fresh},
		{"guest kernel hangs", func(r *v1.VirtualRouter, o *Observed) { o.Agent = AgentLost }, fresh},
		{"agent lost its identity", func(r *v1.VirtualRouter, o *Observed) { o.Agent = AgentStranger }, fresh},
		{"one missed answer with nothing to say", func(r *v1.VirtualRouter, o *Observed) { o.Agent = AgentSilent }, nil},
		{"content changed", func(r *v1.VirtualRouter, o *Observed) { r.AppliedHash, o.AppliedHash = "old", "old" }, []Action{Apply}},
		{"agent forgot its spec", func(r *v1.VirtualRouter, o *Observed) { o.AppliedHash = "" }, []Action{Apply}},
		{"to be stopped", func(r *v1.VirtualRouter, o *Observed) { r.WantedState = v1.StateStopped }, []Action{Stop}},
		{"stopped", func(r *v1.VirtualRouter, o *Observed) {
			r.WantedState, r.State, o.Domain = v1.StateStopped, v1.StateStopped, hypervisor.Stopped
		}, nil},
		{"to be destroyed, host gone", func(r *v1.VirtualRouter, o *Observed) {
			r.WantedState, o.HostUsable, o.Domain = v1.StateDestroyed, false, hypervisor.Unknown
		}, []Action{Destroy, Forget}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, o := running, well
			c.change(&r, &o)
			if got := Next(&r, "h", o); !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

// After the actions ran, planning gives no action: no matter where it starts.
func TestNextConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := v1.VirtualRouter{
			WantedState: rapid.SampledFrom([]string{v1.StateRunning, v1.StateStopped}).Draw(t, "wanted"),
			State:       rapid.SampledFrom([]string{v1.StateCreating, v1.StateRunning, v1.StateStopped, v1.StateCrashed, v1.StateUnknown}).Draw(t, "state"),
			Status:      rapid.SampledFrom([]string{v1.Connected, v1.Connecting, v1.Disconnected}).Draw(t, "status"),
			AppliedHash: rapid.SampledFrom([]string{"", "h", "old"}).Draw(t, "applied"),
			HostUUID:    rapid.SampledFrom([]string{"", "h1"}).Draw(t, "placed"),
		}
		o := Observed{
			HostUsable:  rapid.Bool().Draw(t, "host"),
			Domain:      rapid.SampledFrom([]hypervisor.State{hypervisor.Running, hypervisor.Stopped, hypervisor.Absent, hypervisor.Crashed, hypervisor.Paused}).Draw(t, "domain"),
			Agent:       rapid.SampledFrom([]AgentState{AgentReady, AgentLost, AgentStranger}).Draw(t, "agent"),
			AppliedHash: rapid.SampledFrom([]string{"", "h", "old"}).Draw(t, "reached"),
			TokenOld:    rapid.Bool().Draw(t, "token"),
		}
		for _, a := range Next(&r, "h", o) {
			perform(a, &r, &o)
		}
		if again := Next(&r, "h", o); again != nil {
			t.Fatalf("after the actions %+v %+v still wants %v", r, o, again)
		}
	})
}

// perform is what each action makes true.
func perform(a Action, r *v1.VirtualRouter, o *Observed) {
	switch a {
	case Leave:
		o.Domain = hypervisor.Absent
	case Place:
		r.HostUUID, o.HostUsable = "h2", true
	case Begin:
		r.State, r.Status, r.AppliedHash = v1.StateCreating, v1.Connecting, ""
		o.TokenOld = false
	case Define:
		o.Domain, o.Agent, o.AppliedHash = hypervisor.Running, AgentStranger, ""
	case Enrol:
		o.Agent = AgentReady
	case Adopt:
		r.State = v1.StateRunning
	case Apply:
		o.AppliedHash, r.AppliedHash, r.Status = "h", "h", v1.Connected
	case Stop:
		o.Domain, r.State = hypervisor.Stopped, v1.StateStopped
	}
}
