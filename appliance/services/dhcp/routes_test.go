package dhcp

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

func route(p, via string) agentv1.Route {
	return agentv1.Route{Prefix: netip.MustParsePrefix(p), NextHop: netip.MustParseAddr(via)}
}

// TestRoutes: what each of the three options can say.
func TestRoutes(t *testing.T) {
	routes := []agentv1.Route{
		route("10.0.0.0/8", "10.1.0.2"), route("10.17.0.0/16", "10.1.0.3"), route("172.20.0.0/16", "10.1.0.4"),
		route("192.0.2.7/32", "10.1.0.5"), route("192.0.2.0/32", "10.1.0.6"), route("192.168.4.128/25", "10.1.0.7"),
	}
	if got, want := hex.EncodeToString(classless(routes)), "080a0a010002"+"100a110a010003"+"10ac140a010004"+"20c00002070a010005"+"20c00002000a010006"+"19c0a804800a010007"; got != want {
		t.Errorf("121 is %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(classful(routes)), "0a0000000a010002"+"ac1400000a010004"+"c00002070a010005"; got != want {
		t.Errorf("33 is %s, want %s", got, want)
	}
	// RFC 2132 section 5.8: a router's address, and no destination 0.0.0.0.
	if got := classful([]agentv1.Route{route("10.0.0.0/8", "0.0.0.0"), route("0.0.0.0/8", "10.1.0.2")}); len(got) > 0 {
		t.Errorf("33 is %x of routes that it cannot tell", got)
	}
	n := guestNetwork()
	n.Routes = []agentv1.Route{route("0.0.0.0/0", "10.1.0.200")}
	c := prepared(t, n)
	if got := hex.EncodeToString(c.options[1][121]); got != "7905"+"000a0100c8" {
		t.Errorf("a default route of the network's own: %s", got)
	}
	if c.options[0][121] != nil {
		t.Error("a second nic gets a default route")
	}
}

// TestRoutesOfANic: 121, 249, 33 and 3 of nics with routes of their own, in a
// network whose one route is 192.168.50.0/24 via 10.1.0.254.
func TestRoutesOfANic(t *testing.T) {
	const (
		networks = "18c0a832" + "0a0100fe"
		gateway  = "00" + "0a010001"
	)
	for name, c := range map[string]struct {
		mac               string
		routes            []agentv1.Route
		options           map[uint8]string
		classless, static string // 121 and 249, 33
		router            string // 3, for who asks for neither
	}{
		"added to the network's": {webMAC, []agentv1.Route{route("10.9.0.0/16", "10.1.0.7")}, nil,
			"100a09" + "0a010007" + networks + gateway, "c0a83200" + "0a0100fe", "0a010001"},
		"instead of the network's to the same destination": {webMAC, []agentv1.Route{route("192.168.50.0/24", "10.1.0.7")}, nil,
			"18c0a832" + "0a010007" + gateway, "c0a83200" + "0a010007", "0a010001"},
		"a default route instead of the router": {webMAC, []agentv1.Route{route("0.0.0.0/0", "10.1.0.7")}, nil,
			"00" + "0a010007" + networks, "c0a83200" + "0a0100fe", "0a010007"},
		"on the link": {webMAC, []agentv1.Route{route("0.0.0.0/0", "0.0.0.0")}, nil,
			"00" + "00000000" + networks, "c0a83200" + "0a0100fe", "0a010001"},
		"of a nic that is not the default one": {sideMAC, []agentv1.Route{route("172.16.0.0/16", "10.1.0.7")}, nil,
			"10ac10" + "0a010007" + networks, "ac100000" + "0a010007" + "c0a83200" + "0a0100fe", ""},
		"a default route of a nic that is not the default one": {sideMAC, []agentv1.Route{route("0.0.0.0/0", "10.1.0.7")}, nil,
			"00" + "0a010007" + networks, "c0a83200" + "0a0100fe", "0a010007"},
		"an option of the nic's wins": {webMAC, []agentv1.Route{route("10.9.0.0/16", "10.1.0.7")}, map[uint8]string{121: "000a010009", 249: "000a010009"},
			"000a010009", "c0a83200" + "0a0100fe", "0a010001"},
	} {
		t.Run(name, func(t *testing.T) {
			n := guestNetwork()
			for i := range n.Bindings {
				if n.Bindings[i].MAC == c.mac {
					n.Bindings[i].Routes, n.Bindings[i].Options = c.routes, c.options
				}
			}
			if _, err := Want(content(n), nil); err != nil {
				t.Fatal(err)
			}
			d := newDesk(t, n)
			modern := hexOptions(d.ask(message(t, c.mac, dhcpv4.MessageTypeDiscover, asking(3, 33, 121, 249))))
			if modern[121] != c.classless || modern[249] != c.classless {
				t.Errorf("121 is %s, 249 %s, want %s", modern[121], modern[249], c.classless)
			}
			if modern[3] != "" || modern[33] != "" {
				t.Errorf("with 121 also 3 (%s) and 33 (%s)", modern[3], modern[33])
			}
			old := hexOptions(d.ask(message(t, c.mac, dhcpv4.MessageTypeDiscover, asking(3, 33))))
			if old[3] != c.router || old[33] != c.static || old[121] != "" && c.options == nil {
				t.Errorf("3 is %s, want %s; 33 is %s, want %s; 121 is %s", old[3], c.router, old[33], c.static, old[121])
			}
		})
	}
}
