package nat

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
	"github.com/sluice-nfv/sluice/appliance/services/dhcp"
	"github.com/sluice-nfv/sluice/appliance/services/dns"
)

// promised reads the table of open ports in the data plane's README: by nic,
// the likes of tcp/53, and icmp.
func promised(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../../appliance/dataplane/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "| nic | TCP | UDP | ICMP |\n|---|---|---|---|\n")
	if !ok {
		t.Fatal("no table of open ports in the README")
	}
	table := map[string][]string{}
	for line := range strings.Lines(rest) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if len(cells) != 4 {
			break
		}
		open := []string{}
		for i, protocol := range []string{"tcp/", "udp/"} {
			for _, port := range regexp.MustCompile(`\d+`).FindAllString(cells[i+1], -1) {
				open = append(open, protocol+port)
			}
		}
		if strings.Contains(cells[3], "echo") {
			open = append(open, "icmp")
		}
		slices.Sort(open)
		table[strings.TrimSpace(cells[0])] = open
	}
	return table
}

// letsIn says what the rules let in, in the words of promised.
func (w *world) letsIn(c agentv1.Content) map[string][]string {
	names := map[string]string{"mgmt0": "management", "pub0": "public", "lan0": "guest"}
	open := map[string][]string{}
	for _, name := range names {
		open[name] = []string{"icmp"} // echo, for everybody
	}
	for _, in := range w.want(c).Inputs {
		open[names[in.Link]] = append(open[names[in.Link]], in.Protocol+"/"+strconv.Itoa(int(in.Port)))
	}
	for _, list := range open {
		slices.Sort(list)
	}
	return open
}

// services have all servers' ports open.
func services() agentv1.Content {
	c := content()
	router, subnet := addr(routerGuest), netip.MustParsePrefix("10.0.0.0/24")
	c.DHCP = []agentv1.DHCPNetwork{{Interface: macGuest, ServerID: router, Subnet: subnet, Router: router, MTU: 1500, LeaseSeconds: 3600}}
	c.DNS = []agentv1.DNSNetwork{{Interface: macGuest, Listen: []netip.Addr{router}, Subnet: subnet}}
	return c
}

// TestScan: a port scanner finds on every side exactly what the README's table
// promises; so what the documents say is what is open.
func TestScan(t *testing.T) {
	w := newWorld(t)
	c := services()
	c.EIPs = []agentv1.EIP{eipOf(vipA, aIP, 1)}
	c.PortForwardings = []agentv1.PortForwarding{forward(vipP, "tcp", 2000, 2002, bIP, 3000), forward(vipP, "udp", 500, 501, bIP, 500)}
	w.apply(c)
	table := promised(t)
	if got := w.letsIn(c); !maps.EqualFunc(got, table, slices.Equal) {
		t.Errorf("the router lets in %v, the README promises %v", got, table)
	}
	// Whoever gets in is answered, if only with a refusal: without this, not
	// every time (icmp(7)).
	for _, ns := range []*kerneltest.Namespace{w.router, w.b} {
		ns.Run(t, "sysctl -qw net.ipv4.icmp_ratelimit=0")
	}
	w.internet.Run(t, "ip route add 10.0.0.0/24 via "+routerIP)
	w.internet.Run(t, "ip route add 192.0.2.0/24 via "+routerIP)
	const all, some = "1-65535", "21-23,25,53,67-69,80,123,161,179,443,500-502,1900,2000-2003,3000-3003,4789,5353,6081,7443,8080"
	for _, s := range []struct {
		from     *kerneltest.Namespace
		at       string
		tcp      string
		promised []string
	}{
		{w.management, routerMgmt, all, table["management"]},
		{w.management, routerIP, some, nil},
		{w.management, routerGuest, some, nil},
		{w.management, vipP, some, nil},
		{w.management, aIP, some, nil},
		{w.internet, routerIP, all, table["public"]},
		{w.internet, routerMgmt, some, nil},
		{w.internet, routerGuest, some, nil},
		{w.internet, bIP, some, nil},
		{w.internet, vipP, some, []string{"icmp", "tcp/2000", "tcp/2001", "tcp/2002", "udp/500", "udp/501"}},
		{w.b, routerGuest, all, table["guest"]},
		{w.b, routerIP, some, table["guest"]}, // who is let in is so at every address of the router's
		{w.b, routerMgmt, some, nil},
		{w.b, managementIP, some, nil},
	} {
		t.Run(s.from.Name[len(s.from.Name)-1:]+" at "+s.at, func(t *testing.T) {
			found := scan(t, s.from, "T:"+s.tcp+",U:"+some, s.at)
			if ping(s.from, s.at, never) == nil {
				found = append(found, "icmp")
			}
			slices.Sort(found)
			if !slices.Equal(found, s.promised) {
				t.Errorf("found %v, promised %v", found, s.promised)
			}
		})
	}
}

// scan are the ports that answer, be it with a refusal.
func scan(t *testing.T, from *kerneltest.Namespace, ports, at string) (found []string) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", from.Name, "nmap", "-n", "-Pn", "-T5", "--max-retries", "0",
		"--min-rate", "50000", "--host-timeout", "60s", "-sS", "-sU", "-p"+ports, "-oG", "-", at).CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "Nmap done") || strings.Contains(text, "Ignored State: closed") || strings.Contains(text, "Timeout") {
		t.Fatalf("nmap of %s: %v\n%s", at, err, out)
	}
	for _, m := range regexp.MustCompile(`(\d+)/(open|closed|unfiltered)/(tcp|udp)/`).FindAllStringSubmatch(text, -1) {
		found = append(found, m[3]+"/"+m[1])
	}
	return found
}

// planServers plans the services that open ports.
func planServers(c agentv1.Content, links dataplane.Links, wants map[string]dataplane.Want) error {
	var err error
	if wants["dhcp"], err = dhcp.Want(c, links); err != nil {
		return err
	}
	names := dns.New(slog.New(slog.DiscardHandler))
	defer names.Close()
	wants["dns"], err = names.Want(c, links)
	return err
}
