package imagebuild

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What the kernel's build appends to a module: the signature, struct
// module_signature and this text (linux/module_signature.h).
const (
	signatureMagic = "~Module signature appended~\n"
	// signatureInfo is sizeof(struct module_signature): five bytes of kinds and
	// lengths, three of padding, and the signature's length, big-endian.
	signatureInfo = 12
)

var errSignature = errors.New("broken module signature")

// stripSignature returns a module without its appended signature, as a part of
// the same bytes; one without a signature as it is. A signature that claims
// more than there is gives an error.
//
// Checking it costs the kernel some 10 ms a module on an emulated CPU. The
// archive's signature and digests vouch for the package that the module comes
// from, and process 1 loads what is in the RAM disk and closes the door.
func stripSignature(module []byte) ([]byte, error) {
	rest, signed := bytes.CutSuffix(module, []byte(signatureMagic))
	if !signed {
		return module, nil
	}
	if len(rest) < signatureInfo {
		return nil, fmt.Errorf("%w: %d bytes", errSignature, len(module))
	}
	body, info := rest[:len(rest)-signatureInfo], rest[len(rest)-signatureInfo:]
	// Signer and key are named by older kernels only; PKCS#7 has them inside.
	size := uint64(info[3]) + uint64(info[4]) + uint64(binary.BigEndian.Uint32(info[8:]))
	if size > uint64(len(body)) {
		return nil, fmt.Errorf("%w: %d bytes of signature in a file of %d", errSignature, size, len(module))
	}
	return body[:uint64(len(body))-size], nil
}

// copyModule copies a module without its signature.
func copyModule(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	if b, err = stripSignature(b); err != nil {
		return fmt.Errorf("strip %s: %w", filepath.Base(from), err)
	}
	return writeFile(to, b)
}
