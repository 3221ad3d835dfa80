// Package fleet tests several orchestrators on one etcd, each a process of its
// own: that they share addresses and MACs exactly, also when one of them is
// killed. Its children are the test's own binary.
package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sluice-nfv/sluice/orchestrator/app"
	"github.com/sluice-nfv/sluice/test/etcd"
)

var requests = flag.Int("requests", 250, "creates in parallel; a tenth of them find no address")

const servers = 4

// What a child is, and the directory that it works in.
const roleVariable, dirVariable = "SLUICE_FLEET_ROLE", "SLUICE_FLEET_DIR"

func TestMain(m *testing.M) {
	role, dir := os.Getenv(roleVariable), os.Getenv(dirVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	err := fmt.Errorf("no role %q", role)
	switch role {
	case "etcd":
		err = etcd.Run(ctx, dir)
	case "server":
		err = app.Run(ctx, app.Config{
			DataDir: dir, Etcd: []string{etcd.Endpoint(filepath.Dir(dir))}, Socket: socket(dir), Instance: "sluice-fleet", Version: "test",
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
}

func socket(dir string) string { return filepath.Join(dir, "s") }

// fleet is the etcd and the orchestrators on it.
type fleet struct {
	*testing.T
	dir      string
	children []*exec.Cmd // the orchestrators
	clients  []*http.Client
	dead     [servers]atomic.Bool
	l3       string
}

func start(t *testing.T) *fleet {
	dir, err := os.MkdirTemp("", "sl-fleet") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{T: t, dir: dir}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f.child("etcd", dir)
	for i := range servers {
		home := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		f.children = append(f.children, f.child("server", home))
		f.clients = append(f.clients, &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket(home))
			},
			MaxIdleConnsPerHost: 64,
		}})
	}
	for i := range f.clients {
		f.await("server "+strconv.Itoa(i), func() bool { status, _, err := f.call(i, "GET", "/readyz", nil); return err == nil && status == 200 })
	}
	return f
}

// child starts a process of this binary and ends it after the test.
func (f *fleet) child(role, dir string) *exec.Cmd {
	f.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+dir)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have been killed
		done := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		defer done.Stop()
		_ = c.Wait()
	})
	return c
}

func (f *fleet) await(what string, ok func() bool) {
	f.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatal("waited in vain for ", what)
		}
	}
}

type object = map[string]any

// call is one request to one orchestrator; an error is of the connection.
func (f *fleet) call(server int, method, path string, body object) (status int, answer object, err error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(f.Context(), method, "http://sluice"+path, in)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.clients[server].Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && len(b) > 0 {
		_ = json.Unmarshal(b, &answer) // /readyz answers no object
	}
	return resp.StatusCode, answer, err
}

func (f *fleet) must(method, path string, body object) object {
	f.Helper()
	status, answer, err := f.call(0, method, path, body)
	if err != nil || status >= 300 {
		f.Fatalf("%s %s: %d %v %v", method, path, status, answer, err)
	}
	return answer
}

// network makes an L3 network with that many addresses.
func (f *fleet) network(addresses int) {
	f.Helper()
	zone := f.must("POST", "/v1/zones", object{"name": "zone"})["uuid"]
	l2 := f.must("POST", "/v1/l2-networks", object{"name": "l2", "zoneUuid": zone, "physicalInterface": "eth1"})["uuid"]
	f.l3 = f.must("POST", "/v1/l3-networks", object{"name": "l3", "l2NetworkUuid": l2})["uuid"].(string)
	last := addresses + 1 // from .0.2 on
	f.must("POST", "/v1/l3-networks/"+f.l3+"/ip-ranges", object{
		"name": "range", "startIp": "10.50.0.2", "endIp": fmt.Sprintf("10.50.%d.%d", last/256, last%256), "netmask": "255.255.0.0", "gateway": "10.50.255.1",
	})
}

// insist sends a request until an orchestrator answers it: one that was killed
// may have done it before, so a repetition finds it done.
func (f *fleet) insist(first int, method, path string, body object) (status int, code string) {
	for attempt := range 20 * servers {
		server := (first + attempt) % servers
		if f.dead[server].Load() {
			continue
		}
		status, answer, err := f.call(server, method, path, body)
		if err == nil && status != http.StatusServiceUnavailable {
			code, _ := answer["code"].(string)
			return status, code
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0, "no orchestrator answers"
}

// parallel runs n calls at once.
func parallel(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// TestExactAllocation fills a network from all orchestrators at once: what fits
// is made, the rest is refused, and nothing is given twice or lost.
func TestExactAllocation(t *testing.T) { fill(t, false) }

// TestExactAllocationWhileOneIsKilled does so while one of them is killed.
func TestExactAllocationWhileOneIsKilled(t *testing.T) { fill(t, true) }

func fill(t *testing.T, kill bool) {
	f := start(t)
	fits := *requests * 9 / 10
	f.network(fits)
	ids := make([]string, *requests)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7()).String()
	}
	var made, refused, answered atomic.Int64
	began := time.Now()
	parallel(*requests, func(i int) {
		body := object{"uuid": ids[i], "name": "vm" + strconv.Itoa(i), "nics": []object{{"l3NetworkUuid": f.l3}}}
		switch status, code := f.insist(i, "POST", "/v1/vm-instances", body); {
		case status == 201, kill && code == "already-exists":
			made.Add(1)
		case code == "no-free-address":
			refused.Add(1)
		default:
			t.Errorf("create %d: %d %s", i, status, code)
		}
		if answered.Add(1) == int64(*requests/3) && kill {
			if err := f.children[2].Process.Kill(); err != nil {
				t.Error(err)
			}
			f.dead[2].Store(true)
		}
	})
	t.Logf("%d creates over %d orchestrators: %.0f a second", *requests, servers, float64(*requests)/time.Since(began).Seconds())
	if made.Load() != int64(fits) || refused.Load() != int64(*requests-fits) {
		t.Errorf("%d made and %d refused of %d, want %d and %d", made.Load(), refused.Load(), *requests, fits, *requests-fits)
	}
	f.everyoneSees(fits, fits)
	parallel(*requests, func(i int) {
		if status, code := f.insist(i+1, "DELETE", "/v1/vm-instances/"+ids[i], nil); status != 204 {
			t.Errorf("delete %d: %d %s", i, status, code)
		}
	})
	f.everyoneSees(0, fits)
}

// everyoneSees holds every living orchestrator to that many nics, each with an
// address and a MAC of its own, and to the capacity that follows.
func (f *fleet) everyoneSees(used, total int) {
	f.Helper()
	for server := range servers {
		if f.dead[server].Load() {
			continue
		}
		want := fmt.Sprint(object{"free": float64(total - used), "total": float64(total), "used": float64(used)})
		var capacity string
		f.await("capacity "+want, func() bool {
			_, c, err := f.call(server, "GET", "/v1/l3-networks/"+f.l3+"/capacity", nil)
			capacity = fmt.Sprint(c)
			return err == nil && capacity == want
		})
		seen, nics := map[any]bool{}, 0
		for next := ""; ; {
			_, page, err := f.call(server, "GET", "/v1/vm-nics?limit=1000"+next, nil)
			if err != nil {
				f.Fatal(err)
			}
			for _, item := range page["items"].([]any) {
				nic := item.(object)
				nics++
				if seen[nic["ip"]] || seen[nic["mac"]] {
					f.Errorf("server %d: %v or %v is given twice", server, nic["ip"], nic["mac"])
				}
				seen[nic["ip"]], seen[nic["mac"]] = true, true
			}
			cursor, more := page["next"].(string)
			if !more || cursor == "" {
				break
			}
			next = "&cursor=" + cursor
		}
		if nics != used {
			f.Errorf("server %d: %d nics, want %d", server, nics, used)
		}
	}
}
