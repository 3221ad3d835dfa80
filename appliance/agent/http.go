package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
)

// Tools are the parts of the router that only commands use. Nil ones answer
// not-found.
type Tools struct {
	// Probe checks something from inside the router.
	Probe func(context.Context, agentv1.Probe) agentv1.ProbeResult
	// Diagnose returns texts for people, by section.
	Diagnose func(context.Context) map[string]string
	// FlushConntrack forgets all tracked connections.
	FlushConntrack func(context.Context) error
	// Reboot ends the router's operating system once the answer is out. Nil
	// where the agent has none of its own.
	Reboot func() error
}

// Handler is the whole API, for a listener that lets nobody in but the
// orchestrator (see ServerTLS). Until the router is enrolled only its identity,
// health and metrics answer.
func (a *Agent) Handler(id *bootstrap.Identity, tools Tools) http.Handler {
	mux := http.NewServeMux()
	a.readOnly(mux)
	mux.Handle("GET "+agentv1.PathIdentity, a.getIdentity(id))
	mux.Handle("PUT "+agentv1.PathIdentity, a.putIdentity(id))
	mux.HandleFunc("PUT "+agentv1.PathSpec, takes(a.Put))
	mux.HandleFunc("PATCH "+agentv1.PathSpec, takes(a.Patch))
	mux.Handle("POST "+agentv1.PathCommands+"{name}", a.commands(id, tools))
	return enrolledOnly(id, mux)
}

// ReadOnlyHandler is what may be shown without TLS on a loopback address:
// nothing that changes the router.
func (a *Agent) ReadOnlyHandler() http.Handler {
	mux := http.NewServeMux()
	a.readOnly(mux)
	return mux
}

func (a *Agent) readOnly(mux *http.ServeMux) {
	mux.HandleFunc("GET "+agentv1.PathSpec, a.getSpec)
	mux.HandleFunc("GET "+agentv1.PathStatus, a.getStatus)
	mux.HandleFunc("GET "+agentv1.PathEvents, a.getEvents)
	mux.HandleFunc("GET "+agentv1.PathMetrics, a.getMetrics)
	mux.HandleFunc("GET "+agentv1.PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, refused(agentv1.CodeNotFound, "", "%s %s is no call of this agent", r.Method, r.URL.Path))
	})
}

// enrolledOnly keeps a router that has no identity yet from being told
// anything: its self-signed certificate does not say who it is, so a spec with
// a guest's addresses in it could reach the wrong one.
func enrolledOnly(id *bootstrap.Identity, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case agentv1.PathIdentity, agentv1.PathHealth, agentv1.PathMetrics:
		default:
			if !id.Enrolled() {
				writeError(w, refused(agentv1.CodeNotEnrolled, "",
					"the router has no certificate yet; enrol it through %s", agentv1.PathIdentity))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Agent) getStatus(w http.ResponseWriter, r *http.Request) {
	s := a.Status(r.Context())
	if r.URL.Query().Has("brief") {
		writeJSON(w, http.StatusOK, s)
		return
	}
	found := a.cfg.Router.Found()
	s.Interfaces, s.Leases = found.Interfaces, found.Leases
	var err error
	if s.Traffic, err = a.cfg.Router.Traffic(); err != nil { // the rest is worth having
		s.Warnings = append(s.Warnings, err.Error())
	}
	writeJSON(w, http.StatusOK, s)
}

func (a *Agent) getSpec(w http.ResponseWriter, _ *http.Request) {
	raw, err := a.accepted()
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}

// takes answers with what was reached of a spec, or a change of one.
func takes(take func(context.Context, []byte) (agentv1.RouterStatus, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := readBody(w, r, MaxSpecBytes)
		if err != nil {
			writeError(w, err)
			return
		}
		status, err := take(r.Context(), raw)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, status)
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

func writeError(w http.ResponseWriter, err error) {
	var r *RefusedError
	if !errors.As(err, &r) {
		r = &RefusedError{Problem: problem(agentv1.CodeInternal, "", "%v", err)}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(httpStatus(r.Problem.Code))
	_ = json.NewEncoder(w).Encode(r.Problem)
}

// httpStatus is the one place where codes become HTTP's.
func httpStatus(code string) int {
	switch code {
	case agentv1.CodeOlderGeneration, agentv1.CodeConflictingContent, agentv1.CodeOtherBase, agentv1.CodeLowerFence,
		agentv1.CodeWrongRouter, agentv1.CodeNotEnrolled, agentv1.CodeAlreadyEnrolled:
		return http.StatusConflict
	case agentv1.CodeInvalidSpec, agentv1.CodeUnsupportedVersion, agentv1.CodeInvalidCertificate:
		return http.StatusUnprocessableEntity
	case agentv1.CodeInvalidRequest:
		return http.StatusBadRequest
	case agentv1.CodeNotFound:
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// problemOf maps errors of the identity to codes.
func problemOf(err error) error {
	for cause, code := range map[error]string{
		bootstrap.ErrAlreadyEnrolled:    agentv1.CodeAlreadyEnrolled,
		bootstrap.ErrNotEnrolled:        agentv1.CodeNotEnrolled,
		bootstrap.ErrInvalidCertificate: agentv1.CodeInvalidCertificate,
	} {
		if errors.Is(err, cause) {
			return refused(code, "", "%v", err)
		}
	}
	return err
}

func isGzip(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("Content-Encoding")), "gzip")
}
