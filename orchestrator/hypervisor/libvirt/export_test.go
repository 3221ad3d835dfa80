package libvirt

// Probe lets tests probe a virtualization type that is known to run.
var Probe = (*Host).probe
