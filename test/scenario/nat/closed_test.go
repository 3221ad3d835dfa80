package nat

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"golang.org/x/sys/unix"
)

type rawConn = syscall.RawConn

func TestClosedBeforeTheFirstSpec(t *testing.T) {
	w := newWorld(t)
	for nic, ip := range map[string]string{"mgmt0": routerMgmt, "pub0": routerIP, "lan0": routerGuest} {
		w.router.Run(t, "ip addr add "+ip+"/24 dev "+nic)
		w.router.Run(t, "ip link set "+nic+" up")
	}
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	serve(t, w.a, "a", ":7")
	serve(t, w.internet, "far", gatewayIP+":7")
	serve(t, w.router, "agent", routerMgmt+":7443")
	serve(t, w.router, "ssh", ":22")
	w.router.Run(t, "sysctl -qw net.ipv4.ip_forward=1")
	w.reaches(w.a, "tcp", "", gatewayIP+":7", "far", aIP) // it would forward, were it not for us
	var err error
	w.router.Do(func() {
		err = w.plane.Lockdown(context.Background(), dataplane.Input{Protocol: "tcp", Port: 7443, Owner: "agent"})
	})
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(w.management, "tcp", "", routerMgmt+":7443", "agent", managementIP)
	w.isolated(w.management, "tcp", "", routerMgmt+":22")
	w.isolated(w.a, "tcp", "", gatewayIP+":7")
	w.isolated(w.internet, "tcp", gatewayIP, aIP+":7")
	w.isolated(w.a, "tcp", "", managementIP+":7")
	w.router.Run(t, "sysctl -qw net.ipv4.ip_forward=1") // a stranger: the policy still holds
	w.isolated(w.a, "tcp", "", gatewayIP+":7")
}

func TestNobodyGetsPastTheMappings(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.b, "b", ":7")
	serve(t, w.internet, "far", farIP+":7")
	serve(t, w.management, "management", ":7")
	serve(t, w.router, "agent", ":7443")
	serve(t, w.router, "ssh", ":22")
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	w.internet.Run(t, "ip route add 192.0.2.0/24 via "+routerIP)
	for name, from := range map[string]*kerneltest.Namespace{"public": w.internet, "management": w.management} {
		t.Run("not even one way from "+name, func(t *testing.T) {
			caught := catch(t, w.b, ":9")
			send(t, from, "", bIP+":9")
			if sender, err := caught(never); err == nil {
				t.Errorf("a datagram from %s arrives", sender)
			}
		})
	}
	for _, network := range []string{"tcp", "udp"} {
		t.Run("public side by routing, "+network, func(t *testing.T) {
			w.isolated(w.internet, network, gatewayIP, aIP+":7")
			w.isolated(w.internet, network, gatewayIP, bIP+":7")
			w.isolated(w.internet, network, gatewayIP, managementIP+":7")
		})
		t.Run("management, "+network, func(t *testing.T) {
			w.isolated(w.management, network, "", aIP+":7")
			w.isolated(w.management, network, "", vipA+":7")
			w.isolated(w.management, network, "", farIP+":7")
			w.isolated(w.a, network, "", managementIP+":7")
			w.isolated(w.b, network, "", managementIP+":7")
		})
	}
	t.Run("the router itself", func(t *testing.T) {
		w.reaches(w.management, "tcp", "", routerMgmt+":7443", "agent", managementIP)
		w.isolated(w.management, "tcp", "", routerMgmt+":22")
		w.isolated(w.internet, "tcp", farIP, routerIP+":22")
		w.isolated(w.internet, "tcp", farIP, routerIP+":7443")
		w.isolated(w.internet, "tcp", gatewayIP, routerMgmt+":7443")
		w.isolated(w.a, "tcp", "", routerGuest+":22")
		w.isolated(w.a, "tcp", "", routerGuest+":7443")
		w.isolated(w.a, "tcp", "", routerMgmt+":7443")
	})
}

func TestForgedAndUntranslatedSources(t *testing.T) {
	w := newWorld(t)
	c := content()
	w.apply(c)
	caught := catch(t, w.internet, farIP+":9")
	send(t, w.a, "", farIP+":9")
	if from, err := caught(soon); err != nil {
		t.Fatalf("an honest datagram does not arrive: %v, %v", from, err)
	}
	w.a.Run(t, "ip addr add 10.9.9.9/32 dev lo")
	w.a.Run(t, "ip addr add 198.51.100.77/32 dev lo")
	w.a.Run(t, "ip addr add "+routerIP+"/32 dev lo")
	for _, forged := range []string{"10.9.9.9", "198.51.100.77", routerIP} {
		send(t, w.a, forged, farIP+":9")
		if from, err := caught(never); err == nil {
			t.Errorf("a datagram forged as %s arrives from %s", forged, from)
		}
	}
	t.Run("public side as a guest", func(t *testing.T) {
		c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
		w.apply(c)
		atA := catch(t, w.a, ":9")
		for _, forged := range []string{bIP, routerGuest, routerIP, vipA} {
			flood(t, w.internet, unix.IPPROTO_UDP, forged, vipA+":9", 1)
			if from, err := atA(never / 2); err == nil {
				t.Errorf("a datagram from outside, forged as %s, arrives as from %s", forged, from)
			}
		}
		flood(t, w.internet, unix.IPPROTO_UDP, farIP, vipA+":9", 1)
		if from, err := atA(soon); err != nil {
			t.Errorf("an honest datagram does not arrive: %v, %v", from, err)
		}
	})
	t.Run("guest as the router", func(t *testing.T) {
		flood(t, w.a, unix.IPPROTO_UDP, routerGuest, farIP+":9", 1)
		if from, err := caught(never / 2); err == nil {
			t.Errorf("a datagram arrives as from %s", from)
		}
	})
	t.Run("no mapping, no way out", func(t *testing.T) {
		c.SNAT = nil
		w.apply(c)
		send(t, w.b, "", farIP+":9")
		if from, err := caught(never); err == nil {
			t.Errorf("a guest without a mapping gets out as %s", from)
		}
		send(t, w.a, "", farIP+":9")
		if from, err := caught(soon); err != nil || !strings.HasPrefix(from.String(), vipA+":") {
			t.Errorf("a guest with an EIP is seen as %v (%v)", from, err)
		}
	})
}

func TestEqualStateWritesNothing(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 1000, 4000, aIP, 1000)}
	w.apply(c)
	w.apply(c)
	var out strings.Builder
	for _, line := range []string{"nft monitor", "ip monitor link address route"} {
		words := append([]string{"netns", "exec", w.router.Name}, strings.Fields(line)...)
		cmd := exec.Command("ip", words...)
		cmd.Stdout = &out // not what ip complains of, such as another test's namespace that went
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	}
	time.Sleep(settle)
	w.applyOnce(c)
	w.router.Do(w.plane.Resync)
	w.applyOnce(c)
	time.Sleep(settle)
	if out.Len() > 0 {
		t.Errorf("the kernel was told:\n%s", out.String())
	}
	c.EIPs = nil
	w.applyOnce(c)
	time.Sleep(settle)
	if out.Len() == 0 {
		t.Error("the monitors see nothing at all")
	}
}

func TestFlowsOutliveTheAgent(t *testing.T) {
	w := newWorld(t)
	c := content()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	w.apply(c)
	serve(t, w.a, "a", ":7")
	serve(t, w.internet, "far", farIP+":7")
	in, out := w.open(w.internet, "udp", farIP, vipA+":7"), w.open(w.b, "tcp", "", farIP+":7")
	w.restart()
	if r := w.apply(c); r.Writes != 0 || r.FlowsEnded != 0 {
		t.Errorf("a new agent with equal state wrote %v and ended %d flows", r.Steps, r.FlowsEnded)
	}
	w.goesOn("inbound", in)
	w.goesOn("outbound", out)
	// What was removed while no agent ran, it ends too.
	w.restart()
	c.EIPs = nil
	w.apply(c)
	w.ended("inbound", in)
	w.goesOn("outbound", out)
}

// TestWhatGotOutUntranslatedStops: a connection that began while a stranger had
// taken away translation and its guard does not go on once they are back.
func TestWhatGotOutUntranslatedStops(t *testing.T) {
	w := newWorld(t)
	c := content()
	w.apply(c)
	w.router.Run(t, "iptables -t nat -F")
	w.router.Run(t, "nft flush chain ip sluice leaking")
	caught := catch(t, w.internet, farIP+":9")
	k, err := dial(w.b, "udp", "", farIP+":9", soon)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, _ = k.Write([]byte("x"))
	if from, err := caught(soon); err != nil || !strings.HasPrefix(from.String(), bIP+":") {
		t.Fatalf("seen as %v (%v): without the rules it should be %s", from, err, bIP)
	}
	w.apply(c)
	for range 3 {
		_, _ = k.Write([]byte("x"))
		if from, err := caught(never / 3); err == nil {
			t.Errorf("goes on as %s", from)
		}
	}
	send(t, w.b, "", farIP+":9")
	if from, err := caught(soon); err != nil || !strings.HasPrefix(from.String(), routerIP+":") {
		t.Errorf("another connection is seen as %v (%v)", from, err)
	}
}
