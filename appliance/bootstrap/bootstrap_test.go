package bootstrap

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/bootstrap/bootstraptest"
)

const router = "0190aaaa-0000-7000-8000-000000000001"

func open(t *testing.T, dir string) *Identity {
	t.Helper()
	id, err := OpenIdentity(dir, router, "token")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func spki(t *testing.T, id *Identity) string {
	t.Helper()
	cert, err := id.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(cert.Leaf.RawSubjectPublicKeyInfo)
}

func TestProofFitsKeyTokenAndRequest(t *testing.T) {
	id := open(t, t.TempDir())
	d := id.Describe()
	block, _ := pem.Decode([]byte(d.CSR))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil || string(csr.RawSubjectPublicKeyInfo) != spki(t, id) {
		t.Fatalf("the request is not for the key that is served with: %v", err)
	}
	if want := agentv1.EnrolmentProof("token", router, []byte(spki(t, id)), block.Bytes); d.Proof != want || d.Enrolled {
		t.Fatalf("%+v", d)
	}
	if again := id.Describe(); again != d {
		t.Fatal("another request the second time")
	}
}

func TestIdentityOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	key := spki(t, first)
	second := open(t, dir) // killed before it was enrolled
	if spki(t, second) != key || second.Enrolled() {
		t.Fatal("the key changed")
	}
	if err := second.Install(bootstraptest.Sign(t, second.Describe().CSR, router)); err != nil {
		t.Fatal(err)
	}
	third := open(t, dir)
	cert, _ := third.Certificate(nil)
	if !third.Enrolled() || spki(t, third) != key || cert.Leaf.URIs[0].String() != agentv1.RouterURI(router) {
		t.Fatal("the certificate is lost")
	}
	if d := third.Describe(); d.CSR != "" || d.Proof != "" {
		t.Fatalf("%+v", d)
	}
	info, err := os.Stat(filepath.Join(dir, IdentityFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
}

func TestForeignOrDamagedIdentityIsReplaced(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":          func(b []byte) []byte { return b[:len(b)/2] },
		"other router": func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), router, "other")) },
		"no key":       func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "PRIVATE KEY", "NOTHING")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			id := open(t, dir)
			key := spki(t, id)
			if err := id.Install(bootstraptest.Sign(t, id.Describe().CSR, router)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, IdentityFile)
			b, _ := os.ReadFile(path)
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if fresh := open(t, dir); fresh.Enrolled() || spki(t, fresh) == key {
				t.Fatal("taken for ours")
			}
		})
	}
}

func TestInstallTakesItsOwnCertificateOnly(t *testing.T) {
	id, other := open(t, t.TempDir()), open(t, t.TempDir())
	csr := id.Describe().CSR
	for name, chain := range map[string]string{
		"nothing":      "",
		"no PEM":       "hello",
		"other key":    bootstraptest.Sign(t, other.Describe().CSR, router),
		"other router": bootstraptest.Sign(t, csr, "other"),
		"a request":    csr,
	} {
		if err := id.Install(chain); !errors.Is(err, ErrInvalidCertificate) || id.Enrolled() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := id.Rotate(); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("rotation before enrolment: %v", err)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	id := open(t, dir)
	csr := id.Describe().CSR
	first := bootstraptest.Sign(t, csr, router)
	if err := id.Install(first); err != nil {
		t.Fatal(err)
	}
	key := spki(t, id)
	if err := id.Install(first); err != nil {
		t.Fatalf("a repeated answer: %v", err)
	}
	if err := id.Install(bootstraptest.Sign(t, csr, router)); !errors.Is(err, ErrAlreadyEnrolled) {
		t.Fatalf("a replayed enrolment: %v", err)
	}
	fresh, err := id.Rotate()
	if err != nil || spki(t, id) != key {
		t.Fatalf("rotation changed the key before its answer: %v", err)
	}
	if err := id.Install(bootstraptest.Sign(t, csr, router)); !errors.Is(err, ErrInvalidCertificate) {
		t.Fatalf("a certificate for the old key: %v", err)
	}
	if err := id.Install(bootstraptest.Sign(t, fresh, router)); err != nil || spki(t, id) == key {
		t.Fatalf("rotation: %v", err)
	}
	if again := open(t, dir); spki(t, again) != spki(t, id) || !again.Enrolled() {
		t.Fatal("the new key is not stored")
	}
}

func drive() agentv1.Bootstrap {
	return agentv1.Bootstrap{
		Version: 1, RouterUUID: router, JoinToken: "t",
		Listen: netip.MustParseAddrPort("192.0.2.10:7443"),
		Interfaces: []agentv1.Interface{
			{Name: "eth1", Roles: []agentv1.Role{agentv1.RolePublic}, MAC: "02:00:00:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/24")}},
			{Name: "eth0", Roles: []agentv1.Role{agentv1.RoleManagement}, MAC: "02:00:00:00:00:01", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}},
		},
	}
}

func TestRead(t *testing.T) {
	good := drive()
	good.OrchestratorCA = authority(t)
	write := func(b agentv1.Bootstrap) string {
		dir := t.TempDir()
		raw, _ := json.Marshal(b)
		if err := os.WriteFile(filepath.Join(dir, agentv1.BootstrapFile), append(raw, '\n', 0x20), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	b, err := Read(write(good))
	if err != nil {
		t.Fatal(err)
	}
	b.ManagementRoutes = []agentv1.Route{{Prefix: netip.MustParsePrefix("198.18.0.0/15"), NextHop: netip.MustParseAddr("192.0.2.1")}}
	if nic, err := Management(b); err != nil || nic.MAC != "02:00:00:00:00:01" || !slices.Equal(nic.Routes, b.ManagementRoutes) {
		t.Fatalf("%+v, %v", nic, err)
	}
	for want, change := range map[string]func(*agentv1.Bootstrap){
		"version 2":          func(b *agentv1.Bootstrap) { b.Version = 2 },
		"routerUuid":         func(b *agentv1.Bootstrap) { b.RouterUUID = "" },
		"joinToken":          func(b *agentv1.Bootstrap) { b.JoinToken = "" },
		"orchestratorCa":     func(b *agentv1.Bootstrap) { b.OrchestratorCA = "x" },
		"listen":             func(b *agentv1.Bootstrap) { b.Listen = netip.MustParseAddrPort("0.0.0.0:7443") },
		"role management":    func(b *agentv1.Bootstrap) { b.Interfaces = b.Interfaces[:1] },
		"listen address":     func(b *agentv1.Bootstrap) { b.Listen = netip.MustParseAddrPort("203.0.113.9:7443") },
		"managementRoutes/0": func(b *agentv1.Bootstrap) { b.ManagementRoutes = make([]agentv1.Route, 1) },
		"default route": func(b *agentv1.Bootstrap) {
			b.ManagementRoutes = []agentv1.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), NextHop: netip.MustParseAddr("192.0.2.1")}}
		},
	} {
		bad := good
		change(&bad)
		if _, err := Read(write(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty drive: %v", err)
	}
}

// authority is any certificate.
func authority(t *testing.T) string {
	t.Helper()
	return bootstraptest.Sign(t, open(t, t.TempDir()).Describe().CSR, router)
}
