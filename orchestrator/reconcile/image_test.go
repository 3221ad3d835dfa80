package reconcile

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

func TestInspectImage(t *testing.T) {
	write := func(t *testing.T, dir, name, text string) {
		must(t, 0, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for name, c := range map[string]struct {
		change       func(t *testing.T, dir string, req *v1.CreateImage)
		code, detail string
	}{
		"good":               {func(*testing.T, string, *v1.CreateImage) {}, "", ""},
		"relative path":      {func(_ *testing.T, _ string, r *v1.CreateImage) { r.Source = "images/router" }, "invalid-source", "absolute"},
		"no such format":     {func(_ *testing.T, _ string, r *v1.CreateImage) { r.Format = "raw" }, "invalid-format", "raw"},
		"missing":            {func(t *testing.T, dir string, _ *v1.CreateImage) { must(t, 0, os.RemoveAll(dir)) }, "image-missing", "sluice-image build"},
		"corrupted manifest": {func(t *testing.T, dir string, _ *v1.CreateImage) { write(t, dir, "manifest.json", `{"files":`) }, "image-missing", "manifest.json"},
		"wrong digest":       {func(t *testing.T, dir string, _ *v1.CreateImage) { write(t, dir, plan.KernelFile, "VMLINUZ") }, "image-corrupted", "sha256"},
		"wrong size":         {func(t *testing.T, dir string, _ *v1.CreateImage) { write(t, dir, plan.InitrdFile, "initrd and more") }, "image-corrupted", "15 bytes"},
		"file is gone": {func(t *testing.T, dir string, _ *v1.CreateImage) {
			must(t, 0, os.Remove(filepath.Join(dir, plan.InitrdFile)))
		}, "image-corrupted", "no such file"},
		"format needs more": {func(_ *testing.T, _ string, r *v1.CreateImage) { r.Format = "qcow2" }, "image-corrupted", plan.DiskFile},
	} {
		t.Run(name, func(t *testing.T) {
			req := &v1.CreateImage{CreateMeta: named("router"), Source: template(t)}
			c.change(t, req.Source, req)
			img, err := (&Reconciler{}).InspectImage(t.Context(), req)
			if v1.Code(err) != c.code || err != nil && !strings.Contains(err.Error(), c.detail) {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			if err == nil && (img.Format != "direct" || img.Version != "1" || len(img.Files) != 2 || img.State != v1.Enabled) {
				t.Errorf("image %+v", img)
			}
		})
	}
}

// A template that was changed after it was registered does not reach a host.
func TestChangedTemplateIsNotUploaded(t *testing.T) {
	s := newSite(t, 1, 1)
	for img := range model.List[v1.Image](s.store.View()) {
		must(t, 0, os.WriteFile(filepath.Join(img.Source, plan.KernelFile), []byte("VMLINUZ"), 0o600))
	}
	s.startVM(s.vms[0])
	err := s.r.WaitVM(t.Context(), s.vms[0])
	if v1.Code(err) != "router-failed" || !strings.Contains(err.Error(), "stage Storage") || !strings.Contains(err.Error(), "image-corrupted") {
		t.Errorf("got %v", err)
	}
}

// TestFilesOfTemplatesGo with the template, but not while a router may run from
// them, and nothing else does.
func TestFilesOfTemplatesGo(t *testing.T) {
	s := newSite(t, 1, 1)
	r := s.serve(s.vms[0])
	m := s.machines[0]
	put := func(name string) {
		must(t, 0, m.EnsureVolume(t.Context(), name, 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }))
	}
	w := &watching{hostLink: s.r.hosts.by[s.hosts[0]], hv: m}
	has := func(when string, want ...string) {
		t.Helper()
		w.dropTemplates(t.Context())
		var have []string
		for _, v := range must1(s, func() ([]hypervisor.Volume, error) { return m.ListVolumes(t.Context()) }) {
			have = append(have, v.Name)
		}
		if slices.Sort(want); !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", when, have, want)
		}
	}
	img := model.Get[v1.Image](s.store.View(), s.image)
	own, files := plan.ConfigVolume(r), []string{plan.ImageVolume(img, plan.KernelFile), plan.ImageVolume(img, plan.InitrdFile)}
	const old, mine = "image-0123456789abcdef-vmlinuz", "imagery"
	put(old)
	put(mine)
	has("one is old", append(files, own, mine)...)
	put(old)
	stored(s, func(tx *model.Tx) (any, error) { return nil, model.DeleteOffering(tx, s.offer) })
	stored(s, func(tx *model.Tx) (any, error) { return nil, model.DeleteImage(tx, s.image) })
	has("a router runs from what is gone", append(files, own, mine, old)...)
	stored(s, func(tx *model.Tx) (any, error) { return nil, model.DeleteRouter(tx, r.UUID) })
	s.eventually("router is gone", func() bool { return s.router() == nil })
	stranger := plan.RouterVolumePrefix(s.zone) + "disk"
	put(stranger)
	has("somebody that is not known may", append(files, mine, old, stranger)...)
	must(t, 0, m.DeleteVolume(t.Context(), stranger))
	w.templates = "otherwise"
	has("nobody has them", mine)
}
