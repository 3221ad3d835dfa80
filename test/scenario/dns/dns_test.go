package dns

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// story is a command in the guest and what it has to print.
type story struct {
	why, run string
	want     []string
	not      string
}

func (w *world) tellAll(stories []story) {
	w.t.Helper()
	for _, s := range stories {
		out := w.in(guestNS, s.run)
		for _, want := range s.want {
			if !strings.Contains(out, want) {
				w.t.Errorf("%s: %s\nhas no %q:\n%s", s.why, s.run, want, out)
			}
		}
		if s.not != "" && strings.Contains(out, s.not) {
			w.t.Errorf("%s: %s\nhas %q:\n%s", s.why, s.run, s.not, out)
		}
	}
}

const dig = "dig +time=2 +tries=1 @" + routerIP + " "

// TestGuest: a guest's tools get names, addresses, forwarded answers and
// nothing that is not theirs, by UDP and TCP.
func TestGuest(t *testing.T) {
	w := newWorld(t)
	w.tellAll([]story{
		{"a name of the network", dig + "web.lan.test", []string{"status: NOERROR", "qr aa rd ra", "web.lan.test.\t\t30\tIN\tA\t10.77.0.10"}, "WARNING"},
		{"a bare name", dig + "+short web", []string{"10.77.0.10"}, ""},
		{"two guests of one name", dig + "+short db.lan.test", []string{"10.77.0.20", "10.77.0.21"}, ""},
		{"an address", dig + "+short -x 10.77.0.10", []string{"web.lan.test."}, ""},
		{"no such name", dig + "nobody.lan.test", []string{"status: NXDOMAIN", "lan.test.\t\t10\tIN\tSOA\tlan.test. nobody.invalid."}, ""},
		{"no such type", dig + "web.lan.test AAAA", []string{"status: NOERROR", "ANSWER: 0", "IN\tSOA"}, ""},
		{"somebody's private address", dig + "-x 192.168.3.4", []string{"status: NXDOMAIN", "168.192.in-addr.arpa."}, ""},
		{"the server's version", dig + "version.bind TXT CH", []string{"status: REFUSED"}, ""},
		{"a DNS cookie", dig + "+cookie=0102030405060708 web.lan.test", []string{"COOKIE: 010203040506070801000000", "(good)"}, ""},
		{"EDNS of the future", dig + "+edns=1 +noednsneg web.lan.test", []string{"status: BADVERS"}, ""},
		{"what does not fit comes by TCP", dig + "many.lan.test", []string{"Truncated, retrying in TCP mode", "ANSWER: 120"}, ""},
		{"TCP", dig + "+tcp web.lan.test", []string{"status: NOERROR", "(TCP)"}, ""},
		{"forwarded", dig + "www.example.test", []string{"status: NOERROR", "203.0.113.1"}, " aa "},
		{"forwarded by TCP", dig + "+tcp alias.example.test", []string{"CNAME\twww.example.test.", "203.0.113.1"}, ""},
		{"too long upstream as well", dig + "big.example.test TXT", []string{"retrying in TCP mode", "ANSWER: 200"}, ""},
		{"rebinding", dig + "rebind.example.test", []string{"status: NOERROR", "ANSWER: 0", "EDE: 17"}, "169.254"},
		{"nothing there", dig + "no.example.test", []string{"status: NXDOMAIN", "example.test.\t\t300\tIN\tSOA"}, ""},
		{"host, with the search domain", "host web", []string{"web.lan.test has address 10.77.0.10"}, ""},
		{"host, an address", "host 10.77.0.10", []string{"domain name pointer web.lan.test."}, ""},
		{"the C library, with the search domain", "getent ahostsv4 web", []string{"10.77.0.10"}, ""},
		{"the C library, a whole name", "getent ahosts db.lan.test", []string{"10.77.0.20", "10.77.0.21"}, ""},
		{"the C library, an address", "getent hosts 10.77.0.10", []string{"web.lan.test"}, ""},
		{"the C library, forwarded", "getent ahostsv4 www.example.test", []string{"203.0.113.1"}, ""},
		{"the C library, unknown", "getent hosts nobody", []string{"exit status 2"}, "10.77"},
	})
	for name := range strings.FieldsSeq(w.leaked()) {
		if !strings.HasSuffix(name, "example.test.") {
			t.Errorf("%s was asked upstream", name)
		}
	}
	if st := w.tell(order{}).Status; !st.Ready || st.Counters["dns_local_answers_total"] < 15 || st.Counters["dns_filtered_answers_total"] != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestKnot: another implementation's client agrees.
func TestKnot(t *testing.T) {
	if _, err := exec.LookPath("kdig"); err != nil {
		t.Skip("needs kdig (knot-dnsutils)")
	}
	w := newWorld(t)
	const kdig = "kdig +timeout=2 +retry=0 @" + routerIP + " "
	w.tellAll([]story{
		{"a name", kdig + "+edns web.lan.test", []string{"status: NOERROR", "Flags: qr aa rd ra", "10.77.0.10", "Version: 0; flags: ; UDP size: 1232 B"}, ""},
		{"several on one connection", kdig + "+tcp +keepopen web.lan.test www.example.test -x 10.77.0.10", []string{"10.77.0.10", "203.0.113.1", "web.lan.test."}, "WARNING"},
		{"cookie", kdig + "+cookie=0102030405060708 web.lan.test", []string{"COOKIE: 0102030405060708"}, ""},
		{"padded", kdig + "+padding=128 web.lan.test", []string{"10.77.0.10"}, ""},
		{"DO", kdig + "+dnssec www.example.test", []string{"flags: do;", "203.0.113.1"}, ""},
		{"ANY", kdig + "www.example.test ANY", []string{`"RFC8482"`}, "203.0.113"},
		{"a transfer", kdig + "lan.test AXFR", []string{"REFUSED"}, "10.77.0.10"},
	})
}

// TestUpstreamDies: what was known goes on being said; what was not is a quick
// failure; local names do not notice.
func TestUpstreamDies(t *testing.T) {
	w := newWorld(t)
	w.tellAll([]story{{"alive", dig + "www.example.test", []string{"www.example.test.\t2\tIN\tA\t203.0.113.1"}, "EDE"}})
	w.endUpstream()
	time.Sleep(2100 * time.Millisecond)
	stale := []string{"www.example.test.\t30\tIN\tA\t203.0.113.1", "EDE: 3 (Stale Answer)"}
	w.tellAll([]story{
		{"dead", dig + "+time=3 www.example.test", stale, ""},
		{"dead, by TCP", dig + "+tcp www.example.test", stale, ""},
		{"dead, unknown name", dig + "+time=5 other.example.test", []string{"status: SERVFAIL"}, ""},
		{"dead, local name", dig + "+short web.lan.test", []string{"10.77.0.10"}, ""},
	})
	w.startUpstream()
	w.tellAll([]story{{"local while it comes back", dig + "+short web", []string{"10.77.0.10"}, ""}})
	waitFor(t, "it is back", func() bool {
		return strings.Contains(w.in(guestNS, dig+"+short alias.example.test"), "203.0.113.1")
	})
}

// TestOnlyGuests: the public side gets no answer, whichever of the router's
// addresses it asks.
func TestOnlyGuests(t *testing.T) {
	w := newWorld(t)
	w.in(routerNS, "sysctl -qw net.ipv4.ip_forward=1")
	for _, at := range []string{routerIP, publicIP} {
		for _, how := range []string{"", "+tcp "} {
			if out := w.in(upstreamNS, "dig +time=1 +tries=1 "+how+"@"+at+" web.lan.test"); strings.Contains(out, "10.77.0.10") || strings.Contains(out, "status:") {
				t.Errorf("%s %s: %s", at, how, out)
			}
		}
	}
}

// TestNicReplaced: the guest nic goes and comes again under the same name; the
// server hears it again without being told.
func TestNicReplaced(t *testing.T) {
	w := newWorld(t)
	w.must("ip", "-n", routerNS, "link", "del", "eth1")
	waitFor(t, "the loss is reported", func() bool { return !w.tell(order{}).Status.Ready })
	w.plugGuest()
	waitFor(t, "it is served again", func() bool {
		return strings.Contains(w.in(guestNS, dig+"+short web"), "10.77.0.10") &&
			strings.Contains(w.in(guestNS, dig+"+tcp +short web"), "10.77.0.10")
	})
	if st := w.tell(order{}).Status; !st.Ready || st.Counters["dns_sockets_reopened_total"] == 0 {
		t.Errorf("status %+v", st)
	}
}

// TestAddressLater: the server may start before its address is on the nic.
func TestAddressLater(t *testing.T) {
	w := newWorld(t)
	w.content.DNS[0].Listen[0] = netip.MustParseAddr("10.77.0.2")
	w.apply()
	w.must("ip", "-n", routerNS, "addr", "add", "10.77.0.2/24", "dev", "eth1")
	w.tellAll([]story{
		{"the new address", "dig +time=2 +tries=3 @10.77.0.2 +short web", []string{"10.77.0.10"}, ""},
		{"not the old one", dig + "+time=1 +short web", []string{"connection refused"}, "10.77.0.10"},
	})
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 60 {
		if ok() {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("timed out: %s", what)
}
