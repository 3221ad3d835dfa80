package hypervisor

// Domain is the wanted virtual machine of a router. All ids are chosen and
// stored by the caller before the first effect.
type Domain struct {
	UUID      string // RFC 9562, lower case
	Name      string // 1-64 of [A-Za-z0-9._-], starting with a letter or digit
	Title     string // shown to people; any text, cut to 255 characters
	VCPUs     int    // 1-64
	MemoryMiB int    // 32-1048576
	Boot      Boot
	// ConfigVolume is the ISO (label cidata) attached read-only as the last
	// virtio disk. Empty: none.
	ConfigVolume string
	// Nics in PCI order, which is the order of eth0, eth1, ... in the guest. 0-16.
	Nics []Nic
}

// Boot says what the domain starts. Exactly one of Direct and Disk is set.
type Boot struct {
	Direct *DirectBoot
	// Disk is a qcow2 volume of the domain's own, usually made by EnsureOverlay.
	Disk string
}

// DirectBoot starts a kernel without firmware or boot loader.
type DirectBoot struct {
	Kernel  string // volume name
	Initrd  string // volume name; empty: none
	Cmdline string // printable ASCII, at most 2047 bytes (COMMAND_LINE_SIZE - 1, x86)
}

// DefaultCmdline suits a router booted directly. A panic reboots, which on_reboot
// turns into power off, so that a dead router is seen at once; an overloaded host
// pauses its guests, and the timer hints keep a kernel from distrusting its clocks
// for that.
const DefaultCmdline = "console=ttyS0 quiet panic=-1 net.ifnames=0 no_timer_check tsc=reliable random.trust_cpu=on"

// Nic is one virtio network card on a bridge of the host.
type Nic struct {
	MAC    string // 6 octets, unicast, lower case with colons
	Bridge string // 1-15 bytes, an existing bridge of the host
	MTU    int    // 68-65535 bytes; 0: 1500
}

// Volume is one file of the pool.
type Volume struct {
	Name string
	Size int64 // bytes in the file, not the capacity a guest sees
}

// State is what the hypervisor says of a domain.
type State string

// The states of a domain. Destroyed, Creating and the like belong to routers.
const (
	Running State = "Running"
	Stopped State = "Stopped"
	Paused  State = "Paused"
	Crashed State = "Crashed"
	Absent  State = "Absent"
	Unknown State = "Unknown"
)

// DomainStatus is a domain as observed.
type DomainStatus struct {
	UUID   string
	Name   string
	State  State
	Reason string   // the hypervisor's own word for how it got there: destroyed, booted, crashed, ...
	MACs   []string // lower case, in the order of the nics
	Owned  bool     // made by this instance of Sluice
}

// EventKind tells what an Event is about.
type EventKind string

const (
	// EventDomain: a domain changed; Domain is how it is now.
	EventDomain EventKind = "domain"
	// EventRelist: (re)connected; what was known before must be read again.
	EventRelist EventKind = "relist"
	// EventLost: the connection broke and is being made again; Reason says why.
	EventLost EventKind = "lost"
)

// Event is one thing that happened on the host.
type Event struct {
	Kind   EventKind
	Domain DomainStatus // of EventDomain
	Reason string       // of EventLost
}

// HostInfo describes a host.
type HostInfo struct {
	Hostname       string
	CPUs           int
	MemoryMiB      int
	LibvirtVersion string   // such as 9.0.0
	VirtTypes      []string // what libvirt says it can do for x86_64: kvm, qemu
	VirtType       string   // what domains get here: kvm or qemu
	VirtReason     string   // why that one, for people
}
