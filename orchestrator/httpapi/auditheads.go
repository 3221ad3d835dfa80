package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
)

// Each server notes the head of its chain in the store that it shares with
// others: so each knows whose records it does not have, and verification whether
// the end of a chain was cut off.
const (
	headPrefix = "audit/heads/"
	// noteEvery is how often a chain that grows is noted, and renoteEvery one that
	// does not.
	noteEvery   = time.Minute
	renoteEvery = 10 * time.Minute
	// lastNote is how long the last note may take while the server ends.
	lastNote = 2 * time.Second
)

// noteHeads notes the head of this server's chain until the context ends, and
// then once more.
func (a *API) noteHeads(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	var last v1.AuditElsewhere
	for {
		a.noteHead(ctx, &last)
		select {
		case <-tick.C:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastNote)
			defer cancel()
			a.noteHead(ctx, &last)
			return
		}
	}
}

// noteHead writes it, unless that would be no news. What fails is tried again.
func (a *API) noteHead(ctx context.Context, last *v1.AuditElsewhere) {
	note := v1.AuditElsewhere{Server: a.auditServer, Head: a.audit.Head(ctx), Noted: a.now().UTC().Truncate(time.Second)}
	if note.Head == last.Head && note.Noted.Sub(last.Noted) < renoteEvery {
		return
	}
	b, _ := json.Marshal(note) // texts, numbers and times
	if err := a.store.Private().Put(ctx, headPrefix+note.Head.Chain, b); err != nil {
		a.log.Warn("head of the audit chain not noted in the store, trying again", "err", err)
		return
	}
	*last = note
}

// notedHeads are those of the chains in this server's directory, as records that
// have to be there, and those of the others.
func (a *API) notedHeads(ctx context.Context) (here []audit.Expectation, elsewhere []v1.AuditElsewhere, err error) {
	chains, err := a.audit.Chains()
	if err != nil {
		return nil, nil, unreadable(err)
	}
	noted, err := a.store.Private().Entries(ctx, headPrefix)
	if err != nil {
		return nil, nil, v1.Unavailable("store-unavailable", "the heads of audit chains cannot be read; retry").Because(err)
	}
	for _, e := range noted {
		var n v1.AuditElsewhere
		switch err := json.Unmarshal(e.Value, &n); {
		case err != nil: // of a newer version, perhaps
			a.log.Warn("noted head of an audit chain not understood", "chain", strings.TrimPrefix(e.Key, headPrefix), "err", err)
		case slices.Contains(chains, n.Head.Chain):
			here = append(here, audit.Expectation{Chain: n.Head.Chain, Number: n.Head.Number, Hash: n.Head.Hash, Aged: true})
		default:
			elsewhere = append(elsewhere, n)
		}
	}
	return here, elsewhere, nil
}
