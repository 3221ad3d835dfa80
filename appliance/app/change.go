package app

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/agent"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
)

// Change implements agent.Router: what the change concerns is changed, and
// wherever that is not enough the whole is applied.
func (r *Router) Change(ctx context.Context, next agentv1.Content, ch agentv1.Change) (agent.Reached, error) {
	did, ok := r.change(ctx, next, ch)
	if ok {
		return did, nil
	}
	all, err := r.Apply(ctx, next)
	return agent.Reached{Writes: did.Writes + all.Writes, Steps: slices.Concat(did.Steps, all.Steps)}, err
}

func (r *Router) change(ctx context.Context, next agentv1.Content, ch agentv1.Change) (did agent.Reached, ok bool) {
	r.mu.Lock()
	links, failed := r.links, len(r.failed) > 0
	r.mu.Unlock()
	if links == nil || failed {
		return did, false
	}
	reached, err := r.plane.Change(ctx, r.edit(next, ch, links))
	did = agent.Reached{Writes: reached.Writes, Steps: reached.Steps}
	if err != nil {
		return did, false
	}
	for _, s := range r.services.Servers {
		err = errors.Join(err, follow(ctx, s, next, ch, links))
	}
	if err != nil {
		return did, false
	}
	r.mu.Lock()
	r.content = next
	r.mu.Unlock()
	return did, true
}

func (r *Router) edit(next agentv1.Content, ch agentv1.Change, links dataplane.Links) (all dataplane.Edit) {
	for _, p := range r.services.Planners {
		if e, ok := p.(Editor); ok {
			all.Append(e.Edit(next, ch, links))
		}
	}
	return all
}

// follow has a server follow a change; of one that cannot, it is known what
// lists it serves by.
func follow(ctx context.Context, s Server, next agentv1.Content, ch agentv1.Change, links dataplane.Links) error {
	if c, ok := s.(Changer); ok {
		return c.Change(ctx, next, ch, links)
	}
	if ch.Len() == 0 || len(ch.DHCP)+len(ch.DNS) > 0 {
		return s.Apply(ctx, next, links)
	}
	return nil
}
