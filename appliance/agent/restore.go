package agent

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// restored is the accepted spec of a ledger: the last whole one with the changes
// since. All of them are taken together, so that thousands cost little.
func restored(e ledger.Entry) (Incoming, error) {
	in, err := Decode(e.Spec)
	if err != nil || len(e.Changes) == 0 {
		return in, err
	}
	var sum agentv1.Sum
	for _, raw := range e.Changes {
		var c agentv1.SpecChange
		if err := json.Unmarshal(raw, &c); err != nil {
			return Incoming{}, fmt.Errorf("parse change in ledger: %w", err)
		}
		sum.Add(c.Change)
	}
	in.Spec.Content.Sort()
	change := sum.Change()
	if in.Spec.Content, err = in.Spec.Content.Changed(change); err != nil {
		return Incoming{}, fmt.Errorf("changes in ledger: %w", err)
	}
	in.hash(in.Digest.Changed(change))
	in.Spec.Generation, in.Spec.Hash, in.Spec.Fence = e.Accepted.Generation, e.Accepted.Hash, e.Fence
	if in.ContentHash != e.Accepted.Hash {
		return Incoming{}, fmt.Errorf("changes in ledger lead to content %s, not to %s", in.ContentHash, e.Accepted.Hash)
	}
	return in, nil
}

// accepted is the JSON of the accepted spec: as it came in, unless it came as
// changes.
func (a *Agent) accepted() ([]byte, error) {
	a.admission.Lock()
	defer a.admission.Unlock()
	e, ok, err := a.cfg.Ledger.Load()
	switch {
	case err != nil:
		return nil, err
	case !ok || len(e.Spec) == 0 || a.spec == nil:
		return nil, refused(agentv1.CodeNotFound, "", "no spec was accepted yet")
	case len(e.Changes) == 0:
		return e.Spec, nil
	}
	return json.Marshal(a.spec)
}
