package world

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Close removes everything: through the server as an administrator would, and
// then what is left if that failed.
func (w *World) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if w.Lab.Running("server") {
		_ = w.DeleteAll(ctx) // what it leaves goes by force
	}
	return w.remove(ctx)
}

// DeleteAll deletes what stands at the roots of the model and waits until the
// routers are gone. The patience is short: one that is being built is removed
// by force when the world closes.
func (w *World) DeleteAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := w.Delete(ctx, "/v1/vm-instances", "/v1/l2-networks"); err != nil {
		return err
	}
	return w.NoRouters(ctx, 5*time.Second)
}

// Delete deletes everything that is listed at paths of the API.
func (w *World) Delete(ctx context.Context, paths ...string) error {
	for _, path := range paths {
		all, err := client.List[v1.Zone](ctx, w.API, path, nil)
		if err != nil {
			return err
		}
		for _, o := range all {
			if err := w.API.Do(ctx, http.MethodDelete, path+"/"+o.UUID, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Left names what of routers and networks is still on the machine.
func (w *World) Left(ctx context.Context) []string {
	left := w.Domains(ctx)
	volumes, _ := filepath.Glob(filepath.Join(w.pool(), "router-*"))
	left = append(left, volumes...)
	for _, name := range w.bridges() {
		if _, err := net.InterfaceByName(name); err == nil {
			left = append(left, name)
		}
	}
	return left
}

// remove ends the lab and sweeps domains, pool, bridges and data.
func (w *World) remove(ctx context.Context) error {
	down := w.Lab.Down(ctx)
	for _, name := range w.Domains(ctx) {
		_ = virsh(ctx, "destroy", name).Run() // it may be off already
		_ = virsh(ctx, "undefine", name).Run()
	}
	_ = virsh(ctx, "pool-destroy", w.Instance).Run() // gone is fine
	_ = virsh(ctx, "pool-undefine", w.Instance).Run()
	for _, name := range w.bridges() {
		_, _ = w.Lab.Host(ctx, "ip", "link", "delete", name) // gone is the rule
	}
	return errors.Join(down, os.RemoveAll(w.pool()), os.RemoveAll(w.data()), os.RemoveAll(w.bridgeFile()))
}

// Domains are those that use the instance's pool, running or not.
func (w *World) Domains(ctx context.Context) []string {
	out, _ := virsh(ctx, "list", "--all", "--name").Output()
	var ours []string
	for name := range strings.FieldsSeq(string(out)) {
		xml, err := virsh(ctx, "dumpxml", name).Output()
		if err == nil && strings.Contains(string(xml), w.pool()+"/") {
			ours = append(ours, name)
		}
	}
	return ours
}

// bridgeFile outlives the lab's directory and the server's data.
func (w *World) bridgeFile() string { return filepath.Join("/run", w.Instance+"-bridges") }

func (w *World) bridges() []string {
	names, _ := os.ReadFile(w.bridgeFile())
	return strings.Fields(string(names))
}

func (w *World) noteBridges(ctx context.Context) error {
	all, err := client.List[v1.L2Network](ctx, w.API, "/v1/l2-networks", nil)
	if err != nil {
		return err
	}
	var names []string
	for _, l2 := range all {
		for _, r := range l2.Realizations {
			names = append(names, r.Bridge)
		}
	}
	return os.WriteFile(w.bridgeFile(), []byte(strings.Join(names, "\n")), 0o600)
}
