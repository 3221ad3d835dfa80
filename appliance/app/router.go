package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/services/interfaces"
)

// ownerPlane is the status entry of what belongs to no service.
const ownerPlane = "dataplane"

// Router turns contents into what kernel and servers do; it is the
// agent.Router of a real router.
type Router struct {
	plane    dataplane.Applier
	services Services
	// meters reads the counts of mappings; nil where there are none.
	meters func() (dataplane.Meters, error)
	// rename: nics get the spec's names (a router of its own); off, they keep
	// the ones they have (somebody's namespace).
	rename bool
	// management is the nic that must stay: without it nobody could undo a
	// mistake. Nil where there is no orchestrator.
	management *agentv1.Interface

	mu      sync.Mutex
	applied bool             // at least one Apply has run
	failed  map[string]error // by owner, of the last Apply
	content agentv1.Content  // of the last Apply or Change
	links   dataplane.Links  // of the last Apply
	// table and warnings are as pressure saw them last.
	table    dataplane.Table
	warnings []string
}

var _ agent.Router = (*Router)(nil)

// NewRouter is a router over a data plane.
func NewRouter(plane dataplane.Applier, s Services, rename bool, management *agentv1.Interface) *Router {
	return &Router{plane: plane, services: s, rename: rename, management: management}
}

// Check implements agent.Router: all services plan the content as if every nic
// were there, and the plans must fit together.
func (r *Router) Check(c agentv1.Content) (agent.Checked, error) {
	if err := r.checkManagement(c); err != nil {
		return nil, err
	}
	wants, failed := r.plan(c, named(c))
	if err := joined(failed); err != nil {
		return nil, invalid(err)
	}
	want, err := dataplane.Merge(wants)
	if err != nil {
		return nil, invalid(err)
	}
	return newChecked(r.services, c, want.Inputs), nil
}

// named is as if every nic of a content were there.
func named(c agentv1.Content) dataplane.Links {
	links := dataplane.Links{}
	for _, nic := range c.Interfaces {
		links[nic.MAC] = nic.Name
	}
	return links
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	var field *dataplane.FieldError
	if errors.As(err, &field) {
		return &agent.InvalidError{Field: field.Field, Err: field.Err}
	}
	return &agent.InvalidError{Err: err}
}

func (r *Router) checkManagement(c agentv1.Content) error {
	if r.management == nil {
		return nil
	}
	for i, nic := range c.Interfaces {
		if nic.MAC != r.management.MAC {
			continue
		}
		at := fmt.Sprintf("/content/interfaces/%d", i)
		if !nic.HasRole(agentv1.RoleManagement) {
			return &agent.InvalidError{Field: at + "/roles", Err: errors.New("the agent's own nic must keep the role management")}
		}
		for _, want := range r.management.Addresses {
			if !slices.Contains(nic.Addresses, want) {
				return &agent.InvalidError{Field: at + "/addresses", Err: fmt.Errorf("the agent's own nic must keep %s", want)}
			}
		}
		return nil
	}
	return &agent.InvalidError{
		Field: "/content/interfaces",
		Err:   fmt.Errorf("the agent's own nic %s is missing: it would cut itself off", r.management.MAC),
	}
}

// plan asks all services; one that fails does not keep the others from it.
func (r *Router) plan(c agentv1.Content, links dataplane.Links) (map[string]dataplane.Want, map[string]error) {
	wants, failed := map[string]dataplane.Want{}, map[string]error{}
	for _, p := range r.services.Planners {
		w, err := p.Want(c, links)
		if err != nil {
			failed[p.Name()] = err
			continue
		}
		wants[p.Name()] = w
	}
	return wants, failed
}

// Apply implements agent.Router. Servers are started after the kernel is
// ready for them, and also when a part of that failed: a guest that has its
// lease and no way out is better off than one without either.
func (r *Router) Apply(ctx context.Context, c agentv1.Content) (agent.Reached, error) {
	failed := map[string]error{}
	if r.rename {
		note(failed, "interfaces", r.plane.Rename(ctx, interfaces.Names(c)))
	}
	links, err := r.plane.Links(ctx)
	if err != nil {
		note(failed, ownerPlane, err)
		r.record(failed, nil)
		return agent.Reached{}, fmt.Errorf("find nics: %w", err)
	}
	reached := r.applyKernel(ctx, c, links, failed)
	r.mu.Lock()
	r.content = c
	r.mu.Unlock()
	for _, s := range r.services.Servers {
		note(failed, s.Name(), s.Apply(ctx, c, links))
	}
	r.record(failed, links)
	return agent.Reached{Writes: reached.Writes, Steps: reached.Steps}, joined(failed)
}

func (r *Router) applyKernel(ctx context.Context, c agentv1.Content, links dataplane.Links, failed map[string]error) dataplane.Reached {
	wants, faults := r.plan(c, links)
	maps.Copy(failed, faults)
	want, err := dataplane.Merge(wants)
	if err != nil {
		note(failed, ownerPlane, fmt.Errorf("merge: %w", err))
		return dataplane.Reached{}
	}
	reached, err := r.plane.Apply(ctx, want)
	for owner, cause := range reached.Failed {
		note(failed, owner, cause)
	}
	if err != nil && len(reached.Failed) == 0 {
		note(failed, ownerPlane, err)
	}
	return reached
}

func (r *Router) record(failed map[string]error, links dataplane.Links) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied, r.failed, r.links = true, failed, links
}

// Resync implements agent.Router.
func (r *Router) Resync() { r.plane.Resync() }

// Closed makes the router wait for its first spec: nothing is forwarded, and of
// all nics only management is up, with the agent's port open. The data plane
// sees to the policy before it touches an address, so that one apply does both:
// this is on the way of every boot.
func (r *Router) Closed(ctx context.Context) error {
	if r.management == nil {
		if err := r.plane.Lockdown(ctx); err != nil {
			return fmt.Errorf("close router: %w", err)
		}
		return nil
	}
	if err := r.bringUp(ctx, agentv1.Content{Interfaces: []agentv1.Interface{*r.management}}); err != nil {
		return fmt.Errorf("close router, bring up management nic %s: %w", r.management.MAC, err)
	}
	return nil
}

// bringUp applies nics and nothing else. What is wanted has no guest, so the
// data plane keeps forwarding off.
func (r *Router) bringUp(ctx context.Context, c agentv1.Content) error {
	if r.rename {
		if err := r.plane.Rename(ctx, interfaces.Names(c)); err != nil {
			return err
		}
	}
	links, err := r.plane.Links(ctx)
	if err != nil {
		return err
	}
	w, err := interfaces.New().Want(c, links)
	if err != nil {
		return err
	}
	merged, err := dataplane.Merge(map[string]dataplane.Want{"interfaces": w})
	if err != nil {
		return err
	}
	_, err = r.plane.Apply(ctx, merged)
	return err
}

// Close stops the servers; the kernel goes on as it is.
func (r *Router) Close() error {
	var errs []error
	for _, s := range slices.Backward(r.services.Servers) {
		if err := s.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", s.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func note(failed map[string]error, owner string, err error) {
	if err != nil {
		failed[owner] = errors.Join(failed[owner], err)
	}
}

func joined(failed map[string]error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, fmt.Errorf("%s: %w", name, failed[name]))
	}
	return errors.Join(errs...)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
