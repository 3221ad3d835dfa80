package vm

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/imagebuild"
)

// TestDomainStartedByVirsh starts a tenant's machine by virsh alone: it has its
// lease although no router was there, and what it had is withdrawn when it
// ends. One that is started while the server is down is noticed afterwards.
func TestDomainStartedByVirsh(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	vm := s.vm("web")
	m := s.machine(vm)

	m.start()
	m.leases()
	got := s.becomes(vm, v1.StateRunning)
	if got.HostUUID == "" || got.DomainUUID == "" || got.Conditions[0].Reason != "Hypervisor" {
		t.Errorf("the VM is %+v", got)
	}
	s.oneRouter()
	m.end()
	if got := s.becomes(vm, v1.StateStopped); got.DomainUUID != "" {
		t.Errorf("the VM is %+v", got)
	}

	s.Lab.Kill("server")
	m.start()
	s.check(s.Serve(t.Context()))
	m.leases()
	s.becomes(vm, v1.StateRunning)
	s.Lab.Kill("server")
	m.end()
	s.check(s.Serve(t.Context()))
	s.becomes(vm, v1.StateStopped)
	s.nothingLeft()
}

// becomes waits until a VM has a state.
func (s *site) becomes(vm, state string) (got v1.VMInstance) {
	s.Helper()
	for end := time.Now().Add(30 * time.Second); got.State != state; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("VM is %s, want %s: %+v", got.State, state, got.Conditions)
		}
		got = v1.VMInstance{} // or fields that are left out keep what they were
		s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/vm-instances/"+vm, nil, &got))
	}
	return got
}

// machine is a tenant's: a kernel, and busybox with its DHCP client.
type machine struct {
	*site
	name, ip, xml, console string
}

const machineXML = `<domain type='qemu'>
  <name>%s</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel><initrd>%s</initrd><cmdline>console=ttyS0 quiet panic=-1 net.ifnames=0</cmdline></os>
  <on_crash>destroy</on_crash>
  <devices>
    <serial type='file'><source path='%s'/></serial>
    %s
  </devices>
</domain>
`

func (s *site) machine(vm string) *machine {
	s.Helper()
	dir := "/var/lib/libvirt/images/" + s.Prefix + "guest" // where QEMU may read
	s.check(os.MkdirAll(dir, 0o755))
	m := &machine{site: s, name: s.Prefix + "web", xml: filepath.Join(dir, "domain.xml"), console: filepath.Join(dir, "console")}
	s.Cleanup(func() {
		m.end()
		s.check(os.RemoveAll(dir))
	})
	kernel, initrd, err := imagebuild.Payload{
		Modules: strings.Fields("virtio_pci virtio_net"), Programs: []string{"/bin/busybox"}, Busybox: "/bin/busybox", Cache: "/var/cache/sluice/image-cache",
		// -s: a script is demanded; the client itself says what it was given.
		Args: []string{"sh", "-c", "'ip link set eth0 up; udhcpc -f -q -i eth0 -t 90 -T 2 -s /bin/busybox; sleep 3600'"},
	}.Build(s.Context(), dir)
	s.check(err)
	b, err := os.ReadFile(kernel)
	s.check(err)
	kernel = filepath.Join(dir, "vmlinuz")
	s.check(os.WriteFile(kernel, b, 0o644))

	var row v1.VMInstance
	s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/vm-instances/"+vm, nil, &row))
	m.ip = row.Nics[0].IP.String()
	nics, err := s.Lab.Host(s.Context(), s.Sluice, "--server", s.Server(), "vm-instance", "libvirt-xml", "web")
	s.check(err)
	s.check(os.WriteFile(m.xml, fmt.Appendf(nil, machineXML, m.name, kernel, initrd, m.console, nics), 0o644))
	return m
}

func (m *machine) start() {
	m.Helper()
	_ = os.Remove(m.console)
	_, err := m.Lab.Host(m.Context(), "virsh", "-c", "qemu:///system", "create", m.xml)
	m.check(err)
}

func (m *machine) end() {
	_, _ = m.Lab.Host(context.WithoutCancel(m.Context()), "virsh", "-c", "qemu:///system", "destroy", m.name)
}

// leases waits until the machine's own client has the VM's address.
func (m *machine) leases() {
	m.Helper()
	want := "lease of " + m.ip + " obtained"
	var text []byte
	for end := time.Now().Add(3 * time.Minute); !strings.Contains(string(text), want); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("no %q on the console:\n%s", want, text)
		}
		text, _ = os.ReadFile(m.console)
	}
}
