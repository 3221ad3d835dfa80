package ipam

import (
	"fmt"
	"io"
)

// MAC makes a MAC that is not taken: 0a (locally administered, unicast) and 40
// random bits, so that orchestrators that share a wire without knowing each
// other are unlikely to meet. It fails only if random does.
func MAC(random io.Reader, taken func(mac string) bool) (string, error) {
	for {
		var b [5]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", fmt.Errorf("make MAC: %w", err)
		}
		mac := fmt.Sprintf("0a:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
		if !taken(mac) {
			return mac, nil
		}
	}
}
