package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	isoSector = 2048
	// isoFirstDescriptor is the sector of the first volume descriptor
	// (ECMA-119 section 7.2.1: the system area is sectors 0 to 15).
	isoFirstDescriptor = 16
	// isoMaxDescriptors bounds the walk over the descriptor set of a damaged
	// volume; real ones have 2 to 4.
	isoMaxDescriptors = 32

	isoTypePrimary    = 1
	isoTypeTerminator = 255
)

// errNotISO is returned for a device that holds no ISO 9660 volume.
var errNotISO = errors.New("no ISO 9660 volume")

// volumeLabel returns the volume identifier of the primary volume descriptor
// (ECMA-119 section 8.4.7: 32 bytes at offset 40, padded with spaces). It
// returns errNotISO for anything that is not such a volume, a device shorter
// than 17 sectors too, and the read error otherwise.
func volumeLabel(r io.ReaderAt) (string, error) {
	var sector [isoSector]byte
	for i := range isoMaxDescriptors {
		_, err := r.ReadAt(sector[:], int64(isoFirstDescriptor+i)*isoSector)
		if errors.Is(err, io.EOF) {
			return "", errNotISO
		}
		if err != nil {
			return "", fmt.Errorf("read volume descriptor %d: %w", i, err)
		}
		if !bytes.Equal(sector[1:6], []byte("CD001")) {
			return "", errNotISO
		}
		switch sector[0] {
		case isoTypePrimary:
			return strings.TrimRight(string(sector[40:72]), " \x00"), nil
		case isoTypeTerminator:
			return "", errNotISO
		}
	}
	return "", errNotISO
}
