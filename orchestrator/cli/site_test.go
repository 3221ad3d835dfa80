package cli_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/vlan"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/services/dhcp"
	"github.com/sluice-nfv/sluice/orchestrator/services/dns"
	"github.com/sluice-nfv/sluice/orchestrator/services/eip"
	"github.com/sluice-nfv/sluice/orchestrator/services/portforwarding"
	"github.com/sluice-nfv/sluice/orchestrator/services/snat"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// world is what the API does to the world outside: hosts connect and routers
// reach what the store wants of them, as long as the script lets them.
type world struct {
	store *store.Store

	mu     sync.Mutex
	broken string        // stage that fails
	silent bool          // agents do not answer
	slow   time.Duration // between the stages of a router
	lines  int           // on every router's console
}

var planners = []plan.Service{dhcp.Service{}, dns.Service{}, snat.Service{}, eip.Service{}, portforwarding.Service{}}

var catalog = model.Catalog{L2Types: []model.L2Type{novlan.Type{}, vlan.Type{}}, Services: plan.Offers(planners)}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) now() (broken string, silent bool, slow time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken, w.silent, w.slow
}

func (w *world) AttachL2(ctx context.Context, l2, cluster string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		var made []v1.Realization
		for h := range model.Related[v1.Host](tx.View, model.HostsOfCluster, cluster) {
			made = append(made, v1.Realization{HostUUID: h.UUID, Bridge: "br_" + model.Get[v1.L2Network](tx.View, l2).PhysicalInterface})
		}
		return model.AttachL2(tx, l2, cluster, made)
	})
	return err
}

func (w *world) DetachL2(ctx context.Context, l2, cluster string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DetachL2(tx, l2, cluster) })
	return err
}

func (w *world) DeleteL2(ctx context.Context, l2 string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DeleteL2Network(tx, l2) })
	return err
}

func (w *world) DeleteHost(ctx context.Context, host string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error { return model.DeleteHost(tx, host) })
	return err
}

func (w *world) InspectImage(_ context.Context, req *v1.CreateImage) (*v1.Image, error) {
	if !strings.HasPrefix(req.Source, "/images/") && req.Source != "/var/cache/sluice/image" {
		return nil, v1.Refused("image-unreadable", "there is no manifest.json in %s", req.Source)
	}
	return &v1.Image{
		Meta:   v1.Meta{UUID: req.UUID, Name: req.Name, Description: req.Description, SystemTags: req.SystemTags},
		Format: req.Format, Source: req.Source, Version: "1.0", Files: map[string]v1.ImageFile{"vmlinuz": {SHA256: "00", Size: 123456789012345}},
	}, nil
}

func (w *world) WaitHost(ctx context.Context, uuid string) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		h := model.Copy(model.Get[v1.Host](tx.View, uuid))
		h.Status, h.VirtType = v1.Connected, "kvm"
		tx.Save(h)
		return nil
	})
	return err
}

// tidy forgets routers that are to be destroyed, as happens in between in life.
func (w *world) tidy(ctx context.Context) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		for _, r := range slices.Collect(model.List[v1.VirtualRouter](tx.View)) {
			if r.WantedState == v1.StateDestroyed {
				if err := model.ForgetRouter(tx, r.UUID); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

// change saves a changed copy of a router.
func (w *world) change(ctx context.Context, uuid string, change func(*v1.VirtualRouter)) error {
	_, err := w.store.Update(ctx, func(tx *model.Tx) error {
		r := model.Copy(model.Get[v1.VirtualRouter](tx.View, uuid))
		r.Conditions = append([]v1.Condition{}, r.Conditions...)
		change(r)
		tx.Save(r)
		return nil
	})
	return err
}

func (w *world) Settle(context.Context, string) error { return nil }

func (w *world) WaitRouter(ctx context.Context, uuid string) error {
	broken, _, slow := w.now()
	if r := model.Get[v1.VirtualRouter](w.store.View(), uuid); r.WantedState == v1.StateStopped {
		return w.change(ctx, uuid, func(r *v1.VirtualRouter) { r.State, r.Status, r.AppliedHash = v1.StateStopped, v1.Disconnected, "" })
	}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if slow > 0 {
		if err := w.change(ctx, uuid, func(r *v1.VirtualRouter) {
			r.Conditions = []v1.Condition{{Type: "Placement", Status: v1.True, Reason: "Done", Since: since, DurationMs: 3}}
		}); err != nil {
			return err
		}
		time.Sleep(slow)
	}
	if broken != "" {
		return w.fail(ctx, uuid, broken, since)
	}
	content, err := plan.Content(w.store.View(), model.Get[v1.VirtualRouter](w.store.View(), uuid), planners)
	if err != nil {
		return err
	}
	return w.change(ctx, uuid, func(r *v1.VirtualRouter) {
		for h := range model.List[v1.Host](w.store.View()) {
			r.HostUUID = h.UUID
		}
		r.State, r.Status, r.BootID, r.AgentVersion = v1.StateRunning, v1.Connected, "boot-1", "1.0"
		if hash := content.Hash(); hash != r.DesiredHash {
			r.DesiredHash, r.DesiredGeneration = hash, r.DesiredGeneration+1
		}
		r.AppliedHash, r.AppliedGeneration = r.DesiredHash, r.DesiredGeneration
		r.Conditions = []v1.Condition{
			{Type: "Placement", Status: v1.True, Reason: "Done", Since: since, DurationMs: 3},
			{Type: "Boot", Status: v1.True, Reason: "Done", Since: since, DurationMs: 12345},
			{Type: "Ready", Status: v1.True, Reason: "Serving", Since: since, DurationMs: 13000},
		}
	})
}

func (w *world) fail(ctx context.Context, uuid, stage string, since time.Time) error {
	message := "the kernel panicked \x1b[31mred\x1b[0m"
	if err := w.change(ctx, uuid, func(r *v1.VirtualRouter) {
		r.Conditions = []v1.Condition{
			{Type: stage, Status: v1.False, Reason: "Failed", Message: message, Since: since},
			{Type: "Ready", Status: v1.False, Reason: stage + "Failed", Message: message, Since: since},
		}
	}); err != nil {
		return err
	}
	return v1.Unavailable("router-failed", "stage %s: %s; it is tried again, and so is a repeated call", stage, message).On(uuid)
}

func (w *world) AskFirst(context.Context, *model.View, v1.CreateVIP) (netip.Addr, model.Heard, func()) {
	return netip.Addr{}, nil, func() {}
}

func (w *world) WaitClaim(context.Context, string) {}

func (w *world) WaitVM(ctx context.Context, uuid string) error {
	for nic := range model.Related[v1.VMNic](w.store.View(), model.NicsOfVM, uuid) {
		if r := model.RouterOf(w.store.View(), nic.L3NetworkUUID); r != nil {
			if err := w.WaitRouter(ctx, r.UUID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) RouterSpec(uuid string) (agentv1.RouterSpec, error) {
	r := model.Get[v1.VirtualRouter](w.store.View(), uuid)
	if r == nil {
		return agentv1.RouterSpec{}, v1.NotFound("virtual-router", uuid)
	}
	content, err := plan.Content(w.store.View(), r, planners)
	return agentv1.RouterSpec{Version: agentv1.SpecVersion, RouterUUID: uuid, Generation: r.DesiredGeneration, Hash: content.Hash(), Content: content}, err
}

func (w *world) RouterDiagnostics(_ context.Context, uuid string) (agentv1.Diagnostics, error) {
	_, silent, _ := w.now()
	if silent {
		return agentv1.Diagnostics{}, v1.Unavailable("router-unreachable", "the agent does not answer").On(uuid)
	}
	return agentv1.Diagnostics{Sections: map[string]string{"logs": "level=INFO msg=booted\nlevel=INFO msg=\"spec \x1b[31mapplied\"\n", "routes": "default via 203.0.113.1\n"}}, nil
}

// RouterConsole has a line more each time.
func (w *world) RouterConsole(_ context.Context, uuid string, max int) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines++
	var b []byte
	for i := range w.lines {
		b = fmt.Appendf(b, "[ %d.000000] line %d\r\n", i, i)
	}
	return b[len(b)-min(max, len(b)):], nil
}

// RouterStatus has one service that is not ready while the router is broken.
func (w *world) RouterStatus(_ context.Context, uuid string) (agentv1.RouterStatus, error) {
	broken, silent, _ := w.now()
	r := model.Get[v1.VirtualRouter](w.store.View(), uuid)
	switch {
	case r == nil:
		return agentv1.RouterStatus{}, v1.NotFound("virtual-router", uuid)
	case silent || r.State != v1.StateRunning:
		return agentv1.RouterStatus{}, v1.Unavailable("router-unreachable", "the agent of router %s does not answer", r.Name).On(uuid)
	}
	status := agentv1.RouterStatus{
		RouterUUID: uuid, AgentVersion: "1.0", BootID: "boot-1",
		AcceptedGeneration: r.DesiredGeneration, AcceptedHash: r.DesiredHash,
		AppliedGeneration: r.AppliedGeneration, AppliedHash: r.AppliedHash,
		Services: map[string]agentv1.ServiceStatus{"dhcp": {Ready: true}, "dns": {Ready: true}},
	}
	if broken != "" {
		status.Services["dns"] = agentv1.ServiceStatus{Error: fmt.Sprintf("listen on 192.168.10.1:53: %s", "address in use")}
	}
	return status, nil
}
