package httpapi

import (
	"context"
	"net/http"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// startPatience is how long the start of a VM waits for its routers unless the
// caller says otherwise: a router is built and booted in less.
const startPatience = 120 * time.Second

func (a *API) vms() {
	List[v1.VMInstance](a)
	GetWaiting[v1.VMInstance](a, a.effects.WaitVM)
	Patch[v1.VMInstance](a)
	Create(a, model.CreateVM)
	Delete[v1.VMInstance](a, model.DeleteVM)
	Handle(a, operation("act-on-vm-instance", http.MethodPost, "/v1/vm-instances/{uuid}/actions", "start, stop or reboot"), a.actOnVM)
	Handle(a, operation("get-libvirt-xml", http.MethodGet, "/v1/vm-instances/{uuid}/libvirt-xml", "<interface> elements for virsh attach-device or virt-install"), a.libvirtXML)

	Change[v1.VMInstance](a, "add-vm-nic", http.MethodPost, "/v1/vm-instances/{uuid}/nics", "Give the VM another nic; one that runs is served at once",
		func(tx *model.Tx, in *CallWith[v1.CreateVMNic]) error {
			_, err := model.AddNic(tx, in.UUID, in.Body)
			return err
		})
	Read[v1.VMNic](a)
	Delete[v1.VMNic](a, model.DeleteNic)
	type setIP struct {
		IP string `json:"ip" doc:"A free address of the nic's L3 network"`
	}
	Change[v1.VMNic](a, "set-vm-nic-ip", http.MethodPut, "/v1/vm-nics/{uuid}/ip", "Give the nic another address; EIPs and rules follow",
		func(tx *model.Tx, in *CallWith[setIP]) error {
			_, err := model.ChangeNicIP(tx, in.UUID, in.Body.IP)
			return err
		})
}

// actOnVM starts a VM before it answers: its routers serve it then. If they do
// not, the VM stays as wanted and the same call tries again. Stopping waits
// for nobody, so that it succeeds while a router is down.
func (a *API) actOnVM(ctx context.Context, in *action) (*One[v1.VMInstance], error) {
	patience, err := in.patience(startPatience)
	if err != nil {
		return nil, err
	}
	done, err := change[v1.VMInstance](ctx, a, &in.Call, func(tx *model.Tx) error {
		_, err := model.VMAction(tx, in.UUID, in.Body.Action)
		return err
	})
	if err != nil || in.Body.Action == "stop" {
		return done, err
	}
	if err := await(ctx, patience, func(ctx context.Context) error { return a.effects.WaitVM(ctx, in.UUID) }); err != nil {
		return nil, err
	}
	return one[v1.VMInstance](a.view(ctx), in.UUID)
}

func (a *API) vips() {
	Read[v1.VIP](a)
	type createVIP struct {
		DryRun
		Wait
		Body v1.CreateVIP
	}
	Handle(a, createOperation[v1.VIP](), func(ctx context.Context, in *createVIP) (*One[v1.VIP], error) {
		return settled(ctx, a, in.Wait, func() (*One[v1.VIP], error) { return a.createVIP(ctx, in.dry(), in.Body) })
	})
	Delete[v1.VIP](a, model.DeleteVIP)
}

// createVIP asks the wire about the address before the VIP is stored, and so
// stores it once. If another was given the address meanwhile it is asked about
// afterwards; one that was chosen becomes another if a stranger has it, and the
// answer has the one that the VIP keeps.
func (a *API) createVIP(ctx context.Context, dry bool, req v1.CreateVIP) (*One[v1.VIP], error) {
	rule := func(tx *model.Tx) (*v1.VIP, error) { return model.CreateVIP(tx, req) }
	if !dry {
		asked, heard, done := a.effects.AskFirst(ctx, a.view(ctx), req)
		defer done()
		if asked.IsValid() {
			rule = func(tx *model.Tx) (*v1.VIP, error) { return model.CreateAskedVIP(tx, req, asked, heard) }
		}
	}
	made, err := create(ctx, a, dry, rule)
	if err != nil || req.IP != "" || len(made.Body.Conditions) > 0 {
		return made, err
	}
	a.effects.WaitClaim(ctx, made.Body.UUID)
	if now, err := one[v1.VIP](a.view(ctx), made.Body.UUID); err == nil {
		return now, nil
	}
	return made, nil
}
