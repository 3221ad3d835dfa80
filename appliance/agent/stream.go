package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// keepAlive is how often a silent stream says that it is still there.
const keepAlive = 15 * time.Second

// getEvents streams events (server-sent events, WHATWG HTML 9.2): those after
// Last-Event-ID where it is given, else only new ones.
func (a *Agent) getEvents(w http.ResponseWriter, r *http.Request) {
	seen := a.events.Last()
	if s := r.Header.Get("Last-Event-ID"); s != "" {
		id, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			writeError(w, refused(agentv1.CodeInvalidRequest, "", "Last-Event-ID %q is no number", s))
			return
		}
		seen = id
	}
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // the server's own is for answers that end
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil {
		return
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		fresh, more := a.events.After(seen)
		for _, ev := range fresh {
			if writeEvent(w, ev) != nil {
				return
			}
			seen = ev.ID
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-tick.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
	}
}

func writeEvent(w http.ResponseWriter, ev agentv1.Event) error {
	data, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", ev.ID, ev.Type, data)
	return err
}
