package imagebuild

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cavaliergopher/cpio"
	"github.com/pierrec/lz4/v4"
)

// archiveTime is the modification time of every entry, so that equal contents
// make equal archives. It is not the epoch itself, which some tools take for
// "unknown".
var archiveTime = time.Unix(1, 0)

// writeArchive writes entries as a newc archive, in their order.
func writeArchive(w io.Writer, entries []Entry) error {
	cw := cpio.NewWriter(w)
	for _, e := range entries {
		data, err := e.content()
		if err != nil {
			return err
		}
		h := &cpio.Header{
			Name: e.Path, Mode: cpio.FileMode(e.Mode), ModTime: archiveTime,
			Size: int64(len(data)), Links: 1,
		}
		if err := cw.WriteHeader(h); err != nil {
			return fmt.Errorf("write archive entry %s: %w", e.Path, err)
		}
		if _, err := cw.Write(data); err != nil {
			return fmt.Errorf("write archive entry %s: %w", e.Path, err)
		}
	}
	if err := cw.Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return nil
}

// content is what the archive stores as the entry's body; for a link that is
// its target.
func (e Entry) content() ([]byte, error) {
	switch {
	case e.Mode == ModeLink:
		return []byte(e.Link), nil
	case e.Source != "":
		b, err := os.ReadFile(e.Source)
		if err != nil {
			return nil, fmt.Errorf("read file of image: %w", err)
		}
		return b, nil
	default:
		return e.Data, nil
	}
}

// Pack returns an archive of the entries, in their order, compressed as the kernel's unlz4 reads it
// (LZ4's legacy frame). Equal entries give equal bytes.
//
// LZ4 and not zstd, because a router boots from emulated CPUs too: unpacking
// costs a quarter of zstd's instructions, which is 0.3 s there, for 3 MB more.
// Such a frame has no end mark: it goes on until the next one or the end of the
// RAM disk. So nothing may be put between two of them, no padding either.
func Pack(entries []Entry) ([]byte, error) {
	var raw, out bytes.Buffer
	if err := writeArchive(&raw, entries); err != nil {
		return nil, err
	}
	// An archive ends on a block of 512 bytes, as cpio itself pads it: then the
	// next one starts aligned in the stream, which the kernel relies on.
	raw.Write(make([]byte, -raw.Len()&511))
	w := lz4.NewWriter(&out)
	err := w.Apply(lz4.LegacyOption(true), lz4.CompressionLevelOption(lz4.Level9), lz4.ConcurrencyOption(1))
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	if _, err := w.Write(raw.Bytes()); err != nil {
		return nil, fmt.Errorf("compress archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress archive: %w", err)
	}
	return out.Bytes(), nil
}
