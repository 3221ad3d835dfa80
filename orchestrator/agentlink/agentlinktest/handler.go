package agentlinktest

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func onlyOrchestrators(s tls.ConnectionState) error {
	uris := s.PeerCertificates[0].URIs
	if len(uris) != 1 || uris[0].String() != agentv1.OrchestratorURI {
		return errors.New("not an orchestrator")
	}
	return nil
}

func (a *Agent) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(*http.Request) (any, *refusal){
		"GET " + agentv1.PathIdentity:             a.getIdentity,
		"PUT " + agentv1.PathIdentity:             a.putIdentity,
		"GET " + agentv1.PathSpec:                 a.enrolledOnly(a.getSpec),
		"PUT " + agentv1.PathSpec:                 a.enrolledOnly(a.putSpec),
		"PATCH " + agentv1.PathSpec:               a.enrolledOnly(a.patchSpec),
		"GET " + agentv1.PathStatus:               a.enrolledOnly(a.getStatus),
		"POST " + agentv1.PathCommands + "{name}": a.enrolledOnly(a.command),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			a.mu.Lock()
			v, no := answer(r)
			a.mu.Unlock()
			if no != nil {
				w.WriteHeader(no.status)
				_ = json.NewEncoder(w).Encode(agentv1.Problem{Code: no.code, Detail: "refused by the fake agent"})
				return
			}
			if r.Method == http.MethodPut && r.URL.Path == agentv1.PathIdentity {
				w.Header().Set("Connection", "close")
			}
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	return mux
}

// refusal is a status and a code.
type refusal struct {
	status int
	code   string
}

func (a *Agent) enrolledOnly(next func(*http.Request) (any, *refusal)) func(*http.Request) (any, *refusal) {
	return func(r *http.Request) (any, *refusal) {
		if !a.enrolled {
			return nil, &refusal{http.StatusConflict, agentv1.CodeNotEnrolled}
		}
		return next(r)
	}
}

func (a *Agent) getIdentity(*http.Request) (any, *refusal) {
	id := agentv1.Identity{RouterUUID: a.boot.RouterUUID, BootID: a.bootID, Enrolled: a.enrolled}
	if !a.enrolled {
		csr := request(a.key)
		id.CSR = encodeCSR(csr)
		id.Proof = agentv1.EnrolmentProof(a.boot.JoinToken, a.boot.RouterUUID, a.cert.Leaf.RawSubjectPublicKeyInfo, csr)
	}
	return id, nil
}

func (a *Agent) putIdentity(r *http.Request) (any, *refusal) {
	var c agentv1.Certificate
	if json.NewDecoder(r.Body).Decode(&c) != nil {
		return nil, &refusal{http.StatusBadRequest, agentv1.CodeInvalidRequest}
	}
	block, _ := pem.Decode([]byte(c.Chain))
	if block == nil {
		return nil, &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidCertificate}
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	key := a.key
	if a.enrolled {
		if leaf.Equal(a.cert.Leaf) {
			return struct{}{}, nil
		}
		if key = a.pending; key == nil {
			return nil, &refusal{http.StatusConflict, agentv1.CodeAlreadyEnrolled}
		}
	}
	if err != nil || !key.PublicKey.Equal(leaf.PublicKey) || len(leaf.URIs) != 1 ||
		leaf.URIs[0].String() != agentv1.RouterURI(a.boot.RouterUUID) {
		return nil, &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidCertificate}
	}
	a.key, a.pending, a.enrolled = key, nil, true
	a.cert = &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf}
	return struct{}{}, nil
}

func (a *Agent) getSpec(*http.Request) (any, *refusal) {
	if a.accepted.Generation == 0 {
		return nil, &refusal{http.StatusNotFound, agentv1.CodeNotFound}
	}
	return a.accepted, nil
}

func (a *Agent) getStatus(r *http.Request) (any, *refusal) {
	s := a.status()
	if r.URL.Query().Has("brief") {
		s.Interfaces, s.Leases = nil, nil
	}
	return s, nil
}

func (a *Agent) putSpec(r *http.Request) (any, *refusal) {
	a.pushes++
	var s agentv1.RouterSpec
	if no := read(r, &s); no != nil {
		return nil, no
	}
	return a.take(s, s.Content.Hash())
}

func (a *Agent) patchSpec(r *http.Request) (any, *refusal) {
	a.pushes++
	a.patches++
	var c agentv1.SpecChange
	if no := read(r, &c); no != nil {
		return nil, no
	}
	s := agentv1.RouterSpec{Version: c.Version, RouterUUID: c.RouterUUID, Generation: c.Generation, Hash: c.Hash, Fence: c.Fence}
	if c.BaseHash != a.accepted.Hash {
		if no := a.judge(s, c.Hash); no != nil || c.Generation == a.accepted.Generation {
			return a.status(), no
		}
		return nil, &refusal{http.StatusConflict, agentv1.CodeOtherBase}
	}
	next, err := a.accepted.Content.Changed(c.Change)
	if err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidSpec}
	}
	s.Content = next
	return a.take(s, next.Hash())
}

// read parses a body, of gzip where it says so.
func read(r *http.Request, into any) *refusal {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return &refusal{http.StatusBadRequest, agentv1.CodeInvalidRequest}
		}
		body = z
	}
	if json.NewDecoder(body).Decode(into) != nil {
		return &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidSpec}
	}
	return nil
}

func (a *Agent) take(s agentv1.RouterSpec, hash string) (any, *refusal) {
	if no := a.judge(s, hash); no != nil {
		return nil, no
	}
	a.accepted = s
	a.apply()
	return a.status(), nil
}

// judge has the agent's rules, in the agent's order.
func (a *Agent) judge(s agentv1.RouterSpec, hash string) *refusal {
	switch {
	case s.Version > agentv1.SpecVersion:
		return &refusal{http.StatusUnprocessableEntity, agentv1.CodeUnsupportedVersion}
	case s.Version < 1 || s.Generation == 0:
		return &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidSpec}
	case s.RouterUUID != a.boot.RouterUUID:
		return &refusal{http.StatusConflict, agentv1.CodeWrongRouter}
	case s.Hash != hash:
		return &refusal{http.StatusUnprocessableEntity, agentv1.CodeInvalidSpec}
	case s.Fence < a.fence:
		return &refusal{http.StatusConflict, agentv1.CodeLowerFence}
	}
	a.fence = s.Fence
	switch {
	case s.Generation < a.accepted.Generation:
		return &refusal{http.StatusConflict, agentv1.CodeOlderGeneration}
	case s.Generation == a.accepted.Generation && s.Hash != a.accepted.Hash:
		return &refusal{http.StatusConflict, agentv1.CodeConflictingContent}
	}
	return nil
}

func (a *Agent) command(r *http.Request) (any, *refusal) {
	switch r.PathValue("name") {
	case agentv1.CommandPing:
		return agentv1.PingResult{Now: time.Now().UTC()}, nil
	case agentv1.CommandResync:
		a.apply()
		return a.status(), nil
	case agentv1.CommandReboot:
		if a.onReboot == nil {
			return nil, &refusal{http.StatusNotFound, agentv1.CodeNotFound}
		}
		go a.onReboot() // after the answer
		return struct{}{}, nil
	case agentv1.CommandDiagnostics:
		return agentv1.Diagnostics{Sections: map[string]string{"logs": fmt.Sprintf("accepted generation %d\n", a.status().AcceptedGeneration)}}, nil
	case agentv1.CommandRotateCertificate:
		a.pending, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return agentv1.CertificateRequest{CSR: encodeCSR(request(a.pending))}, nil
	}
	return nil, &refusal{http.StatusNotFound, agentv1.CodeNotFound}
}

func request(key *ecdsa.PrivateKey) []byte {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		panic(err) // a constant template
	}
	return csr
}

func encodeCSR(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
