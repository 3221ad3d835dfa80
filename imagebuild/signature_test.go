package imagebuild

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// signed appends a signature that says it has size bytes.
func signed(module, signature string, signer, key byte, size uint32) []byte {
	b := append([]byte(module+signature), 0, 0, 2, signer, key, 0, 0, 0) // 2: PKCS#7
	return append(binary.BigEndian.AppendUint32(b, size), signatureMagic...)
}

func TestStripSignature(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want string
		err  error
	}{
		"empty":           {nil, "", nil},
		"not signed":      {[]byte("\x7fELF body"), "\x7fELF body", nil},
		"PKCS#7":          {signed("\x7fELF body", "signature", 0, 0, 9), "\x7fELF body", nil},
		"signer and key":  {signed("body", "signerkeysignature", 6, 3, 9), "body", nil},
		"no signature":    {signed("body", "", 0, 0, 0), "body", nil},
		"nothing else":    {signed("", "signature", 0, 0, 9), "", nil},
		"too long":        {signed("body", "signature", 0, 0, 14), "", errSignature},
		"longest":         {signed("body", "signature", 255, 255, 1<<32-1), "", errSignature},
		"magic alone":     {[]byte(signatureMagic), "", errSignature},
		"half the struct": {[]byte("123456" + signatureMagic), "", errSignature},
		"magic within":    {[]byte(signatureMagic + "more"), signatureMagic + "more", nil},
		"newline missing": {[]byte("body" + signatureMagic[:len(signatureMagic)-1]), "body" + signatureMagic[:len(signatureMagic)-1], nil},
	} {
		got, err := stripSignature(c.in)
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
}

func FuzzStripSignature(f *testing.F) {
	f.Add([]byte("body"))
	f.Add(signed("body", "signature", 0, 0, 9))
	f.Add(signed("", "", 1, 1, 1))
	f.Fuzz(func(t *testing.T, module []byte) {
		got, err := stripSignature(module)
		switch {
		case err != nil && (got != nil || !bytes.HasSuffix(module, []byte(signatureMagic))):
			t.Errorf("got %d bytes and %v", len(got), err)
		case err == nil && !bytes.HasPrefix(module, got):
			t.Error("is no beginning of the module")
		}
		back, err := stripSignature(signed(string(module), "signature", 0, 0, 9))
		if err != nil || !bytes.Equal(back, module) {
			t.Errorf("what was signed came back as %d bytes, %v", len(back), err)
		}
	})
}

func TestCopyModule(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a.ko"), filepath.Join(dir, "b/c/a.ko")
	must(t, os.WriteFile(from, signed("body", "signature", 0, 0, 9), 0o600))
	must(t, copyModule(from, to))
	if got, err := os.ReadFile(to); err != nil || string(got) != "body" {
		t.Errorf("got %q, %v", got, err)
	}
	must(t, os.WriteFile(from, signed("body", "", 0, 0, 99), 0o600))
	if err := copyModule(from, to); !errors.Is(err, errSignature) {
		t.Errorf("broken signature: got %v", err)
	}
}
