package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap"
)

// command is one of a closed list: there is no way to name a program or file.
type command func(ctx context.Context, body []byte) (any, error)

func (a *Agent) commands(id *bootstrap.Identity, tools Tools) http.HandlerFunc {
	list := a.commandList(id, tools)
	answers := newAnswers(answersKept)
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		run, ok := list[name]
		if !ok {
			writeError(w, refused(agentv1.CodeNotFound, "", "no command %q", name))
			return
		}
		body, err := readBody(w, r, maxSmallBytes)
		if err != nil {
			writeError(w, err)
			return
		}
		do := func() answer {
			// An answer that others may get must not depend on whether the
			// first caller stayed on the line.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), applyTimeout)
			defer cancel()
			return answerOf(run(ctx, body))
		}
		ans, err := answers.once(r.Context(), r.Header.Get(agentv1.IdempotencyHeader), name+"\n"+string(body), do)
		if err != nil {
			writeError(w, err)
			return
		}
		ans.write(w)
	}
}

func (a *Agent) commandList(id *bootstrap.Identity, tools Tools) map[string]command {
	list := map[string]command{
		agentv1.CommandPing: func(context.Context, []byte) (any, error) {
			return agentv1.PingResult{Now: time.Now().UTC()}, nil
		},
		agentv1.CommandResync: func(ctx context.Context, _ []byte) (any, error) { return a.Resync(ctx) },
		agentv1.CommandRotateCertificate: func(context.Context, []byte) (any, error) {
			csr, err := id.Rotate()
			if err != nil {
				return nil, problemOf(err)
			}
			return agentv1.CertificateRequest{CSR: csr}, nil
		},
	}
	if tools.Diagnose != nil {
		list[agentv1.CommandDiagnostics] = func(ctx context.Context, _ []byte) (any, error) {
			return agentv1.Diagnostics{Sections: tools.Diagnose(ctx)}, nil
		}
	}
	if tools.FlushConntrack != nil {
		list[agentv1.CommandFlushConntrack] = func(ctx context.Context, _ []byte) (any, error) {
			return struct{}{}, tools.FlushConntrack(ctx)
		}
	}
	if tools.Reboot != nil {
		list[agentv1.CommandReboot] = func(context.Context, []byte) (any, error) { return struct{}{}, tools.Reboot() }
	}
	if tools.Probe != nil {
		list[agentv1.CommandProbe] = func(ctx context.Context, body []byte) (any, error) {
			var p agentv1.Probe
			if err := json.Unmarshal(body, &p); err != nil {
				return nil, refused(agentv1.CodeInvalidRequest, "", "parse probe: %v", err)
			}
			return tools.Probe(ctx, p), nil
		}
	}
	return list
}
