package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// sideNetwork is another guest network with a VM, beside the topology's.
const sideNetwork = `
- l3-network: {name: NAME, l2: tenant, cidr: 192.168.NUMBER.0/24, services: [dhcp, dns, snat]}
- vm-instance: {name: NAME, hostname: NAME, nics: [NAME]}
`

// TestRestoreAdoptsRunningRouters loses the store and restores a backup that is
// older than some changes. A router that runs is adopted, and serves all the
// time; what it was told since is taken back. One that was made since, and has
// addresses that were free before, is named by doctor with the command that
// removes it; they are given to nobody while it has them. One that was destroyed
// since is made again, with other addresses where it has to.
func TestRestoreAdoptsRunningRouters(t *testing.T) {
	s := newSite(t, "all")
	s.apply()
	s.tellOf("first guest starts", "second guest", "HTTP out", "elastic IP in", "forwarded TCP")
	s.side("gone", "20")
	backup := filepath.Join(s.Lab.Dir, "backup")
	s.sluice("backup", backup)
	guest, gone := s.routerOf("guest"), s.routerOf("gone")

	s.sluice("port-forwarding-rule", "create", "later", "--vip", "web-address", "--protocol", "TCP", "--vip-port", "9090", "--private-port", "80", "--vm", "web")
	later := s.ruleAddress("later")
	s.until("the rule that was made after the backup answers", func() bool { _, err := s.fromInternet(later); return err == nil })
	s.sluice("vm-instance", "delete", "gone")
	s.sluice("l3-network", "delete", "gone")
	s.until("the router that is deleted is gone", func() bool { all, err := s.Routers(t.Context()); return err == nil && len(all) == 1 })
	young := s.side("young", "30")

	domain := s.domainID(guest.UUID)
	missed := s.watch(s.eipAddress("app"))
	s.Lab.Kill("server")
	data := filepath.Join("/var/lib", s.Instance)
	s.check(os.RemoveAll(data))
	s.sluice("restore", backup, "--data-dir", data)
	began := time.Now()
	s.check(s.Serve(t.Context()))
	s.until("the router that runs is adopted", func() bool { return s.serves(guest.UUID) })
	t.Logf("adopted %.2fs after the server was started", time.Since(began).Seconds())

	now := s.routerOf("guest")
	if now.BootID != guest.BootID || now.Epoch != guest.Epoch || !slices.Equal(addressesOf(now), addressesOf(guest)) || s.domainID(guest.UUID) != domain {
		t.Errorf("it was not adopted as it was: %+v, was %+v, domain %s, was %s", now, guest, s.domainID(guest.UUID), domain)
	}
	if out, err := s.fromInternet(later); err == nil {
		t.Errorf("a rule that the restored store does not have still answers: %s", out)
	}
	s.tellOf("elastic IP in", "forwarded TCP")
	if n := missed(); n > 0 {
		t.Errorf("%d requests to an elastic IP were not answered meanwhile", n)
	}
	s.until("the router that was destroyed since is made again", func() bool { return s.serves(gone.UUID) })
	remade := s.routerOf("gone")
	t.Logf("it had %v, has %v; the one that was made since has %v", addressesOf(gone), addressesOf(remade), addressesOf(young))
	for i, nic := range remade.Nics {
		if nic.MAC != gone.Nics[i].MAC || nic.HasRole("guest") && nic.IP != gone.Nics[i].IP || nic.IP == young.Nics[i].IP {
			t.Errorf("nic %s is %+v, was %+v", nic.Name, nic, gone.Nics[i])
		}
	}
	s.leftByBackup(young)
	s.nothingLeft()
}

// side makes a guest network with a VM that runs, and is its router.
func (s *site) side(name, number string) v1.VirtualRouter {
	s.Helper()
	_, err := s.Apply(s.Context(), []byte(strings.NewReplacer("NAME", name, "NUMBER", number).Replace(sideNetwork)))
	s.check(err)
	s.check(s.start(s.Context(), s.vm(name)))
	return s.routerOf(name)
}

// tellOf runs the steps of the story that begin so.
func (s *site) tellOf(names ...string) {
	s.Helper()
	steps := s.Story.Steps()
	for _, name := range names {
		for _, step := range steps {
			if strings.HasPrefix(step.Name, name) {
				detail, err := step.Run(s.Context())
				if err != nil {
					s.Fatalf("%s: %v", step.Name, err)
				}
				s.Logf("✓ %s  (%s)", step.Name, detail)
			}
		}
	}
}

func (s *site) sluice(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), s.Sluice, append([]string{"--server", s.Server()}, args...)...).CombinedOutput()
	if err != nil {
		s.Fatalf("sluice %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *site) routerOf(l3 string) (r v1.VirtualRouter) {
	s.Helper()
	networks, err := client.List[v1.L3Network](s.Context(), s.API, "/v1/l3-networks?name="+l3, nil)
	s.check(err)
	if len(networks) != 1 {
		s.Fatalf("%d networks are named %s", len(networks), l3)
	}
	s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/l3-networks/"+networks[0].UUID+"/virtual-router", nil, &r))
	return r
}

// serves: the router is there, and has all that the store wants of it.
func (s *site) serves(uuid string) bool {
	var r v1.VirtualRouter
	s.check(s.API.Do(s.Context(), http.MethodGet, "/v1/virtual-routers/"+uuid, nil, &r))
	return r.Status == v1.Connected && r.AppliedHash != "" && r.AppliedHash == r.DesiredHash
}

func (s *site) domainID(uuid string) string {
	s.Helper()
	out, err := s.Lab.Host(s.Context(), "virsh", "-c", "qemu:///system", "domid", uuid)
	s.check(err)
	return strings.TrimSpace(out)
}

func addressesOf(r v1.VirtualRouter) (all []string) {
	for _, n := range r.Nics {
		all = append(all, n.MAC+" "+n.IP.String())
	}
	return all
}

func (s *site) ruleAddress(name string) string {
	s.Helper()
	rules, err := client.List[v1.PortForwardingRule](s.Context(), s.API, "/v1/port-forwarding-rules?name="+name, nil)
	s.check(err)
	return fmt.Sprintf("%s:%d", rules[0].VIPIP, rules[0].VIPPortStart)
}

func (s *site) eipAddress(name string) string {
	s.Helper()
	eips, err := client.List[v1.EIP](s.Context(), s.API, "/v1/eips?name="+name, nil)
	s.check(err)
	return eips[0].VIPIP.String()
}

func (s *site) fromInternet(address string) (string, error) {
	return s.Lab.In(s.Context(), "internet", "curl", "-sS", "--max-time", "2", "http://"+address+"/")
}

// watch asks an address all the time; missed ends that, and says how often there
// was no answer.
func (s *site) watch(address string) (missed func() int) {
	ctx, stop := context.WithCancel(s.Context())
	count := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			if _, err := s.fromInternet(address); err != nil && ctx.Err() == nil {
				n++
			}
		}
		count <- n
	}()
	return func() int {
		stop()
		return <-count
	}
}

// leftByBackup: a router that the backup does not know runs on. Its address is
// given to nobody, and doctor's commands remove it.
func (s *site) leftByBackup(young v1.VirtualRouter) {
	s.Helper()
	public, _ := young.NicWithRole("public")
	for range 4 { // with those that are free, among which its own is
		var vip v1.VIP
		networks, err := client.List[v1.L3Network](s.Context(), s.API, "/v1/l3-networks?name=public", nil)
		s.check(err)
		s.check(s.API.Do(s.Context(), http.MethodPost, "/v1/vips", v1.CreateVIP{CreateMeta: v1.CreateMeta{Name: "new"}, L3NetworkUUID: networks[0].UUID}, &vip))
		if vip.IP == public.IP {
			s.Errorf("%s is given away, and a router that nobody knows has it", vip.IP)
		}
	}
	for _, finding := range s.leftovers() {
		if strings.Contains(finding.What, young.UUID) {
			s.Logf("doctor: %s: %s", finding.What, finding.Fix)
			for command := range strings.SplitSeq(strings.ReplaceAll(finding.Fix, "&&", ";"), ";") {
				if _, err := s.Lab.Host(s.Context(), "sh", "-c", command); err != nil {
					s.Errorf("doctor says %q: %v", command, err)
				}
			}
			return
		}
	}
	s.Errorf("doctor does not name router %s", young.UUID)
}

type finding struct{ Check, What, Fix string }

func (s *site) leftovers() (all []finding) {
	s.Helper()
	// Doctor's exit code tells of the machine too.
	out, _ := exec.CommandContext(s.Context(), s.Sluice, "--server", s.Server(), "doctor", "--instance", s.Instance, "--data-dir", filepath.Join("/var/lib", s.Instance), "-o", "json").Output()
	if err := json.Unmarshal(out, &all); err != nil {
		s.Fatalf("doctor: %v: %s", err, out)
	}
	return all
}
