// Package soak runs a whole orchestrator with real agents in namespaces through
// random operations, with agents and the server killed at random moments, and
// holds everything against what is wanted whenever it has settled.
package soak

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/site"
)

var duration = flag.Duration("duration", 15*time.Second, "how long operations go on")

const dirVariable, prefixVariable = "SLUICE_SOAK_DIR", "SLUICE_SOAK_PREFIX"

func TestMain(m *testing.M) {
	p := place{os.Getenv(dirVariable), os.Getenv(prefixVariable)}
	if p.dir == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := serve(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// soak is the run: what it made, and what may become of it.
type soak struct {
	*testing.T
	place
	api     *client.Client
	server  *exec.Cmd
	public  string
	guests  []string // L3 networks
	done    int      // operations that were taken
	seen    int      // addresses of kernels that were as wanted
	refused map[string]int
	number  int
}

func TestSoak(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	s := begin(t)
	s.settled() // and what comes after is held against it
	first := s.health()
	kills, agents := 0, 0
	for end := time.Now().Add(*duration); time.Now().Before(end); {
		for range 100 {
			s.operation()
			if rand.IntN(50) == 0 {
				agents += s.killAgent()
			}
		}
		if rand.IntN(3) == 0 {
			kills++
			s.kill()
			s.start()
		}
		s.settled()
	}
	last := s.health()
	t.Logf("%d operations, refused %v; %d agents and %d servers killed; %d addresses seen in kernels", s.done, s.refused, agents, kills, s.seen)
	t.Logf("server: %+v, then %+v", first, last)
	if last.Goroutines > first.Goroutines+100 || last.Files > first.Files+50 || last.Memory > first.Memory+32<<20 {
		t.Errorf("the server grew from %+v to %+v", first, last)
	}
	if s.done == 0 || agents == 0 || s.seen <= len(s.guests) {
		t.Error("nothing was tried")
	}
}

// begin builds the agent and a site with three guest networks, each with a
// router that is served.
func begin(t *testing.T) *soak {
	dir, err := os.MkdirTemp("", "sl-soak") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{T: t, place: place{dir, fmt.Sprintf("sl-soak-%d-", os.Getpid())}, refused: map[string]int{}}
	t.Cleanup(func() { os.RemoveAll(dir) })
	build := exec.Command("go", "build", "-tags", "nomsgpack", "-o", filepath.Join(dir, "sluice-agent"), "github.com/sluice-nfv/sluice/appliance/cmd/sluice-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build agent: %v\n%s", err, out)
	}
	o := s.orchestrator()
	t.Cleanup(func() { s.clear(); _ = ip("netns del " + o) })
	s.ok(ip("netns add "+o, "-n "+o+" link set lo up", "-n "+o+" link add br0 type bridge", "-n "+o+" addr add 10.0.0.1/24 dev br0", "-n "+o+" link set br0 up"))
	s.api, err = client.New(client.Config{Server: "unix://" + filepath.Join(dir, "s")})
	s.ok(err)
	s.start()
	t.Cleanup(s.kill)
	t.Cleanup(s.agentLogs)
	s.site()
	return s
}

// agentLogs are the ends of what agents said, if the test failed.
func (s *soak) agentLogs() {
	files, _ := filepath.Glob(filepath.Join(s.dir, s.prefix+"r*", "log"))
	for _, file := range files {
		if b, err := os.ReadFile(file); s.Failed() && err == nil {
			s.Logf("%s:\n%s", file, b[max(0, len(b)-3000):])
		}
	}
}

func (s *soak) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *soak) start() {
	s.Helper()
	s.server = exec.Command(os.Args[0])
	s.server.Env = append(os.Environ(), dirVariable+"="+s.dir, prefixVariable+"="+s.prefix)
	s.server.Stderr = os.Stderr
	s.ok(s.server.Start())
	s.await("server", func() string {
		if err := s.api.Do(s.Context(), http.MethodGet, "/readyz", nil, nil); err != nil {
			return err.Error()
		}
		return ""
	})
}

// kill is the loss of the whole machine: its routers end too.
func (s *soak) kill() {
	_ = s.server.Process.Kill()
	_ = s.server.Wait()
}

func (s *soak) await(what string, why func() string) {
	s.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		trouble := why()
		if trouble == "" {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("waited in vain for %s: %s", what, trouble)
		}
	}
}

type object = map[string]any

// made is the UUID of an object that has to be made.
func (s *soak) made(path string, body object) string {
	s.Helper()
	var o struct {
		UUID string `json:"uuid"`
	}
	s.ok(s.api.Do(s.Context(), http.MethodPost, path, body, &o))
	return o.UUID
}

func (s *soak) site() {
	zone := s.made("/v1/zones", object{"name": "zone"})
	cluster := s.made("/v1/clusters", object{"name": "cluster", "zoneUuid": zone})
	s.made("/v1/hosts?wait=20s", object{"name": "host", "clusterUuid": cluster})
	network := func(n int, name, category, cidr string) string {
		l2 := s.made("/v1/l2-networks", object{"name": name, "zoneUuid": zone, "physicalInterface": fmt.Sprint("eth", n)})
		s.ok(s.api.Do(s.Context(), http.MethodPost, "/v1/l2-networks/"+l2+"/clusters/"+cluster, nil, nil))
		l3 := s.made("/v1/l3-networks", object{"name": name, "l2NetworkUuid": l2, "category": category})
		s.ok(s.api.Do(s.Context(), http.MethodPost, "/v1/l3-networks/"+l3+"/ip-ranges", object{"name": name, "networkCidr": cidr}, nil))
		return l3
	}
	management := network(0, "management", v1.System, "10.0.0.0/24")
	s.public = network(1, "public", v1.Public, "203.0.113.0/24")
	image := s.made("/v1/images", object{"name": "router", "source": s.template()})
	s.made("/v1/virtual-router-offerings", object{"name": "small", "zoneUuid": zone, "managementNetworkUuid": management, "publicNetworkUuid": s.public, "imageUuid": image})
	for n := range 3 {
		l3 := network(2+n, fmt.Sprint("guest", n), v1.Private, fmt.Sprintf("192.168.%d.0/24", 10+n))
		all := []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding}
		s.ok(s.api.Do(s.Context(), http.MethodPost, "/v1/l3-networks/"+l3+"/network-services", object{"networkServices": object{v1.ProviderVirtualRouter: all}}, nil))
		s.guests = append(s.guests, l3)
		s.startVM(s.made("/v1/vm-instances", s.newVM(l3)))
	}
}

// template is one that nobody boots.
func (s *soak) template() string {
	dir := filepath.Join(s.dir, "template")
	s.ok(site.Template(dir))
	return dir
}

func (s *soak) newVM(l3 string) object {
	s.number++
	name := fmt.Sprint("vm", s.number)
	return object{"name": name, "hostname": name, "nics": []object{{"l3NetworkUuid": l3}}}
}

func (s *soak) startVM(uuid string) {
	s.Helper()
	s.ok(s.api.Do(s.Context(), http.MethodPost, "/v1/vm-instances/"+uuid+"/actions?wait=0s", object{"action": "start"}, nil))
}

// health asks the server about itself.
func (s *soak) health() (h health) {
	s.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "h"))
	}}}
	resp, err := c.Get("http://soak/")
	s.ok(err)
	defer resp.Body.Close()
	s.ok(json.NewDecoder(resp.Body).Decode(&h))
	return h
}

// settled waits until every router serves what is wanted of it, and holds the
// model and the kernels against that.
func (s *soak) settled() {
	s.Helper()
	s.await("routers", func() string {
		h := s.health()
		if len(h.Breaches) > 0 {
			s.Fatalf("breaches of the model: %v", h.Breaches)
		}
		return strings.Join(h.Behind, "\n")
	})
	routers, err := client.List[v1.VirtualRouter](s.Context(), s.api, "/v1/virtual-routers", nil)
	s.ok(err)
	if len(routers) != len(s.guests) {
		s.Fatalf("%d routers", len(routers))
	}
	for _, r := range routers {
		s.kernel(r)
	}
}

// killAgent kills one; its machine starts it again.
func (s *soak) killAgent() (killed int) {
	pids, _ := filepath.Glob(filepath.Join(s.dir, s.prefix+"r*", "pid"))
	if len(pids) == 0 {
		return 0
	}
	b, _ := os.ReadFile(pids[rand.IntN(len(pids))])
	if pid, err := strconv.Atoi(string(b)); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
		return 1
	}
	return 0
}
