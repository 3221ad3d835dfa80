package v1

import "net/netip"

// Image is a router template.
type Image struct {
	Meta
	// Format: direct (kernel and initramfs) or qcow2.
	Format string `json:"format" enum:"direct,qcow2"`
	// Source is the folder of the template on the orchestrator's machine, as
	// made by `sluice-image build`; it holds manifest.json.
	Source string `json:"source"`
	State  string `json:"state" enum:"Enabled,Disabled"`
	// Version, Cmdline and Files come from the manifest.
	Version string               `json:"version,omitempty"`
	Cmdline string               `json:"cmdline,omitempty"`
	Files   map[string]ImageFile `json:"files,omitempty"`
}

// ImageFile is one file of a template.
type ImageFile struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size" doc:"Bytes"`
}

// CreateImage is the body of POST /v1/images.
type CreateImage struct {
	CreateMeta
	Format string `json:"format,omitempty" enum:"direct,qcow2" default:"direct"`
	Source string `json:"source" minLength:"1"`
}

// VirtualRouterOffering says how routers are made.
type VirtualRouterOffering struct {
	Meta
	ZoneUUID              string `json:"zoneUuid"`
	CPUNum                int    `json:"cpuNum"`
	MemorySize            int    `json:"memorySize" doc:"MiB"`
	ManagementNetworkUUID string `json:"managementNetworkUuid"`
	PublicNetworkUUID     string `json:"publicNetworkUuid"`
	ImageUUID             string `json:"imageUuid"`
	IsDefault             bool   `json:"isDefault"`
	State                 string `json:"state" enum:"Enabled,Disabled"`
}

// CreateVirtualRouterOffering is the body of POST /v1/virtual-router-offerings.
type CreateVirtualRouterOffering struct {
	CreateMeta
	ZoneUUID              string `json:"zoneUuid"`
	CPUNum                int    `json:"cpuNum,omitempty" default:"1" minimum:"1" maximum:"64"`
	MemorySize            int    `json:"memorySize,omitempty" default:"192" minimum:"128" maximum:"65536" doc:"MiB"`
	ManagementNetworkUUID string `json:"managementNetworkUuid"`
	PublicNetworkUUID     string `json:"publicNetworkUuid,omitempty" doc:"Defaults to the management network"`
	ImageUUID             string `json:"imageUuid"`
	IsDefault             bool   `json:"isDefault,omitempty"`
}

// States of a router's domain, the hypervisor's truth.
const (
	StateCreating  = "Creating"
	StateRunning   = "Running"
	StateStopped   = "Stopped"
	StatePaused    = "Paused"
	StateCrashed   = "Crashed"
	StateDestroyed = "Destroyed"
	StateUnknown   = "Unknown"
)

// VirtualRouter serves one guest L3 network.
type VirtualRouter struct {
	Meta
	ZoneUUID      string `json:"zoneUuid"`
	ClusterUUID   string `json:"clusterUuid,omitempty"`
	HostUUID      string `json:"hostUuid,omitempty"`
	OfferingUUID  string `json:"virtualRouterOfferingUuid"`
	ImageUUID     string `json:"imageUuid"`
	CPUNum        int    `json:"cpuNum"`
	MemorySize    int    `json:"memorySize" doc:"MiB"`
	L3NetworkUUID string `json:"l3NetworkUuid" doc:"The guest network"`
	// Nics in the order of eth0, eth1, ...
	Nics []RouterNic `json:"nics"`

	// WantedState is what the owner wants: Running, Stopped or Destroyed.
	WantedState string `json:"wantedState" enum:"Running,Stopped,Destroyed"`
	// Epoch grows when the router is to be rebuilt; the domain carries the one
	// it was made with.
	Epoch int64 `json:"epoch"`

	State  string `json:"state" enum:"Creating,Running,Stopped,Paused,Crashed,Destroyed,Unknown"`
	Status string `json:"status" enum:"Connecting,Connected,Disconnected"`
	// DesiredGeneration and DesiredHash are of the spec last decided on;
	// AppliedGeneration and AppliedHash of the one that the agent has reached.
	DesiredGeneration uint64      `json:"desiredGeneration"`
	DesiredHash       string      `json:"desiredHash,omitempty"`
	AppliedGeneration uint64      `json:"appliedGeneration"`
	AppliedHash       string      `json:"appliedHash,omitempty"`
	BootID            string      `json:"bootId,omitempty"`
	AgentVersion      string      `json:"agentVersion,omitempty"`
	Conditions        []Condition `json:"conditions"`
}

// RouterNic is a nic of a router. All of it is chosen before the first effect
// and kept over rebuilds.
type RouterNic struct {
	Name          string       `json:"name" doc:"eth0, eth1, ..."`
	Roles         []string     `json:"roles" doc:"management, public, guest"`
	L3NetworkUUID string       `json:"l3NetworkUuid"`
	MAC           string       `json:"mac"`
	IP            netip.Addr   `json:"ip"`
	Prefix        netip.Prefix `json:"networkCidr"`
	Gateway       netip.Addr   `json:"gateway,omitzero"`
	// Claimed: the router has had the address, which nobody answered for before.
	Claimed bool `json:"claimed,omitempty" doc:"The router has had the address, for which nobody else answered before"`
}

// HasRole reports whether the nic has the role.
func (n RouterNic) HasRole(role string) bool {
	for _, r := range n.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// NicWithRole is the first nic that has the role.
func (r *VirtualRouter) NicWithRole(role string) (RouterNic, bool) {
	for _, n := range r.Nics {
		if n.HasRole(role) {
			return n, true
		}
	}
	return RouterNic{}, false
}

// Action is the body of POST .../actions.
type Action struct {
	Action string `json:"action"`
}
