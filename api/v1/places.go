package v1

// Zone is the parent of everything else.
type Zone struct {
	Meta
	State string `json:"state" enum:"Enabled,Disabled"`
}

// CreateZone is the body of POST /v1/zones.
type CreateZone struct{ CreateMeta }

// Cluster is a group of like hosts.
type Cluster struct {
	Meta
	ZoneUUID       string `json:"zoneUuid"`
	HypervisorType string `json:"hypervisorType" enum:"auto,kvm,qemu"`
	State          string `json:"state" enum:"Enabled,Disabled"`
}

// CreateCluster is the body of POST /v1/clusters.
type CreateCluster struct {
	CreateMeta
	ZoneUUID       string `json:"zoneUuid"`
	HypervisorType string `json:"hypervisorType,omitempty" enum:"auto,kvm,qemu" default:"auto" doc:"auto finds out by booting something tiny once a host"`
}

// Host is a hypervisor.
type Host struct {
	Meta
	ClusterUUID string `json:"clusterUuid"`
	// LibvirtURI such as qemu:///system.
	LibvirtURI string `json:"libvirtUri"`
	// AgentURL of the host agent; empty: the orchestrator's own machine.
	AgentURL string `json:"agentUrl,omitempty"`
	// CPUNum and MemorySize (MiB) as found.
	CPUNum     int    `json:"cpuNum,omitempty"`
	MemorySize int    `json:"memorySize,omitempty" doc:"MiB"`
	State      string `json:"state" enum:"Enabled,Disabled,Maintenance"`
	Status     string `json:"status" enum:"Connecting,Connected,Disconnected"`
	// Fenced: the administrator said that the host is dead. Routers leave it
	// although nobody can see that they are gone there; LeftBehind are those
	// whose domains are removed before it counts as Connected again.
	Fenced     bool     `json:"fenced,omitempty"`
	LeftBehind []string `json:"leftBehind,omitempty" doc:"Routers whose domains are removed when the host is back"`
	// VirtType is what routers run with here: kvm or qemu.
	VirtType   string      `json:"virtType,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// CreateHost is the body of POST /v1/hosts.
type CreateHost struct {
	CreateMeta
	ClusterUUID string `json:"clusterUuid"`
	LibvirtURI  string `json:"libvirtUri,omitempty" default:"qemu:///system"`
	AgentURL    string `json:"agentUrl,omitempty"`
}
