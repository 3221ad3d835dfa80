package dns

import (
	"fmt"
	"os"
)

// launch asks the first upstream. That is one datagram there and one back for
// nearly all questions; those go without a goroutine. What else may come, a
// silent upstream, a refusal, an answer that did not fit, is fly's.
func (r *resolver) launch(f *flight) {
	f.order = r.candidates(&f.ask)
	if len(f.order) == 0 || r.sockets == nil || r.tls != nil || f.order[0].addr.Addr().Zone() != "" {
		r.goOn(f, nil)
		return
	}
	u, from := f.order[0], ports()
	f.sent = f.ask.pack(true, u.jar.option())
	if err := r.sockets.Ask(u.addr, f.sent.packet, from[:], f); err != nil {
		r.goOn(f, &begun{sent: f.sent, err: fmt.Errorf("ask upstream %v: %w", u.addr, err)})
	}
}

func (r *resolver) goOn(f *flight, b *begun) {
	r.background.Go(func() { r.fly(f, b) })
}

// arrivals is what becomes of flights of all networks.
type arrivals struct{}

// Arrived implements questions.Handler.
func (arrivals) Arrived(f *flight, msg []byte, err error) (done bool) {
	r, u := f.r, f.order[0]
	var e *entry
	if err != nil {
		err = fmt.Errorf("wait for upstream %v: %w", u.addr, err)
	} else if e, err, done = r.read(&f.sent, u, &f.ask, msg); !done {
		return false
	}
	if err != nil {
		r.goOn(f, &begun{sent: f.sent, err: err})
		return true
	}
	r.count(countUpstreamQuery)
	u.answered()
	r.land(f, e)
	return true
}

// Late implements questions.Handler.
func (arrivals) Late(f *flight, socket *os.File) {
	f.r.goOn(f, &begun{sent: f.sent, conn: socket})
}
