package agent

import (
	"net/http"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
)

func (a *Agent) getIdentity(id *bootstrap.Identity) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		d := id.Describe()
		d.BootID = a.bootID
		writeJSON(w, http.StatusOK, d)
	}
}

func (a *Agent) putIdentity(id *bootstrap.Identity) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c agentv1.Certificate
		if err := readJSON(w, r, &c); err != nil {
			writeError(w, err)
			return
		}
		if err := id.Install(c.Chain); err != nil {
			a.cfg.Log.Warn("certificate refused", "router", a.cfg.RouterUUID, "err", err)
			writeError(w, problemOf(err))
			return
		}
		a.cfg.Log.Info("enrolled", "router", a.cfg.RouterUUID)
		a.events.Add(agentv1.Event{Type: "enrolled"})
		// This session was made with the old certificate: end it, so that what
		// follows is said to the one just issued.
		w.Header().Set("Connection", "close")
		d := id.Describe()
		d.BootID = a.bootID
		writeJSON(w, http.StatusOK, d)
	}
}
