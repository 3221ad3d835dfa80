package libvirt

import (
	"net"
	"testing"

	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
)

// deaf is a connection whose other end is gone, which only writers notice.
type deaf struct{ net.Conn }

func (deaf) Write([]byte) (int, error) { return 0, &net.OpError{Op: "write", Err: net.ErrClosed} }
func (deaf) Close() error              { return nil }

func TestFailedWriteMeansUnreachable(t *testing.T) {
	l := &link{net: &liveConn{Conn: deaf{}, done: make(chan struct{})}, to: target{host: "kvm-7"}}
	_, err := l.net.Write([]byte("x"))
	if err := l.explain("read domain", 0, err); !hypervisor.IsUnreachable(err) {
		t.Fatalf("%v, want unreachable", err)
	}
	if !l.net.dead() {
		t.Fatal("the connection is still in use")
	}
}
