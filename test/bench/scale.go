package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hostnet/novlan"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Goals of a store with 100,000 nics.
const (
	goalCreate = 10.0 // ms, p99, on this disk
	goalPage   = 5.0  // ms
	goalNic    = 1.0  // KB a nic above the data
	goalStart  = 5.0  // s
)

// scaleCalls is how many calls of a kind are timed, scaleBatch how many VMs go
// into the store in one transaction.
const (
	scaleCalls = 300
	scaleBatch = 250
)

// logLength is more commits than etcd keeps in memory: with the few large ones
// of filling in there, the server would hold all data once more.
const logLength = 6000

var scaleSizes = []int{0, 1_000, 10_000, 100_000}

// scaled is what was measured with a store of one size.
type scaled struct {
	nics         int
	data         float64 // bytes of the resources as JSON, which is how etcd has them
	memory, busy float64 // bytes of the server's anonymous memory: once started, after the calls
	start        time.Duration
	// sync is one write of the log's size to the same disk, between the calls:
	// below it no create can be.
	create, sync, read, page, sort []time.Duration
}

func (s scaled) String() string {
	return fmt.Sprintf("scale %6d nics: data=%.1fMB memory=%.1fMB busy=%.1fMB start=%.2fs create p50=%.2f p99=%.2f sync p50=%.2f p99=%.2f read p50=%.2f page p50=%.2f p99=%.2f sorted p50=%.2f ms",
		s.nics, s.data/1e6, s.memory/1e6, s.busy/1e6, s.start.Seconds(), ms(s.create, 50), ms(s.create, 99), ms(s.sync, 50), ms(s.sync, 99), ms(s.read, 50), ms(s.page, 50), ms(s.page, 99), ms(s.sort, 50))
}

// ms is a percentile in milliseconds.
func ms(all []time.Duration, percent int) float64 {
	s := slices.Sorted(slices.Values(all))
	return float64(s[(len(s)-1)*percent/100]) / 1e6
}

// scale measures a server with stores that grow, each VM with a nic. The store
// is filled by the model's own rules while no server runs.
func scale(ctx context.Context, b *bench) ([]result, error) {
	dir, err := os.MkdirTemp("", instance+"-scale")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var all []scaled
	for _, nics := range scaleSizes {
		progress("scale: %d nics", nics)
		one := scaled{nics: nics}
		if one.data, err = fillStore(ctx, dir, nics); err != nil {
			return nil, err
		}
		if err := b.serveScaled(ctx, dir, &one); err != nil {
			return nil, err
		}
		remark("%s load=%s", one, load())
		all = append(all, one)
	}
	none, most := all[0], all[len(all)-1]
	// A nic with its VM: what memory grew by, less what their JSON has.
	above := (most.memory - none.memory - (most.data - none.data)) / float64(most.nics)
	return []result{
		bound("scale-create-p99", "ms", ms(most.create, 99), goalCreate),
		bound("scale-page-p99", "ms", ms(most.page, 99), goalPage),
		bound("scale-nic-memory", "KB", above/1e3, goalNic),
		bound("scale-start", "s", most.start.Seconds(), goalStart),
		against("scale-create-growth", "ms", ms(most.create, 50), "1000-nics", ms(all[1].create, 50), 2),
		against("scale-page-growth", "ms", ms(most.page, 50), "1000-nics", ms(all[1].page, 50), 2),
	}, nil
}

// fillStore brings the store up to that many nics, and returns how many bytes
// its resources are.
func fillStore(ctx context.Context, dir string, nics int) (data float64, err error) {
	s, err := store.Open(ctx, store.Config{Dir: filepath.Join(dir, "etcd"), Catalog: model.Catalog{L2Types: []model.L2Type{novlan.Type{}}}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for {
		done := false
		view, err := s.Update(ctx, func(tx *model.Tx) error {
			l3, err := scaleNetwork(tx)
			for n, end := tx.Len(model.Nics), min(nics, tx.Len(model.Nics)+scaleBatch); err == nil && n < end; n++ {
				_, err = model.CreateVM(tx, v1.CreateVMInstance{
					CreateMeta: v1.CreateMeta{Name: fmt.Sprintf("vm-%06d", n)}, Hostname: fmt.Sprintf("vm-%06d", n),
					Nics: []v1.CreateVMNic{{L3NetworkUUID: l3[n%len(l3)]}},
				})
			}
			done = tx.Len(model.Nics) >= nics
			return err
		})
		if err != nil {
			return 0, err
		}
		if done {
			if err := roll(ctx, s.Private()); err != nil {
				return 0, err
			}
			return dataOf(view)
		}
	}
}

// roll makes small commits until etcd has forgotten the ones before.
func roll(ctx context.Context, p *store.Private) error {
	const writers = 50
	var all errgroup.Group
	for i := range writers {
		all.Go(func() error {
			for range logLength / writers {
				if err := p.Put(ctx, fmt.Sprint("bench/", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func dataOf(v *model.View) (bytes float64, err error) {
	for _, kind := range model.Kinds() {
		for r := range v.All(kind, "") {
			b, err := json.Marshal(r)
			if err != nil {
				return 0, err
			}
			bytes += float64(len(b))
		}
	}
	return bytes, nil
}

// scaleNetwork are two L3 networks of a /16 each, made by the first call.
func scaleNetwork(tx *model.Tx) (l3s []string, err error) {
	for l3 := range model.List[v1.L3Network](tx.View) {
		l3s = append(l3s, l3.UUID)
	}
	if len(l3s) > 0 {
		return l3s, nil
	}
	zone, err := model.CreateZone(tx, v1.CreateZone{CreateMeta: v1.CreateMeta{Name: "zone"}})
	if err != nil {
		return nil, err
	}
	for _, cidr := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		l2, err := model.CreateL2Network(tx, v1.CreateL2Network{CreateMeta: v1.CreateMeta{Name: cidr}, ZoneUUID: zone.UUID, PhysicalInterface: "eth" + cidr[3:4]})
		if err != nil {
			return nil, err
		}
		l3, err := model.CreateL3Network(tx, v1.CreateL3Network{CreateMeta: v1.CreateMeta{Name: cidr}, L2NetworkUUID: l2.UUID})
		if err != nil {
			return nil, err
		}
		if _, err := model.AddIPRange(tx, l3.UUID, v1.AddIPRange{CreateMeta: v1.CreateMeta{Name: cidr}, NetworkCIDR: cidr}); err != nil {
			return nil, err
		}
		l3s = append(l3s, l3.UUID)
	}
	return l3s, nil
}

// serveScaled starts a server on the store, measures, and ends it.
func (b *bench) serveScaled(ctx context.Context, dir string, s *scaled) (err error) {
	socket := filepath.Join(dir, "s")
	server := exec.CommandContext(ctx, filepath.Join(b.bin, "sluice"), "server", "--data-dir", dir, "--socket", socket, "--listen", "", "--instance", instance+"-scale", "--log-level", "warn")
	server.Stderr = os.Stderr
	began := time.Now()
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, server.Wait())
	}()
	api, err := client.New(client.Config{Server: "unix://" + socket})
	if err != nil {
		return err
	}
	for {
		if err := api.Do(ctx, http.MethodGet, "/v1/zones?limit=1", nil, nil); err == nil {
			break
		} else if ctx.Err() != nil || time.Since(began) > time.Minute {
			return fmt.Errorf("the server does not answer: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.start = time.Since(began)
	if s.memory, err = anonymous(server.Process.Pid); err != nil {
		return err
	}
	if err := s.calls(ctx, api, filepath.Join(dir, "sync")); err != nil {
		return err
	}
	s.busy, err = anonymous(server.Process.Pid)
	return err
}

// calls times one call after the other.
func (s *scaled) calls(ctx context.Context, api *client.Client, file string) error {
	disk, err := openDisk(file)
	if err != nil {
		return err
	}
	defer disk.Close()
	l3s, err := client.List[v1.L3Network](ctx, api, "/v1/l3-networks", nil)
	if err != nil {
		return err
	}
	timed := func(into *[]time.Duration, method, path string, body, out any) error {
		began := time.Now()
		err := api.Do(ctx, method, path, body, out)
		*into = append(*into, time.Since(began))
		return err
	}
	var made []string
	next := ""
	for range scaleCalls {
		var vm v1.VMInstance
		var page struct{ Next string }
		if err := errors.Join(
			timed(&s.create, http.MethodPost, "/v1/vm-instances", v1.CreateVMInstance{
				CreateMeta: v1.CreateMeta{Name: "one-more"}, Nics: []v1.CreateVMNic{{L3NetworkUUID: l3s[0].UUID}},
			}, &vm),
			timedSync(&s.sync, disk),
			timed(&s.read, http.MethodGet, "/v1/vm-instances/"+vm.UUID, nil, &vm),
			timed(&s.page, http.MethodGet, "/v1/vm-nics?limit=100"+next, nil, &page),
		); err != nil {
			return err
		}
		if next = ""; page.Next != "" {
			next = "&cursor=" + page.Next
		}
		made = append(made, vm.UUID)
	}
	for range 10 { // every nic is looked at for these
		if err := timed(&s.sort, http.MethodGet, "/v1/vm-nics?limit=100&sort=-ip&mac~=0a", nil, nil); err != nil {
			return err
		}
	}
	for _, uuid := range made {
		if err := api.Do(ctx, http.MethodDelete, "/v1/vm-instances/"+uuid, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// logRecord is what etcd appends to its log for one VM with a nic, in bytes.
const logRecord = 1536

// openDisk is a file with room for all records, as etcd makes its logs.
func openDisk(file string) (*os.File, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, scaleCalls*logRecord), f.Sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func timedSync(into *[]time.Duration, f *os.File) error {
	began := time.Now()
	_, err := f.Write(make([]byte, logRecord))
	err = errors.Join(err, unix.Fdatasync(int(f.Fd())))
	*into = append(*into, time.Since(began))
	return err
}

// anonymous is a process's memory that no file stands behind, in bytes
// (proc(5), RssAnon): etcd maps its data file, and the kernel takes back what
// of that is not in use.
func anonymous(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kib); n == 1 {
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("process %d has no RssAnon", pid)
}
