package agentv1

import "net/netip"

// Files on the config drive (volume label cidata).
const (
	// ConfigLabel is the ISO 9660 volume label of the config drive.
	ConfigLabel = "cidata"
	// BootstrapFile holds a Bootstrap as JSON.
	BootstrapFile = "sluice.json"
	// AgentPort is where the agent listens, TCP, on the management address only.
	AgentPort = 7443
)

// Bootstrap is what a router knows when it boots. Nothing in it is worth
// stealing for long: the token proves the router's identity once, within ten
// minutes, and is no use to anybody who is not also reached by the
// orchestrator at the management address.
type Bootstrap struct {
	// Version is 1.
	Version    int    `json:"version"`
	RouterUUID string `json:"routerUuid"`
	Hostname   string `json:"hostname"`
	// Interfaces: the management nic is configured at once, the rest with the
	// first spec.
	Interfaces []Interface `json:"interfaces"`
	// ManagementRoutes lead to orchestrators off the management subnet, as the
	// management interface's Routes do from the first spec on.
	ManagementRoutes []Route `json:"managementRoutes,omitempty"`
	// Listen is the management address and port of the agent.
	Listen netip.AddrPort `json:"listen"`
	// OrchestratorCA (PEM) signs orchestrators' client certificates.
	OrchestratorCA string `json:"orchestratorCa"`
	// JoinToken is 32 random bytes, base64url.
	JoinToken string `json:"joinToken"`
}

// Enrolment, over TLS on AgentPort. The agent makes a key and serves with a
// self-signed certificate until it is enrolled. The orchestrator dials it with
// its client certificate (so the agent knows who asks) and reads GET
// /v1/identity; Proof shows that the answer comes from the holder of the join
// token and belongs to this very TLS session, so nobody in between can put a
// request of his own in. It answers with PUT /v1/identity. From then on the
// agent serves with the issued certificate only.

// Identity is the answer to GET /v1/identity.
type Identity struct {
	RouterUUID string `json:"routerUuid"`
	BootID     string `json:"bootId"`
	// Enrolled: a certificate was issued already; CSR and Proof are then empty.
	Enrolled bool `json:"enrolled"`
	// CSR is a PKCS #10 request (PEM) for the agent's key.
	CSR string `json:"csr,omitempty"`
	// Proof is EnrolmentProof in hex.
	Proof string `json:"proof,omitempty"`
}

// Certificate is the body of PUT /v1/identity.
type Certificate struct {
	// Chain is PEM, leaf first. The leaf's URI SAN is router/<uuid> in
	// spiffe form: spiffe://sluice/router/<uuid>.
	Chain string `json:"chain"`
}
