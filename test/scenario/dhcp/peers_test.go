package dhcp

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"github.com/sluice-nfv/sluice/api/agentv1"
)

// askVariable makes the test binary send the frames of its standard input, one
// in hex a line, and print the answers by transaction.
const askVariable = "SLUICE_TEST_DHCP_ASK"

// questions is how many packets each server gets, askEvery their distance: Kea
// and dnsmasq keep up with that on a busy machine.
const (
	questions = 1050
	askEvery  = time.Millisecond
)

// question is a packet of a kind whose name says what a server should see.
type question struct {
	kind  string
	frame []byte
	asked []byte // option 55
}

// verdict is what a server did: the type of its answer and the address in it.
type verdict struct {
	what    string
	options map[byte]string
}

// compared are the options that all servers are configured to give alike.
var compared = []byte{1, 3, 6, 15, 26, 28, 51, 54}

// TestPeers asks Kea, dnsmasq and us the same thousands of packets, with equal
// bindings. Every difference is one of those that README.md of the service
// explains, by the names here.
func TestPeers(t *testing.T) {
	needs(t, "kea-dhcp4", "kea-dhcp4-server")
	needs(t, "dnsmasq", "dnsmasq-base")
	w := newWorld(t)
	n := network()
	for i := range 3 {
		n.Bindings = append(n.Bindings, agentv1.DHCPBinding{MAC: peerMAC(i), IP: peerIP(i), IsDefault: true})
	}
	n.Bindings = n.Bindings[1:]
	explained := explanations(t)
	asked := ask(rand.New(rand.NewPCG(20131, 1)))
	w.apply(n)
	ours := w.verdicts(w.guest, asked)
	w.kill()
	for name, command := range map[string][]string{"kea": w.kea(n), "dnsmasq": w.dnsmasq(n)} {
		cmd := w.background(exec.Command("ip", append([]string{"netns", "exec", w.router}, command...)...))
		w.eventually(name+" answers", 10*time.Second, func() bool {
			_, err := w.answers(w.guest, []question{{frame: asked[0].frame}}, 300*time.Millisecond)
			return err == nil
		})
		theirs := w.verdicts(w.guest, asked)
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		found := map[string]int{}
		for i, q := range asked {
			for _, d := range differences(name, q, ours[i], theirs[i]) {
				found[d]++
			}
		}
		for _, d := range slices.Sorted(maps.Keys(found)) {
			why, known := explained[d]
			if !known {
				t.Errorf("unexplained, %d times: %s", found[d], d)
				continue
			}
			t.Logf("%4d  %s: %s", found[d], d, why)
		}
	}
}

func differences(peer string, q question, ours, theirs verdict) (all []string) {
	if ours.what != theirs.what {
		return []string{fmt.Sprintf("%s: we %s, %s %s", q.kind, ours.what, peer, theirs.what)}
	}
	for _, code := range compared {
		a, b := ours.options[code], theirs.options[code]
		switch {
		case a == b:
		case a == "":
			all = append(all, fmt.Sprintf("option %d: only %s", code, peer))
		case b == "":
			all = append(all, fmt.Sprintf("option %d: only we, not %s", code, peer))
		default:
			all = append(all, fmt.Sprintf("option %d: we %s, %s %s", code, a, peer, b))
		}
	}
	return all
}

func peerMAC(i int) string     { return fmt.Sprintf("02:07:00:00:02:%02x", i) }
func peerIP(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 7, 0, byte(100 + i)}) }
func ipOf(a netip.Addr) net.IP { return a.AsSlice() }

// ask makes the questions: guests at random, in all states, with lists of
// options at random.
func ask(random *rand.Rand) []question {
	var all []question
	server, other := net.IP{10, 7, 0, 1}, net.IP{10, 7, 0, 77}
	wanted := func(ip net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip)) }
	from := func(ip net.IP) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip)) }
	for i := range questions {
		guest := random.IntN(3)
		mac, err := net.ParseMAC(peerMAC(guest))
		if err != nil {
			panic(err)
		}
		mine, wrong := ipOf(peerIP(guest)), ipOf(peerIP((guest+1)%3))
		outside := net.IP{192, 168, 9, 9}
		kinds := []struct {
			name    string
			kind    dhcpv4.MessageType
			unicast bool
			with    []dhcpv4.Modifier
		}{
			{"DISCOVER", dhcpv4.MessageTypeDiscover, false, nil},
			{"DISCOVER hinting at another's address", dhcpv4.MessageTypeDiscover, false, []dhcpv4.Modifier{wanted(wrong)}},
			{"SELECTING", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{from(server), wanted(mine)}},
			{"SELECTING another server", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{from(other), wanted(mine)}},
			{"SELECTING another's address", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{from(server), wanted(wrong)}},
			{"INIT-REBOOT", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{wanted(mine)}},
			{"INIT-REBOOT another's address", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{wanted(wrong)}},
			{"INIT-REBOOT another network", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{wanted(outside)}},
			{"RENEWING", dhcpv4.MessageTypeRequest, true, []dhcpv4.Modifier{dhcpv4.WithClientIP(mine)}},
			{"RENEWING another's address", dhcpv4.MessageTypeRequest, true, []dhcpv4.Modifier{dhcpv4.WithClientIP(wrong)}},
			{"REBINDING", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{dhcpv4.WithClientIP(mine)}},
			{"REQUEST without an address", dhcpv4.MessageTypeRequest, false, nil},
			{"INFORM", dhcpv4.MessageTypeInform, false, []dhcpv4.Modifier{dhcpv4.WithClientIP(mine)}},
			{"INFORM without an address", dhcpv4.MessageTypeInform, false, nil},
			{"INFORM from another network", dhcpv4.MessageTypeInform, false, []dhcpv4.Modifier{dhcpv4.WithClientIP(outside)}},
			{"RELEASE of another's address", dhcpv4.MessageTypeRelease, true, []dhcpv4.Modifier{from(server), dhcpv4.WithClientIP(wrong)}},
			{"relay that nobody configured", dhcpv4.MessageTypeDiscover, false, []dhcpv4.Modifier{dhcpv4.WithRelay(net.IP{203, 0, 113, 9})}},
			{"stranger's DISCOVER", dhcpv4.MessageTypeDiscover, false, nil},
			{"stranger's INIT-REBOOT", dhcpv4.MessageTypeRequest, false, []dhcpv4.Modifier{wanted(mine)}},
			{"an OFFER", dhcpv4.MessageTypeOffer, false, nil},
			{"message type 99", dhcpv4.MessageType(99), false, nil},
		}
		k := kinds[i%len(kinds)]
		if strings.HasPrefix(k.name, "stranger") {
			mac = net.HardwareAddr{2, 7, 9, 9, 9, byte(random.Uint32())}
		}
		var list []byte
		for range random.IntN(8) {
			list = append(list, []byte{1, 3, 6, 12, 15, 26, 28, 42, 119, 2}[random.IntN(10)])
		}
		slices.Sort(list)
		list = slices.Compact(list)
		with := append([]dhcpv4.Modifier{
			dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(k.kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{9, byte(i >> 16), byte(i >> 8), byte(i)}),
			dhcpv4.WithBroadcast(random.IntN(2) == 0), dhcpv4.WithGeneric(dhcpv4.OptionParameterRequestList, append([]byte{1, 3}, list...)),
		}, k.with...)
		m, err := dhcpv4.New(with...)
		if err != nil {
			panic(err)
		}
		f := frameOf(m.ToBytes(), mac)
		if k.unicast {
			router, _ := net.ParseMAC(routerMAC)
			copy(f, router)
			address(f, m.ClientIPAddr, server)
		}
		all = append(all, question{kind: k.name, frame: f, asked: append([]byte{1, 3}, list...)})
	}
	return all
}

// address sets a frame's IP addresses and the sum over them.
func address(f []byte, src, dst net.IP) {
	copy(f[26:], src.To4())
	copy(f[30:], dst.To4())
	f[24], f[25] = 0, 0
	sum := ^onesComplement(f[14:34])
	f[24], f[25] = byte(sum>>8), byte(sum)
}

// verdicts asks everything and reads what came.
func (w *world) verdicts(ns string, asked []question) []verdict {
	w.t.Helper()
	got, err := w.answers(ns, asked, time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make([]verdict, len(asked))
	for i := range asked {
		all[i] = verdict{what: "silence"}
		m := got[uint32(9)<<24|uint32(i)]
		if m == nil {
			continue
		}
		all[i] = verdict{what: strings.ToLower(m.MessageType().String()), options: map[byte]string{}}
		if !m.YourIPAddr.IsUnspecified() {
			all[i].what += " of " + map[bool]string{true: "its address", false: "another address"}[m.YourIPAddr.Equal(bindingOf(m.ClientHWAddr))]
		}
		for _, code := range compared {
			if v := m.Options.Get(dhcpv4.GenericOptionCode(code)); v != nil {
				all[i].options[code] = hex.EncodeToString(v)
			}
		}
	}
	return all
}

func bindingOf(mac net.HardwareAddr) net.IP {
	for i := range 3 {
		if peerMAC(i) == mac.String() {
			return ipOf(peerIP(i))
		}
	}
	return nil
}

// answers sends the questions from a namespace; an error says that none came.
func (w *world) answers(ns string, asked []question, patience time.Duration) (map[uint32]*dhcpv4.DHCPv4, error) {
	var in strings.Builder
	for _, q := range asked {
		fmt.Fprintln(&in, hex.EncodeToString(q.frame))
	}
	cmd := w.in(ns, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), askVariable+"="+patience.String())
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	got := map[uint32]*dhcpv4.DHCPv4{}
	for line := range strings.Lines(string(out)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("answer %s: %w", line, err)
		}
		x := m.TransactionID
		got[uint32(x[0])<<24|uint32(x[1])<<16|uint32(x[2])<<8|uint32(x[3])] = m
	}
	if len(got) == 0 {
		return nil, errors.New("no answer at all")
	}
	return got, nil
}

// askAll is the guests' side of answers, in its own process.
func askAll(patience string) error {
	wait, err := time.ParseDuration(patience)
	if err != nil {
		return err
	}
	conn, err := openFrames()
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- sendAll(conn, os.Stdin) }()
	buf, out := make([]byte, 1600), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for last := false; ; {
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if last {
				return nil
			}
			select {
			case err := <-sent:
				if err != nil {
					return err
				}
				last = true
			default:
			}
			continue
		} else if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if n > 282 && buf[23] == 17 && buf[42] == 2 { // an answer over UDP
			fmt.Fprintln(out, hex.EncodeToString(buf[42:n]))
		}
	}
}

func sendAll(conn *packet.Conn, in io.Reader) error {
	lines := bufio.NewScanner(in)
	for began, i := time.Now(), 0; lines.Scan(); i++ {
		time.Sleep(time.Until(began.Add(time.Duration(i) * askEvery)))
		f, err := hex.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(f, &packet.Addr{HardwareAddr: net.HardwareAddr(f[:6])}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return lines.Err()
}

// kea gives the command of Kea with the network's bindings.
func (w *world) kea(n agentv1.DHCPNetwork) []string {
	type object = map[string]any
	var reserved []object
	for _, b := range n.Bindings {
		reserved = append(reserved, object{"hw-address": b.MAC, "ip-address": b.IP})
	}
	option := func(name, data string) object { return object{"name": name, "data": data} }
	conf, err := json.Marshal(object{"Dhcp4": object{
		"interfaces-config": object{"interfaces": []string{"guest0"}, "dhcp-socket-type": "raw"},
		"lease-database":    object{"type": "memfile", "persist": false},
		"valid-lifetime":    n.LeaseSeconds, "authoritative": true,
		"subnet4": []object{{
			"id": 1, "subnet": n.Subnet, "reservations": reserved, "reservations-in-subnet": true, "reservations-out-of-pool": true,
			"option-data": []object{
				option("routers", n.Router.String()), option("domain-name-servers", "10.7.0.1, 9.9.9.9"),
				option("domain-name", n.Domain), option("interface-mtu", fmt.Sprint(n.MTU)), option("broadcast-address", "10.7.0.255"),
			},
		}},
		"loggers": []object{{"name": "kea-dhcp4", "severity": "ERROR", "output_options": []object{{"output": "stdout"}}}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{"env", "KEA_PIDFILE_DIR=" + w.dir, "KEA_LOCKFILE_DIR=" + w.dir, "kea-dhcp4", "-c", w.file("kea.json", string(conf))}
}

// dnsmasq gives the command of dnsmasq with the network's bindings.
func (w *world) dnsmasq(n agentv1.DHCPNetwork) []string {
	conf := "port=0\nkeep-in-foreground\nuser=root\nbind-interfaces\ninterface=guest0\nno-ping\nlog-facility=-\nquiet-dhcp\ndhcp-authoritative\npid-file=\n" +
		"dhcp-leasefile=" + filepath.Join(w.dir, "dnsmasq.leases") + "\ndomain=" + n.Domain + "\n" +
		fmt.Sprintf("dhcp-range=%s,static,255.255.255.0,%d\ndhcp-option=option:mtu,%d\ndhcp-option=option:dns-server,10.7.0.1,9.9.9.9\n", n.Subnet.Addr(), n.LeaseSeconds, n.MTU)
	for _, b := range n.Bindings {
		conf += fmt.Sprintf("dhcp-host=%s,%s\n", b.MAC, b.IP)
	}
	return []string{"dnsmasq", "--conf-file=" + w.file("dnsmasq.conf", conf)}
}

// explanations reads the table of meant differences in the service's README:
// what it does not have there is a mistake of ours, or of the table's.
func explanations(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../appliance/services/dhcp/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "## Differences from other servers")
	if !found {
		t.Fatal("README.md has no table of differences")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	all := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); len(cells) == 2 && strings.HasPrefix(line, "| ") {
			all[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSuffix(strings.TrimSpace(cells[1]), " |")
		}
	}
	return all
}
