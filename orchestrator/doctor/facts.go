package doctor

import (
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Config is what the server on this machine runs with, by the same flags.
type Config struct {
	DataDir  string `json:"dataDir"`
	Listen   string `json:"listen"`
	Instance string `json:"instance"`
	// LibvirtURI of this machine; empty: that of its host in the store, else
	// the system's.
	LibvirtURI string `json:"libvirtUri,omitempty"`
	// EtcdQuota is the size of etcd's database, in bytes, at which it takes no
	// more writes.
	EtcdQuota int64 `json:"etcdQuota"`
}

// Facts are everything that checks look at. Errors are texts: facts can be
// written down and judged elsewhere.
type Facts struct {
	Config  Config  `json:"config"`
	Server  Server  `json:"server"`
	Site    *Site   `json:"site,omitempty"` // nil while the server does not answer
	Machine Machine `json:"machine"`
	Libvirt Libvirt `json:"libvirt"`
	Images  []Image `json:"images,omitempty"`
	// L2s that have to be real on this machine.
	L2s []L2 `json:"l2s,omitempty"`
}

// Server is how the server answered.
type Server struct {
	Address string `json:"address"`
	// Local: it was asked on this machine's unix socket.
	Local   bool   `json:"local"`
	Version string `json:"version,omitempty"`
	Client  string `json:"client"` // version of this program
	// Error is why it did not answer; Refused, why it answered and let nobody in.
	Error   string `json:"error,omitempty"`
	Refused string `json:"refused,omitempty"`
	// Behind is what /readyz complained about.
	Behind string `json:"behind,omitempty"`
	// Token is the --token-file; empty: none is used.
	Token SecretFile `json:"token"`
}

// SecretFile is a file that only its owner may read.
type SecretFile struct {
	Path  string `json:"path,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
	Error string `json:"error,omitempty"`
}

// Site is what the server knows.
type Site struct {
	Hosts   []v1.Host          `json:"hosts"`
	L2s     []v1.L2Network     `json:"l2s"`
	Images  []v1.Image         `json:"images"`
	Routers []v1.VirtualRouter `json:"routers"`
}

// Machine is what the kernel and the files of this machine say.
type Machine struct {
	Root bool      `json:"root"`
	Now  time.Time `json:"now"`
	// ClockSynced is the kernel's word; ClockError, why it gave none.
	ClockSynced bool   `json:"clockSynced"`
	ClockError  string `json:"clockError,omitempty"`
	// Modules by name: loaded, built-in, loadable or missing.
	Modules map[string]string `json:"modules"`
	Tun     bool              `json:"tun"` // /dev/net/tun is there
	KVM     bool              `json:"kvm"` // /dev/kvm is there
	// BridgeFilter: frames between ports of a bridge pass iptables.
	BridgeFilter bool `json:"bridgeFilter"`
	// ForwardPolicy of iptables' FORWARD chain, ACCEPT or DROP; empty with
	// ForwardError.
	ForwardPolicy string `json:"forwardPolicy,omitempty"`
	ForwardError  string `json:"forwardError,omitempty"`
	// Bridges named as the server names them.
	Bridges []string `json:"bridges,omitempty"`
	// ListenError is why the server's port cannot be had.
	ListenError string     `json:"listenError,omitempty"`
	AdminToken  SecretFile `json:"adminToken"`
	Data        Data       `json:"data"`
}

// Data is the disk under the data directory.
type Data struct {
	Dir     string `json:"dir"`
	Missing bool   `json:"missing"` // not made yet; its parent was looked at
	Error   string `json:"error,omitempty"`
	Free    int64  `json:"free"`   // bytes
	DBSize  int64  `json:"dbSize"` // bytes
	// Fsync are the median and the worst of some writes of 4 KiB.
	FsyncMedian time.Duration `json:"fsyncMedian"`
	FsyncWorst  time.Duration `json:"fsyncWorst"`
}

// Libvirt is how this machine's libvirt answered.
type Libvirt struct {
	URI   string `json:"uri"`
	Error string `json:"error,omitempty"`
	// Cause of the Error: none (no socket), refused (nobody listens), denied,
	// or silent.
	Cause   string `json:"cause,omitempty"`
	Version string `json:"version,omitempty"`
	// VirtType is what domains get: kvm, if a guest really ran in it, or qemu;
	// VirtReason says why.
	VirtType   string `json:"virtType,omitempty"`
	VirtReason string `json:"virtReason,omitempty"`
	VirtError  string `json:"virtError,omitempty"`
	Pool       Pool   `json:"pool"`
	// Routers are the UUIDs of our domains and of the volumes that routers
	// leave, with what each is called.
	Routers map[string][]string `json:"routers,omitempty"`
}

// Pool is the storage pool of the instance.
type Pool struct {
	Path  string `json:"path,omitempty"`
	Free  int64  `json:"free"` // bytes
	Error string `json:"error,omitempty"`
}

// Image is a router template as it lies on this machine's disk.
type Image struct {
	Name   string `json:"name"` // empty: not registered
	Source string `json:"source"`
	Error  string `json:"error,omitempty"`
}

// L2 is an L2 network that has to be real here.
type L2 struct {
	Name    string `json:"name"`
	UUID    string `json:"uuid"`
	Cluster string `json:"cluster"` // of this machine
	Bridge  string `json:"bridge"`
	Error   string `json:"error,omitempty"`
}

// Local are the hosts that are this machine.
func (s *Site) Local() []v1.Host {
	var here []v1.Host
	for _, h := range s.Hosts {
		if h.AgentURL == "" {
			here = append(here, h)
		}
	}
	return here
}
