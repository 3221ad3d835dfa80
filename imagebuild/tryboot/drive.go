package tryboot

import (
	"fmt"
	"os"
	"path"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// WriteConfigDrive writes an ISO image labelled cidata with the given files
// (slash paths from the root of the volume) to file, which must not exist.
func WriteConfigDrive(file string, files map[string][]byte) error {
	const size = 4 << 20
	d, err := diskfs.Create(file, size, diskfs.SectorSizeDefault)
	if err != nil {
		return fmt.Errorf("create config drive: %w", err)
	}
	defer d.Close()
	d.LogicalBlocksize = 2048 // iso9660 knows no other
	fs, err := d.CreateFilesystem(disk.FilesystemSpec{FSType: filesystem.TypeISO9660, VolumeLabel: "cidata"})
	if err != nil {
		return fmt.Errorf("create config file system: %w", err)
	}
	iso, ok := fs.(*iso9660.FileSystem)
	if !ok {
		return fmt.Errorf("create config file system: got %T", fs)
	}
	for name, body := range files {
		if err := addFile(iso, name, body); err != nil {
			return err
		}
	}
	err = iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"})
	if err != nil {
		return fmt.Errorf("finish config drive: %w", err)
	}
	return nil
}

func addFile(fs *iso9660.FileSystem, name string, body []byte) error {
	if dir := path.Dir("/" + name); dir != "/" {
		if err := fs.Mkdir(dir); err != nil {
			return fmt.Errorf("create %s on config drive: %w", dir, err)
		}
	}
	f, err := fs.OpenFile("/"+name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return fmt.Errorf("create %s on config drive: %w", name, err)
	}
	defer f.Close()
	if _, err := f.Write(body); err != nil {
		return fmt.Errorf("write %s on config drive: %w", name, err)
	}
	return nil
}
