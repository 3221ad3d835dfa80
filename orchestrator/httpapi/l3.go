package httpapi

import (
	"context"
	"net/http"
	"net/netip"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// l3Networks are L3 networks with what belongs to no service of its own; DNS
// servers, host routes and MTU are the services' routes.
func (a *API) l3Networks() {
	Read[v1.L3Network](a)
	Create(a, model.CreateL3Network)
	Delete[v1.L3Network](a, model.DeleteL3Network)
	Change[v1.L3Network](a, "set-reserved-ranges", http.MethodPut, "/v1/l3-networks/{uuid}/reserved-ranges", "Set the addresses that are never allocated",
		func(tx *model.Tx, in *CallWith[v1.SetReservedRanges]) error {
			_, err := model.SetReservedRanges(tx, in.UUID, in.Body.ReservedRanges)
			return err
		})
	Change[v1.L3Network](a, "set-router-interface-ip", http.MethodPut, "/v1/l3-networks/{uuid}/router-interface-ip", "Fix the router's guest address",
		func(tx *model.Tx, in *CallWith[v1.SetRouterInterfaceIP]) error {
			_, err := model.SetRouterInterfaceIP(tx, in.UUID, in.Body.RouterInterfaceIP)
			return err
		})
	Change[v1.L3Network](a, "set-allocation-strategy", http.MethodPut, "/v1/l3-networks/{uuid}/allocation-strategy", "Choose how free addresses are chosen",
		func(tx *model.Tx, in *CallWith[v1.SetAllocationStrategy]) error {
			_, err := model.SetAllocationStrategy(tx, in.UUID, in.Body.AllocationStrategy)
			return err
		})
	a.networkServices()
	a.ipRanges()
	a.l3Queries()
}

func (a *API) networkServices() {
	const path = "/v1/l3-networks/{uuid}/network-services"
	Change[v1.L3Network](a, "attach-network-services", http.MethodPost, path, "Attach services",
		func(tx *model.Tx, in *CallWith[v1.NetworkServices]) error {
			_, err := model.AttachNetworkServices(tx, in.UUID, in.Body.NetworkServices)
			return err
		})
	type detach struct {
		CallWith[v1.NetworkServices]
		Cascade bool `query:"cascade" doc:"Delete the EIPs and rules that use the services first"`
	}
	Remove[v1.L3Network](a, "detach-network-services", path, "Detach services; refused with the users while they are in use",
		func(tx *model.Tx, in *detach) error {
			_, err := model.DetachNetworkServices(tx, in.UUID, in.Body.NetworkServices, in.Cascade)
			return err
		})
}

func (a *API) ipRanges() {
	Read[v1.IPRange](a)
	Delete[v1.IPRange](a, model.DeleteIPRange)
	op := operation("add-ip-range", http.MethodPost, "/v1/l3-networks/{uuid}/ip-ranges", "Add addresses: one range, or two around a gateway in the middle")
	op.DefaultStatus = http.StatusCreated
	Handle(a, op, a.addIPRange)
}

// Items answers several resources that are no page of a list.
type Items[T any] struct {
	Body struct {
		Items []*T `json:"items" nullable:"false"`
	}
}

func items[T any](all []*T) *Items[T] {
	out := &Items[T]{}
	out.Body.Items = all
	return out
}

func (a *API) addIPRange(ctx context.Context, in *CallWith[v1.AddIPRange]) (*Items[v1.IPRange], error) {
	return settled(ctx, a, in.Wait, func() (*Items[v1.IPRange], error) { return a.storeIPRange(ctx, in) })
}

func (a *API) storeIPRange(ctx context.Context, in *CallWith[v1.AddIPRange]) (*Items[v1.IPRange], error) {
	var made []*v1.IPRange
	rule := func(tx *model.Tx) (err error) {
		if made = rangesMade(tx.View, chosenUUID(ctx)); made != nil {
			return nil // by an earlier attempt under the same Idempotency-Key
		}
		made, err = model.AddIPRange(tx, in.UUID, in.Body)
		return err
	}
	view, err := a.run(ctx, in.dry(), guarded[v1.L3Network](&in.Call, rule))
	if err != nil {
		return nil, err
	}
	for i, r := range made { // with their revisions
		made[i] = model.Get[v1.IPRange](view, r.UUID)
	}
	return items(made), nil
}

// rangesMade are the range with the UUID and the one that was made with it.
func rangesMade(v *model.View, uuid string) (made []*v1.IPRange) {
	first := model.Get[v1.IPRange](v, uuid)
	if first == nil {
		return nil
	}
	made = append(made, first)
	for r := range model.Related[v1.IPRange](v, model.RangesOfL3, first.L3NetworkUUID) {
		if r != first && r.CreateDate.Equal(first.CreateDate) && r.Name == first.Name {
			made = append(made, r)
		}
	}
	return made
}

// l3Queries answer questions about a network.
func (a *API) l3Queries() {
	type input struct {
		UUID string `path:"uuid"`
	}
	type capacity struct{ Body v1.Capacity }
	Handle(a, operation("get-capacity", http.MethodGet, "/v1/l3-networks/{uuid}/capacity", "Count addresses"),
		func(ctx context.Context, in *input) (*capacity, error) {
			c, err := model.CapacityOf(a.view(ctx), in.UUID)
			return &capacity{c}, err
		})
	type limited struct {
		UUID  string `path:"uuid"`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"20"`
	}
	type addresses struct {
		Body struct {
			Items []netip.Addr `json:"items" nullable:"false"`
		}
	}
	Handle(a, operation("list-free-ips", http.MethodGet, "/v1/l3-networks/{uuid}/free-ips", "List the lowest free addresses"),
		func(ctx context.Context, in *limited) (*addresses, error) {
			out := &addresses{}
			var err error
			out.Body.Items, err = model.FreeIPs(a.view(ctx), in.UUID, in.Limit)
			return out, err
		})
	Handle(a, operation("get-router-of-l3-network", http.MethodGet, "/v1/l3-networks/{uuid}/virtual-router", "Get the router that serves the network"),
		func(ctx context.Context, in *input) (*One[v1.VirtualRouter], error) {
			view := a.view(ctx)
			if model.Get[v1.L3Network](view, in.UUID) == nil {
				return nil, v1.NotFound(model.L3Networks.Noun(), in.UUID)
			}
			r := model.RouterOf(view, in.UUID)
			if r == nil {
				return nil, v1.Errorf(http.StatusNotFound, "no-router", "the network has no router yet; one is made when the first guest on it starts").On(in.UUID)
			}
			return one[v1.VirtualRouter](view, r.UUID)
		})
}
