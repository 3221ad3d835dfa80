package bootstrap

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/ledger"
)

// IdentityFile is where a restarted agent finds its key and certificate, in
// the state directory: on tmpfs, so the key never reaches a disk.
const IdentityFile = "identity.json"

var (
	// ErrAlreadyEnrolled: the router has a certificate and asked for no other.
	ErrAlreadyEnrolled = errors.New("router is enrolled already")
	// ErrNotEnrolled: there is no issued certificate yet.
	ErrNotEnrolled = errors.New("router is not enrolled yet")
	// ErrInvalidCertificate: the chain is not for this router's key and name.
	ErrInvalidCertificate = errors.New("certificate does not fit")
)

// Identity is the router's TLS identity. It is safe for concurrent use.
type Identity struct {
	path, router, token string

	mu       sync.Mutex
	key      *ecdsa.PrivateKey
	serving  *tls.Certificate // self-signed until enrolled
	enrolled bool
	csr      []byte            // DER, for key; the same at every request
	pending  *ecdsa.PrivateKey // of a rotation under way; not stored
}

// stored is the identity file.
type stored struct {
	RouterUUID string `json:"routerUuid"`
	Key        string `json:"key"`
	// Chain is empty until enrolled.
	Chain string `json:"chain,omitempty"`
}

// OpenIdentity takes up the identity in dir or makes a new one there. A file
// of another router, or a damaged one, is replaced: the router then has to be
// enrolled again, which is the only remedy anyway.
func OpenIdentity(dir, router, token string) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	id := &Identity{path: filepath.Join(dir, IdentityFile), router: router, token: token}
	ok, err := id.load()
	if err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	if ok {
		return id, nil
	}
	if err := id.create(); err != nil {
		return nil, fmt.Errorf("make identity: %w", err)
	}
	return id, nil
}

func (id *Identity) load() (bool, error) {
	raw, err := os.ReadFile(id.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var s stored
	if json.Unmarshal(raw, &s) != nil || s.RouterUUID != id.router {
		return false, nil
	}
	key, err := parseKey(s.Key)
	if err != nil {
		return false, nil
	}
	if err := id.adopt(key); err != nil {
		return false, err
	}
	if s.Chain == "" {
		return true, nil
	}
	cert, err := parseChain(s.Chain, key, id.router)
	if err != nil {
		return false, nil
	}
	id.serving, id.enrolled = cert, true
	return true, nil
}

func (id *Identity) create() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	if err := id.adopt(key); err != nil {
		return err
	}
	return id.save(key, "")
}

// adopt makes the self-signed certificate and the request of a key.
func (id *Identity) adopt(key *ecdsa.PrivateKey) (err error) {
	id.key = key
	if id.serving, err = selfSigned(key, id.router); err != nil {
		return err
	}
	id.csr, err = request(key, id.router)
	return err
}

func (id *Identity) save(key *ecdsa.PrivateKey, chain string) error {
	pem, err := encodeKey(key)
	if err != nil {
		return err
	}
	b, err := json.Marshal(stored{RouterUUID: id.router, Key: pem, Chain: chain})
	if err != nil {
		return err
	}
	return ledger.WriteFile(id.path, b)
}

// Certificate is what the agent serves with at this moment; it fits
// tls.Config.GetCertificate, so that a new one needs no new listener.
func (id *Identity) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.serving, nil
}

// Enrolled reports whether an orchestrator has issued a certificate.
func (id *Identity) Enrolled() bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.enrolled
}

// Describe is the answer to GET /v1/identity, BootID left out. The proof is
// over the key that all sessions before enrolment are made with.
func (id *Identity) Describe() agentv1.Identity {
	id.mu.Lock()
	defer id.mu.Unlock()
	d := agentv1.Identity{RouterUUID: id.router, Enrolled: id.enrolled}
	if !id.enrolled {
		d.CSR = encodePEM("CERTIFICATE REQUEST", id.csr)
		d.Proof = agentv1.EnrolmentProof(id.token, id.router, id.serving.Leaf.RawSubjectPublicKeyInfo, id.csr)
	}
	return d
}

// Rotate makes a new key and returns its request (PEM). The agent goes on
// serving with the old one until Install gets the answer; a repeat before that
// returns a request for another key and forgets the first.
func (id *Identity) Rotate() (string, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	if !id.enrolled {
		return "", fmt.Errorf("rotate certificate: %w", ErrNotEnrolled)
	}
	key, err := newKey()
	if err != nil {
		return "", fmt.Errorf("rotate certificate: %w", err)
	}
	csr, err := request(key, id.router)
	if err != nil {
		return "", fmt.Errorf("rotate certificate: %w", err)
	}
	id.pending = key
	return encodePEM("CERTIFICATE REQUEST", csr), nil
}

// Install takes an issued chain (PEM, leaf first) for the key of the
// enrolment request or of the last rotation; new sessions are made with it at
// once. Installing the chain that is in use is nil: an answer may have been
// lost. Errors: ErrAlreadyEnrolled, ErrInvalidCertificate, or of the file.
func (id *Identity) Install(chain string) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	key := id.key
	if id.enrolled {
		if sameLeaf(chain, id.serving) {
			return nil
		}
		if id.pending == nil {
			return fmt.Errorf("install certificate: %w", ErrAlreadyEnrolled)
		}
		key = id.pending
	}
	cert, err := parseChain(chain, key, id.router)
	if err != nil {
		return fmt.Errorf("install certificate: %w: %w", ErrInvalidCertificate, err)
	}
	if err := id.save(key, chain); err != nil { // stored first: a kill in between loses nothing
		return fmt.Errorf("install certificate: %w", err)
	}
	id.key, id.serving, id.enrolled, id.pending, id.csr = key, cert, true, nil, nil
	return nil
}
