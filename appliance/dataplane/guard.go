package dataplane

import "context"

// Guard ends forwarding if the rules that it depends on were taken away since
// the last Apply, and returns whether it did; closed says whether those of the
// sluice table stand.
// The next Apply puts the rules back, and then forwarding.
func (p *Plane) Guard(ctx context.Context, closed func(rules map[ChainID][]string) (bool, error)) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.forwards {
		return false, nil
	}
	if ok, err := closed(p.rules); ok || err != nil {
		return false, err
	}
	p.forwards, p.reached = false, false
	return true, p.kernel.Do(ctx, SetSysctl{keyForward, "0", ownerPlane})
}
