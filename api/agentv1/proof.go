package agentv1

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// EnrolmentProof binds a join token to the agent's TLS key and its certificate
// request: HMAC-SHA256 keyed with the token over a label, the router, the
// SubjectPublicKeyInfo of the certificate that the TLS session was made with,
// and the CSR (DER).
func EnrolmentProof(token, routerUUID string, spki, csr []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	for _, part := range [][]byte{[]byte("sluice-enrol-v1"), []byte(routerUUID), spki, csr} {
		sum := sha256.Sum256(part) // fixed width: no ambiguity between parts
		mac.Write(sum[:])
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// SPIFFE identities in the certificates' URI SANs. Orchestrators and routers
// are signed by two CAs, so that one never passes for the other.
const (
	OrchestratorURI = "spiffe://sluice/orchestrator"
	routerURIPrefix = "spiffe://sluice/router/"
)

// RouterURI is the identity of a router.
func RouterURI(uuid string) string { return routerURIPrefix + uuid }
