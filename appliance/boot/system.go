package boot

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const defaultHostname = "router"

// loopbackUp sets the loopback nic up; the kernel gives it 127.0.0.1 itself.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for loopback: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return nil
}

// bootstrapFile is agentv1.BootstrapFile. It is spelled out because process 1
// imports no contract: only the one field that it needs itself.
const bootstrapFile = "sluice.json"

// setHostname takes the name from the command line, else from the config
// drive, else the default.
func setHostname(cmd cmdline, configDir string) error {
	name := cmd.Hostname
	if name == "" {
		b, _ := os.ReadFile(filepath.Join(configDir, bootstrapFile))
		name = hostnameFrom(b)
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name %q: %w", name, err)
	}
	return nil
}

// hostnameFrom reads `hostname` of the bootstrap document. A document that does
// not parse is the agent's to complain about. Names longer than the kernel's 64
// bytes are cut.
func hostnameFrom(bootstrap []byte) string {
	var doc struct {
		Hostname string `json:"hostname"`
	}
	if err := json.Unmarshal(bootstrap, &doc); err != nil || doc.Hostname == "" {
		return defaultHostname
	}
	return doc.Hostname[:min(len(doc.Hostname), 64)]
}
