package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
)

// driveSize is the size of the config drive, the same for all: a volume is
// known by name and size. 1 MiB holds some thousand times the bootstrap.
const driveSize = 1 << 20

// config uploads the config drive of this build.
func (c *call) config(ctx context.Context) error {
	hv, err := c.hosts.get(c.row.HostUUID)
	if err != nil {
		return err
	}
	token, err := c.readToken(ctx, c.row)
	if err != nil {
		return err
	}
	b, err := plan.Bootstrap(c.view, c.row, c.OrchestratorCA, token.Secret)
	if err != nil {
		return err
	}
	drive, err := configDrive(b)
	if err != nil {
		return fmt.Errorf("make config drive: %w", err)
	}
	return hv.EnsureVolume(ctx, plan.ConfigVolume(c.row), driveSize, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(drive)), nil
	})
}

// configDrive is an ISO 9660 volume labelled cidata with the bootstrap on it.
func configDrive(b agentv1.Bootstrap) ([]byte, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-drive-") // 0700: the token is in it
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "drive.iso")
	img, err := file.CreateFromPath(path, driveSize)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	// The content is gathered in a folder of its own: everything in it ends up
	// on the drive.
	content := filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o700); err != nil {
		return nil, err
	}
	fs, err := iso9660.Create(img, driveSize, 0, 2048, content)
	if err != nil {
		return nil, err
	}
	f, err := fs.OpenFile("/"+agentv1.BootstrapFile, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(body); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: agentv1.ConfigLabel}); err != nil {
		return nil, err
	}
	drive, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return append(drive, make([]byte, max(0, driveSize-len(drive)))...), nil
}
