package dhcp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	server "github.com/sluice-nfv/sluice/appliance/services/dhcp"
)

// serveVariable makes the test binary a DHCP server: a namespace belongs to a
// process, not to a goroutine.
const serveVariable = "SLUICE_TEST_DHCP_SERVE"

// order is a line to the server; Content nil asks for a report only.
type order struct {
	Content *agentv1.Content `json:"content"`
	Links   dataplane.Links  `json:"links"`
}

// report is a line from the server.
type report struct {
	Err    string                `json:"err"`
	Status agentv1.ServiceStatus `json:"status"`
	Leases []agentv1.LeaseStatus `json:"leases"`
	Events []agentv1.Event       `json:"events"`
}

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(serveVariable) != "":
		err = serve()
	case os.Getenv(burstVariable) != "":
		err = burst()
	case os.Getenv(askVariable) != "":
		err = askAll(os.Getenv(askVariable))
	case os.Getenv(floodVariable) != "":
		err = flood(os.Getenv(floodVariable))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	s := server.New(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	defer s.Close()
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if err := out.Encode(follow(s, o)); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return in.Err()
}

func follow(s *server.Server, o order) report {
	var r report
	if o.Content != nil {
		if _, err := s.Want(*o.Content, o.Links); err != nil {
			r.Err = err.Error()
		} else if err := s.Apply(context.Background(), *o.Content, o.Links); err != nil {
			r.Err = err.Error()
		}
	}
	for {
		select {
		case e := <-s.Events():
			r.Events = append(r.Events, e)
			continue
		default:
		}
		break
	}
	r.Status, r.Leases = s.Status(), s.Leases()
	return r
}
