package dns

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/services/dns"
)

// childEnv makes the test's binary play a part in another namespace.
const childEnv = "SLUICE_DNS_SCENARIO"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childEnv) {
	case "router":
		err = playRouter()
	case "upstream":
		err = playUpstream(os.Getenv(childEnv + "_LISTEN"))
	case "liar":
		err = playLiar(os.Getenv(childEnv+"_LISTEN"), packets())
	case "flood", "random", "slowloris", "mutate", "curious":
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		err = playHarm(os.Getenv(childEnv), interrupted)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// order is one line to the router: a spec to apply, or a wish for its status.
type order struct {
	Content *agentv1.Content `json:",omitempty"`
	Links   dataplane.Links  `json:",omitempty"`
}

// report is the line that comes back.
type report struct {
	Error  string `json:",omitempty"`
	Status agentv1.ServiceStatus
}

// playRouter serves what it is told to on its standard input, until that ends.
func playRouter() error {
	s := dns.New(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	defer s.Close()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return nil // the test has ended
		}
		var r report
		if o.Content != nil {
			if err := s.Apply(context.Background(), *o.Content, o.Links); err != nil {
				r.Error = err.Error()
			}
		}
		r.Status = s.Status()
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// playUpstream answers for example.test and prints each name it is asked for.
func playUpstream(at string) error {
	out := bufio.NewWriter(os.Stdout)
	asked := make(chan string, 1000)
	handler := miekg.HandlerFunc(func(w miekg.ResponseWriter, q *miekg.Msg) {
		asked <- strings.ToLower(q.Question[0].Name)
		w.WriteMsg(upstreamAnswer(q, w.RemoteAddr().Network() == "udp"))
	})
	udp, err := net.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp4", at)
	if err != nil {
		return err
	}
	go (&miekg.Server{PacketConn: udp, Handler: handler}).ActivateAndServe()
	go (&miekg.Server{Listener: tcp, Handler: handler}).ActivateAndServe()
	fmt.Fprintln(out, "ready")
	out.Flush()
	for name := range asked {
		fmt.Fprintln(out, name)
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// upstreamAnswer is what the upstream knows.
func upstreamAnswer(q *miekg.Msg, udp bool) *miekg.Msg {
	m := new(miekg.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	add := func(format string, args ...any) {
		rr, err := miekg.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	name := strings.ToLower(q.Question[0].Name)
	switch qtype := q.Question[0].Qtype; {
	case name == "www.example.test." && qtype == miekg.TypeA:
		add("%s 2 IN A 203.0.113.1", name)
	case name == "alias.example.test." && qtype == miekg.TypeA:
		add("%s 300 IN CNAME www.example.test.", name)
		add("www.example.test. 300 IN A 203.0.113.1")
	case name == "big.example.test." && qtype == miekg.TypeTXT:
		if m.Truncated = udp; udp {
			break
		}
		for i := range 200 {
			add("%s 300 IN TXT %q", name, fmt.Sprintf("line %d of a long text", i))
		}
	case name == "rebind.example.test." && qtype == miekg.TypeA:
		add("%s 300 IN A 169.254.169.254", name)
	case strings.HasSuffix(name, ".cached.example.test.") && qtype == miekg.TypeA:
		add("%s 3600 IN A 203.0.113.9", name)
	default:
		if !strings.HasSuffix(name, "www.example.test.") && name != "rebind.example.test." {
			m.Rcode = miekg.RcodeNameError
		}
		soa, _ := miekg.NewRR("example.test. 300 IN SOA ns.example.test. root.example.test. 1 2 3 4 300")
		m.Ns = []miekg.RR{soa}
	}
	return m
}
