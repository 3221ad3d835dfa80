// Package libvirt runs routers through a libvirt daemon, over its wire protocol
// and without C. It is the only importer of go-libvirt and of libvirtxml. Because
// go-libvirt knows no deadline, every call here has one, after which the
// connection is closed and a new one made; events arrive on a connection of
// their own that is never unsubscribed, only closed; each upload and download
// gets its own as well, so that none of them can hold up another.
package libvirt

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// Virtualization types of Config.VirtType.
const (
	VirtAuto = "auto" // kvm if a guest really runs in it, else qemu
	VirtKVM  = "kvm"
	VirtQEMU = "qemu" // emulation (TCG)
)

// Config says which libvirt and how. The zero value is the local system daemon.
type Config struct {
	// URI is a libvirt URI of this machine: qemu:///system (default), also with
	// ?socket=/path.
	URI string
	// Dial makes the connection instead of the URI's socket, for remote hosts.
	Dial func(ctx context.Context) (net.Conn, error)
	// Host names the machine in errors. Default: this machine's name.
	Host string
	// Instance keeps several orchestrators on one libvirtd apart: it marks the
	// domains and names the storage pool. Default: sluice.
	Instance string
	// PoolPath is the directory of the storage pool if the pool must be made.
	// Default: /var/lib/libvirt/images/<Instance>.
	PoolPath string
	// VirtType is auto (default), kvm or qemu.
	VirtType string
	// CallTimeout bounds one libvirt call. Default 30 s.
	CallTimeout time.Duration
	// StreamTimeout bounds one upload or download. Default 5 min.
	StreamTimeout time.Duration
	// PingInterval is how often the event connection is asked for a sign of
	// life. Default 15 s.
	PingInterval time.Duration
	// Log gets connection losses and the choice of virtualization type.
	Log *slog.Logger
}

// Host is one libvirt daemon. It implements hypervisor.Hypervisor.
type Host struct {
	config Config
	target target
	calls  *callPool
	pool   poolRef
	virt   virtChoice
	// volumeLocks: one upload per volume name at a time in this process.
	volumeLocks keyedLocks
}

var _ hypervisor.Hypervisor = (*Host)(nil)

// New describes the host without connecting to it; the first call does. A URI
// that is not a local one needs Dial.
func New(config Config) (*Host, error) {
	config = withDefaults(config)
	if err := hypervisor.CheckVolumeName(config.Instance); err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	switch config.VirtType {
	case VirtAuto, VirtKVM, VirtQEMU:
	default:
		return nil, fmt.Errorf("%w virtualization type %q: wants auto, kvm or qemu", hypervisor.ErrInvalid, config.VirtType)
	}
	to, err := parseTarget(config)
	if err != nil {
		return nil, err
	}
	h := &Host{config: config, target: to}
	h.calls = newCallPool(to, config.CallTimeout)
	return h, nil
}

// Open is New followed by a first call and by making the storage pool, so that
// whatever is wrong with the host is known at once.
func Open(ctx context.Context, config Config) (*Host, error) {
	h, err := New(config)
	if err != nil {
		return nil, err
	}
	if _, err := h.storagePool(ctx); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Close ends the call connections. Event channels end with their contexts.
func (h *Host) Close() error {
	h.calls.close()
	return nil
}

func withDefaults(c Config) Config {
	name, _ := os.Hostname()
	c.URI = cmp.Or(c.URI, "qemu:///system")
	c.Host = cmp.Or(c.Host, name, "localhost")
	c.Instance = cmp.Or(c.Instance, "sluice")
	c.PoolPath = cmp.Or(c.PoolPath, "/var/lib/libvirt/images/"+c.Instance)
	c.VirtType = cmp.Or(c.VirtType, VirtAuto)
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	c.StreamTimeout = cmp.Or(c.StreamTimeout, 5*time.Minute)
	c.PingInterval = cmp.Or(c.PingInterval, 15*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	return c
}

// keyedLocks is a mutex per name; names are few (images and config volumes), and
// an entry leaves with its last holder.
type keyedLocks struct {
	mu   sync.Mutex
	held map[string]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int
}

func (k *keyedLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyedLock{}
	}
	l := k.held[key]
	if l == nil {
		l = &keyedLock{}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
	}
}
