package libvirt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// wire speaks the part of libvirt's RPC protocol (libvirt, docs/kbase/internals/
// rpc.rst) that moves streams. go-libvirt has streams too, but one that the server
// refuses after the last byte was sent, as on a full disk, never returns.
type wire struct {
	conn   net.Conn
	serial uint32
	// early holds what a download sent before the reply that announces it: the
	// server's stream and its reply are not ordered.
	early []packet
}

// Numbers of virnetprotocol.x and remote_protocol.x.
const (
	program         = 0x20008086
	protocolVersion = 1

	typeCall   = 0
	typeReply  = 1
	typeStream = 3

	statusOK       = 0
	statusError    = 1
	statusContinue = 2

	procConnectOpen = 1
	procAuthList    = 66
	procAuthPolkit  = 70
	procVolUpload   = 208
	procVolDownload = 209

	authPolkit = 2

	headerSize = 28
	// maxChunk fits VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX, which every server takes.
	maxChunk = 128 << 10
	// maxPacket is VIR_NET_MESSAGE_MAX.
	maxPacket = 32 << 20
)

type packet struct {
	proc, kind, serial, status uint32
	payload                    []byte
}

func (w *wire) send(p packet) error {
	buf := make([]byte, 0, headerSize+len(p.payload))
	for _, n := range []uint32{uint32(headerSize + len(p.payload)), program, protocolVersion, p.proc, p.kind, p.serial, p.status} {
		buf = binary.BigEndian.AppendUint32(buf, n)
	}
	_, err := w.conn.Write(append(buf, p.payload...))
	return err
}

func (w *wire) receive() (packet, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(w.conn, head[:]); err != nil {
		return packet{}, err
	}
	at := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
	if size := at(0); size < headerSize || size > maxPacket {
		return packet{}, fmt.Errorf("packet of %d bytes", size)
	}
	p := packet{proc: at(3), kind: at(4), serial: at(5), status: at(6), payload: make([]byte, at(0)-headerSize)}
	if _, err := io.ReadFull(w.conn, p.payload); err != nil {
		return packet{}, err
	}
	if p.status == statusError {
		return p, decodeError(p.payload)
	}
	return p, nil
}

// call sends a request and waits for its reply; nothing but the data of its own
// stream can arrive meanwhile.
func (w *wire) call(proc uint32, args []byte) ([]byte, error) {
	w.serial++
	if err := w.send(packet{proc: proc, kind: typeCall, serial: w.serial, payload: args}); err != nil {
		return nil, err
	}
	for {
		p, err := w.receive()
		switch {
		case err != nil:
			return nil, err
		case p.kind == typeReply && p.serial == w.serial:
			return p.payload, nil
		case p.kind == typeStream && p.serial == w.serial:
			w.early = append(w.early, p)
		default:
			return nil, fmt.Errorf("packet of type %d for call %d, wanted the reply to %d", p.kind, p.serial, w.serial)
		}
	}
}

// open authenticates and opens uri. The order is fixed: libvirtd refuses other
// calls before the list of methods was asked for.
func (w *wire) open(uri string) error {
	methods, err := w.call(procAuthList, nil)
	if err != nil {
		return err
	}
	if len(methods) >= 8 && binary.BigEndian.Uint32(methods[4:]) == authPolkit {
		if _, err := w.call(procAuthPolkit, nil); err != nil {
			return err
		}
	}
	var args xdr
	args.uint32(1) // the optional name follows
	args.string(uri)
	args.uint32(0)
	_, err = w.call(procConnectOpen, args)
	return err
}

// startStream asks for the upload or download of length bytes of vol at offset;
// 0 is up to the end.
func (w *wire) startStream(proc uint32, vol golibvirt.StorageVol, offset, length uint64) error {
	var args xdr
	args.string(vol.Pool)
	args.string(vol.Name)
	args.string(vol.Key)
	args.uint64(offset)
	args.uint64(length)
	args.uint32(0)
	_, err := w.call(proc, args)
	return err
}

// upload sends all of content, then waits until the server has written it.
func (w *wire) upload(content io.Reader) error {
	// The server reports a failed write whenever it meets it.
	verdict := make(chan error, 1)
	go func() {
		_, err := w.receive()
		verdict <- err
	}()
	chunk := make([]byte, maxChunk)
	for {
		n, err := content.Read(chunk)
		if n > 0 {
			if err := w.stream(procVolUpload, statusContinue, chunk[:n]); err != nil {
				return prefer(verdict, err)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		select {
		case err := <-verdict:
			return errors.Join(err, errIf(err == nil, "stream ended by the server"))
		default:
		}
	}
	if err := w.stream(procVolUpload, statusOK, nil); err != nil {
		return prefer(verdict, err)
	}
	return <-verdict
}

// download copies the stream to out. Its end is an empty packet.
func (w *wire) download(out *bytes.Buffer) error {
	for {
		p, err := w.nextData()
		if err != nil {
			return err
		}
		if len(p.payload) == 0 {
			return nil
		}
		out.Write(p.payload)
	}
}

func (w *wire) nextData() (packet, error) {
	if len(w.early) == 0 {
		return w.receive()
	}
	p := w.early[0]
	w.early = w.early[1:]
	return p, nil
}

func (w *wire) stream(proc, status uint32, data []byte) error {
	return w.send(packet{proc: proc, kind: typeStream, serial: w.serial, status: status, payload: data})
}

// prefer returns what the server said, if it did, over how the write failed.
func prefer(verdict <-chan error, err error) error {
	select {
	case said := <-verdict:
		return errors.Join(said, err)
	default:
		return err
	}
}

func errIf(condition bool, text string) error {
	if !condition {
		return nil
	}
	return errors.New(text)
}

// xdr appends values in the encoding of RFC 4506.
type xdr []byte

func (x *xdr) uint32(n uint32) { *x = binary.BigEndian.AppendUint32(*x, n) }
func (x *xdr) uint64(n uint64) { *x = binary.BigEndian.AppendUint64(*x, n) }

func (x *xdr) string(s string) {
	x.uint32(uint32(len(s)))
	*x = append(*x, s...)
	*x = append(*x, make([]byte, (4-len(s)%4)%4)...)
}

// decodeError reads the start of a remote_error: code, domain, optional message.
func decodeError(b []byte) error {
	short := golibvirt.Error{Message: "unreadable error"}
	if len(b) < 12 {
		return short
	}
	short.Code = binary.BigEndian.Uint32(b)
	if binary.BigEndian.Uint32(b[8:]) == 0 || len(b) < 16 {
		return short
	}
	n := binary.BigEndian.Uint32(b[12:])
	if uint64(n) > uint64(len(b)-16) {
		return short
	}
	return golibvirt.Error{Code: short.Code, Message: string(b[16 : 16+n])}
}
