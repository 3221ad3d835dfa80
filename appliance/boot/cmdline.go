package boot

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// defaultConfigTimeout is how long the start waits for a config drive. A
// virtio drive is there at once; an emulated CD needs 1-2 s under TCG.
const defaultConfigTimeout = 5 * time.Second

// cmdline is what the kernel command line may tell process 1.
type cmdline struct {
	// ConfigTimeout is from sluice.config_timeout=<seconds>, 0 to 600.
	ConfigTimeout time.Duration
	// Hostname is from sluice.hostname=<name>; it wins over the config drive.
	Hostname string
	// Agent is from sluice.agent=<path>: another binary to supervise.
	Agent string
	// ModulesOpen is from sluice.modules=open: kernel modules can still be
	// loaded after the start. For debugging.
	ModulesOpen bool
	// NoFlowtables is from sluice.flowtables=off: every packet passes the rules,
	// and none the kernel's fast path.
	NoFlowtables bool
}

func readCmdline(path string) cmdline {
	b, err := os.ReadFile(path)
	if err != nil {
		return parseCmdline("")
	}
	return parseCmdline(string(b))
}

// parseCmdline takes the last value of each known key and ignores everything
// else, values that do not parse too: a typing error must not stop a boot.
func parseCmdline(s string) cmdline {
	c := cmdline{ConfigTimeout: defaultConfigTimeout, Agent: AgentPath}
	for word := range strings.FieldsSeq(s) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "sluice.config_timeout":
			if n, err := strconv.Atoi(value); err == nil && n >= 0 && n <= 600 {
				c.ConfigTimeout = time.Duration(n) * time.Second
			}
		case "sluice.hostname":
			c.Hostname = value
		case "sluice.modules":
			c.ModulesOpen = value == "open"
		case "sluice.flowtables":
			c.NoFlowtables = value == "off"
		case "sluice.agent":
			if strings.HasPrefix(value, "/") {
				c.Agent = value
			}
		}
	}
	return c
}
