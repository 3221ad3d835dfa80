package libvirt

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// A server that refuses an upload after its last byte, as on a full disk, is heard.
func TestUploadRefusedAtTheEnd(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	client.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		defer server.Close()
		w := &wire{conn: server}
		for {
			p, err := w.receive()
			if err != nil || p.status == statusOK {
				break
			}
		}
		var e xdr
		e.uint32(38)
		e.uint32(0)
		e.uint32(1)
		e.string("No space left on device")
		w.send(packet{proc: procVolUpload, kind: typeStream, status: statusError, payload: e})
	}()
	err := (&wire{conn: client}).upload(bytes.NewReader(make([]byte, 3*maxChunk+5)))
	answer, ok := errors.AsType[golibvirt.Error](err)
	if !ok || answer.Code != 38 || answer.Message != "No space left on device" {
		t.Fatalf("error is %v", err)
	}
}

func TestReceiveRefusesNonsense(t *testing.T) {
	for _, bad := range [][]byte{make([]byte, headerSize), bytes.Repeat([]byte{0xff}, headerSize)} {
		client, server := net.Pipe()
		go func() {
			server.Write(bad)
			server.Close()
		}()
		if _, err := (&wire{conn: client}).receive(); err == nil {
			t.Errorf("packet %x was taken", bad[:4])
		}
		client.Close()
	}
}

func FuzzDecodeError(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x26\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02no\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if decodeError(b) == nil {
			t.Error("an error packet without an error")
		}
	})
}
