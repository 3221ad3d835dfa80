package hostnettest

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Holder puts the far end of the Wire into a network namespace of its own, with
// addresses that its kernel answers for, until the test ends. Returned is the
// MAC by which it does.
func Holder(t *testing.T, cidrs ...string) (mac string) {
	t.Helper()
	wire := Link(t, Wire)
	mac = wire.Attrs().HardwareAddr.String()
	made, moved, done := make(chan *os.File), make(chan bool), make(chan bool)
	errs := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace goes with the thread
		err := unix.Unshare(unix.CLONE_NEWNET)
		ns, openErr := os.Open("/proc/thread-self/ns/net")
		made <- ns
		if err = errors.Join(err, openErr); <-moved && err == nil {
			err = hold(cidrs)
		}
		errs <- err
		<-done
	}()
	t.Cleanup(func() { close(done) })
	ns := <-made
	if ns != nil {
		defer ns.Close()
	}
	check(t, netlink.LinkSetNsFd(wire, int(ns.Fd())))
	moved <- true
	check(t, <-errs)
	return mac
}

// hold sets the wire up in this thread's namespace.
func hold(cidrs []string) error {
	wire, err := netlink.LinkByName(Wire)
	if err != nil {
		return err
	}
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(wire, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(wire)
}
