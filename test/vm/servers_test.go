package vm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/test/etcd"
)

// TestTwoServers runs two servers on one etcd and one libvirt: guests that start
// through both at once share one router, and when the server that makes a
// router is killed, the other finishes it.
func TestTwoServers(t *testing.T) {
	s := newSite(t, "all", "--etcd", sharedEtcd(t))
	other := s.second()
	s.apply()
	s.startThroughBoth(other)
	s.oneRouter()
	for _, after := range []time.Duration{60 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		s.noRouter()
		vm := s.vm("web")
		first := make(chan error, 1)
		go func() { first <- s.start(context.Background(), vm) }()
		time.Sleep(after)
		s.Lab.Kill("server")
		<-first // whatever it said: nobody was there to mean it
		began := time.Now()
		s.check(begin(t.Context(), other, vm))
		t.Logf("killed after %s; the other server has the router %.1fs later", after, time.Since(began).Seconds())
		s.check(s.Serve(t.Context()))
		s.oneRouter()
	}
	s.noRouter() // a killed server's place in the queue for the router's lock is kept for ten seconds
	s.nothingLeft()
}

// sharedEtcd starts an etcd, and ends it after the test.
func sharedEtcd(t *testing.T) (endpoint string) {
	if os.Getenv("SLUICE_VM") != "all" {
		return "" // newSite says why there is no test
	}
	dir, err := os.MkdirTemp("", "slt-etcd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "etcd", dir)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
		os.RemoveAll(dir)
	})
	return etcd.Endpoint(dir)
}

// second starts another server beside the world's own, and its client.
func (s *site) second() *client.Client {
	s.Helper()
	dir := filepath.Join(s.Lab.Dir, "second")
	s.check(os.MkdirAll(dir, 0o700))
	socket := filepath.Join(dir, "s")
	args := []string{s.Sluice, "server", "--data-dir", dir, "--socket", socket, "--listen", "", "--instance", s.Instance}
	s.check(s.Lab.Start(s.Context(), "", "second", append(args, s.Flags...)...))
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("second server's log:\n%s", s.Lab.Log("second"))
		}
	})
	api, err := client.New(client.Config{Server: "unix://" + socket})
	s.check(err)
	for end := time.Now().Add(30 * time.Second); api.Do(s.Context(), http.MethodGet, "/readyz", nil, nil) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("the second server does not answer: %s", s.Lab.Log("second"))
		}
	}
	return api
}

func begin(ctx context.Context, api *client.Client, vm string) error {
	return api.Do(ctx, http.MethodPost, "/v1/vm-instances/"+vm+"/actions?wait=180s", v1.Action{Action: "start"}, nil)
}

// startThroughBoth starts ten guests at once, each through the other server.
func (s *site) startThroughBoth(other *client.Client) {
	s.Helper()
	l3, err := client.List[v1.L3Network](s.Context(), s.API, "/v1/l3-networks?name=guest", nil)
	s.check(err)
	var all sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		all.Go(func() {
			api := []*client.Client{s.API, other}[i%2]
			var vm v1.VMInstance
			body := v1.CreateVMInstance{CreateMeta: v1.CreateMeta{Name: fmt.Sprintf("guest-%d", i)}, Nics: []v1.CreateVMNic{{L3NetworkUUID: l3[0].UUID}}}
			if errs[i] = api.Do(s.Context(), http.MethodPost, "/v1/vm-instances", body, &vm); errs[i] == nil {
				errs[i] = begin(s.Context(), api, vm.UUID)
			}
		})
	}
	all.Wait()
	s.check(errors.Join(errs...))
}

// noRouter destroys the router, and has no guest that wants one.
func (s *site) noRouter() {
	s.Helper()
	running, err := client.List[v1.VMInstance](s.Context(), s.API, "/v1/vm-instances?state=Running", nil)
	s.check(err)
	for _, vm := range running {
		s.check(s.API.Do(s.Context(), http.MethodPost, "/v1/vm-instances/"+vm.UUID+"/actions", v1.Action{Action: "stop"}, nil))
	}
	s.check(s.API.Do(s.Context(), http.MethodDelete, "/v1/virtual-routers/"+s.oneRouter().UUID, nil, nil))
	s.check(s.NoRouters(s.Context(), 30*time.Second))
}
