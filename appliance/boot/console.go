package boot

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// console writes whole lines with a fixed prefix. It is not slog: tools outside
// the VM wait for these lines on the serial port and match them as text.
type console struct {
	out io.Writer
}

// printf writes one line in one write, so that it is never mixed with a line
// of the kernel or of the agent on the same port.
func (c *console) printf(format string, args ...any) {
	line := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	fmt.Fprintf(c.out, "sluice-init: %s\n", line)
}

// uptime is the time since the kernel took over; 0 when /proc is not there.
func uptime() time.Duration {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	return parseUptime(string(b))
}

func parseUptime(s string) time.Duration {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	sec, err := strconv.ParseFloat(first, 64)
	if err != nil || sec < 0 {
		return 0
	}
	return time.Duration(sec * float64(time.Second))
}
