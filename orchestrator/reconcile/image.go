package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/hypervisor"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// manifest is what `sluice-image build` writes beside a template's files.
type manifest struct {
	Version string                  `json:"version"`
	Cmdline string                  `json:"cmdline"`
	Files   map[string]v1.ImageFile `json:"files"`
}

// manifestLimit bounds what is read from a file that a user names.
const manifestLimit = 1 << 20

// InspectImage implements httpapi.Effects by ReadImage.
func (r *Reconciler) InspectImage(_ context.Context, req *v1.CreateImage) (*v1.Image, error) {
	return ReadImage(req)
}

// ReadImage reads a template's manifest and checks the files that its format
// needs against it.
func ReadImage(req *v1.CreateImage) (*v1.Image, error) {
	if !filepath.IsAbs(req.Source) {
		return nil, v1.Invalid("invalid-source", "source %q of image %s is not an absolute path of a folder on the orchestrator's machine", req.Source, req.Name)
	}
	m, err := readManifest(filepath.Join(req.Source, "manifest.json"))
	if err != nil {
		return nil, v1.Refused("image-missing", "image %s: %v; build it with `sluice-image build --output %s`", req.Name, err, req.Source).Because(err)
	}
	format := req.Format
	if format == "" {
		format = "direct"
	}
	if format != "direct" && format != "qcow2" {
		return nil, v1.Invalid("invalid-format", "image %s: format %q is neither direct nor qcow2", req.Name, format)
	}
	img := &v1.Image{
		Meta:   v1.Meta{UUID: req.UUID, Name: req.Name, Description: req.Description, SystemTags: req.SystemTags},
		Format: format, Source: filepath.Clean(req.Source), State: v1.Enabled,
		Version: m.Version, Cmdline: m.Cmdline, Files: map[string]v1.ImageFile{},
	}
	for _, name := range plan.ImageVolumes(img) {
		want, ok := m.Files[name]
		if !ok {
			return nil, v1.Refused("image-corrupted", "image %s: its manifest has no file %s, which format %s needs; build the template again", req.Name, name, format)
		}
		if err := checkFile(filepath.Join(img.Source, name), want); err != nil {
			return nil, v1.Refused("image-corrupted", "image %s: %v; build the template again", req.Name, err).Because(err)
		}
		img.Files[name] = want
	}
	return img, nil
}

func readManifest(path string) (manifest, error) {
	var m manifest
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, manifestLimit)).Decode(&m); err != nil {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

func checkFile(path string, want v1.ImageFile) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.SHA256 || size != want.Size {
		return fmt.Errorf("%s is not what its manifest says (%d bytes, sha256 %.12s..., wanted %d and %.12s...)", path, size, got, want.Size, want.SHA256)
	}
	return nil
}

// imageFile opens a template's file for upload, and refuses one that was
// changed since it was registered.
func imageFile(img *v1.Image, name string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		path := filepath.Join(img.Source, name)
		if err := checkFile(path, img.Files[name]); err != nil {
			return nil, v1.Unavailable("image-corrupted", "image %s: %v; build the template again and register it as a new image", img.Name, err).On(img.UUID).Because(err)
		}
		return os.Open(path)
	}
}

// dropTemplates removes the files of templates that are not registered any more,
// whenever others may be than the last time.
func (w *watching) dropTemplates(ctx context.Context) {
	now := w.r.templates(w.uuid)
	if now == w.templates {
		return
	}
	if err := w.dropUnregistered(ctx, w.hv); err != nil {
		w.log.Warn("remove files of templates", "err", err) // at the next tick again
		return
	}
	w.templates = now
}

// templates stands for the templates that are registered, and the others that
// routers of a host have.
func (r *Reconciler) templates(host string) string {
	view, s := r.Store.View(), ""
	for img := range model.List[v1.Image](view) {
		s += img.UUID + " "
	}
	for row := range model.Related[v1.VirtualRouter](view, model.RoutersOfHost, host) {
		if model.Get[v1.Image](view, row.ImageUUID) == nil {
			s += "and " + row.ImageUUID + " "
		}
	}
	return s
}

// dropUnregistered leaves all files alone while a router is there whose template
// is not registered, or that is not known, as of a server that was here before:
// which are its files nobody knows, and its disk may be on one.
func (l *hostLink) dropUnregistered(ctx context.Context, hv hypervisor.Hypervisor) error {
	view := l.r.Store.View()
	for row := range model.Related[v1.VirtualRouter](view, model.RoutersOfHost, l.uuid) {
		if model.Get[v1.Image](view, row.ImageUUID) == nil {
			return nil
		}
	}
	keep := map[string]bool{}
	for img := range model.List[v1.Image](view) {
		for _, name := range plan.ImageVolumes(img) {
			keep[plan.ImageVolume(img, name)] = true
		}
	}
	volumes, err := hv.ListVolumes(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(volumes, func(v hypervisor.Volume) bool { return ofStranger(view, v.Name) }) {
		return nil
	}
	for _, v := range volumes {
		if !strings.HasPrefix(v.Name, plan.ImageVolumePrefix) || keep[v.Name] {
			continue
		}
		l.log.Info("remove file of a template that is not registered", "volume", v.Name)
		if err := hv.DeleteVolume(ctx, v.Name); err != nil {
			return err
		}
	}
	return nil
}

func ofStranger(view *model.View, volume string) bool {
	router, ok := plan.RouterOfVolume(volume)
	return ok && model.Get[v1.VirtualRouter](view, router) == nil
}
