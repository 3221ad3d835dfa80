package libvirt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/hypervisortest"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor/libvirt"
)

func TestLibvirtConforms(t *testing.T) {
	p := needPrivate(t)
	disk := qcow2(t)
	hypervisortest.Run(t, func(t *testing.T) *hypervisortest.Host {
		return conformHost(t, p, disk)
	})
}

func conformHost(t *testing.T, p *privateLibvirt, disk []byte) *hypervisortest.Host {
	dialer := &breakable{socket: p.socket}
	host, err := libvirt.Open(t.Context(), libvirt.Config{Dial: dialer.dial, VirtType: libvirt.VirtQEMU})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		host.Close()
		p.clean()
	})
	name := func(t *testing.T, id string) string { return strings.TrimSpace(p.virsh("domname", id)) }
	return &hypervisortest.Host{
		Hypervisor: host,
		Kernel:     tinyKernel(), Disk: disk, Bridge: bridge,
		Kill: func(t *testing.T, id string) {
			if out := p.virsh("destroy", id); strings.Contains(out, "error") {
				t.Fatal(out)
			}
		},
		Crash: func(t *testing.T, id string) {
			if err := p.killQEMU(name(t, id)); err != nil {
				t.Fatal(err)
			}
		},
		StartGuest: func(t *testing.T, id, name, mac string) { startGuest(t, p, id, name, mac) },
		Break:      func(*testing.T) { dialer.set(true) },
		Mend:       func(*testing.T) { dialer.set(false) },
	}
}

func startGuest(t *testing.T, p *privateLibvirt, id, name, mac string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.xml")
	xml := fmt.Sprintf(`<domain type='qemu'><uuid>%s</uuid><name>%s</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><interface type='bridge'><mac address='%s'/>
<source bridge='%s'/><model type='virtio'/></interface></devices></domain>`, id, name, mac, bridge)
	if err := os.WriteFile(file, []byte(xml), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := p.virsh("create", file); strings.Contains(out, "error") {
		t.Fatalf("start guest: %s", out)
	}
}

// breakable dials until it is broken, which also cuts what it dialled.
type breakable struct {
	socket string
	mu     sync.Mutex
	broken bool
	conns  []net.Conn
}

func (b *breakable) dial(ctx context.Context) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return nil, errors.New("broken on purpose")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", b.socket)
	if err == nil {
		b.conns = append(b.conns, c)
	}
	return c, err
}

func (b *breakable) set(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
	if broken {
		for _, c := range b.conns {
			c.Close()
		}
		b.conns = nil
	}
}

// word is machine code for 16-bit mode that writes "SL" to the first serial port
// and halts.
var word = []byte{0xba, 0xf8, 0x03, 0xb0, 'S', 0xee, 0xb0, 'L', 0xee, 0xfa, 0xf4, 0xeb, 0xfd}

// tinyKernel is a bzImage whose real-mode part does all there is: no kernel
// package is needed to boot directly. The fields are those of the Linux/x86 boot
// protocol (Documentation/arch/x86/boot.rst), version 2.04.
func tinyKernel() []byte {
	image := make([]byte, 2048)
	image[0x1f1] = 1 // one setup sector after the first
	image[0x1fe], image[0x1ff] = 0x55, 0xaa
	copy(image[0x200:], []byte{0xeb, 0x7e}) // jmp 0x280
	copy(image[0x202:], "HdrS\x04\x02")
	image[0x211] = 1 // loaded high
	image[0x216] = 0x10
	copy(image[0x280:], word)
	return image
}

// qcow2 is a disk whose boot sector does the same.
func qcow2(t *testing.T) []byte {
	t.Helper()
	raw := make([]byte, 1<<20)
	copy(raw, word)
	raw[510], raw[511] = 0x55, 0xaa
	dir := t.TempDir()
	from, to := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	if err := os.WriteFile(from, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", from, to).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
