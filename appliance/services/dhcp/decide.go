package dhcp

import "time"

// meta is what the frame says besides the message.
type meta struct {
	src hw  // sender on the link
	dst ip4 // destination of the IP packet
}

// decision is what a message deserves. kind is the type of the answer; zero is
// silence.
type decision struct {
	kind    byte
	reason  reason
	binding *binding
	// toClient: the client has an address and is answered at it (ciaddr).
	toClient bool
	// decline and release are facts to remember.
	decline, release bool
}

func silence(r reason) decision { return decision{reason: r} }

// decide says what a message deserves. It is pure; RFC 2131 section 4.3.
func decide(c *Config, r *request, m meta, q quarantine, now time.Time) decision {
	if r.giaddr != noAddress && !c.relayed(r.giaddr) {
		return silence(silentRelay)
	}
	// The packet socket sees what the router forwards too: a renewal sent
	// through it to a server elsewhere is none of our business.
	if m.dst != limited && m.dst != c.serverID {
		return silence(silentForeign)
	}
	b := c.bindings.find(r.chaddr)
	if b == nil {
		return silence(silentUnknown)
	}
	switch r.kind {
	case typeDiscover:
		if q.holds(b, now) {
			return silence(silentQuarantined)
		}
		return decision{kind: typeOffer, reason: offered, binding: b}
	case typeRequest:
		return decideRequest(c, b, r, m, q, now)
	case typeDecline:
		return decideDecline(c, b, r, m)
	case typeRelease:
		return decideRelease(c, b, r, m)
	case typeInform:
		return decideInform(c, b, r)
	}
	return silence(silentType)
}

// decideRequest tells the four states of RFC 2131 section 4.3.2 apart by what
// is filled in: a server id in SELECTING only, ciaddr in RENEWING and
// REBINDING, and of these two the first is sent to us alone, past all relays.
func decideRequest(c *Config, b *binding, r *request, m meta, q quarantine, now time.Time) decision {
	want, ack, nak, renews := r.wanted, ackSelecting, nakSelecting, false
	switch {
	case r.hasServer:
		if r.serverID != c.serverID {
			return silence(silentOtherServer)
		}
		if !r.hasWanted {
			want = r.ciaddr
		}
	case r.ciaddr != noAddress && (m.dst == limited || r.giaddr != noAddress):
		want, ack, nak, renews = r.ciaddr, ackRebinding, nakRebinding, true
	case r.ciaddr != noAddress:
		want, ack, nak, renews = r.ciaddr, ackRenewing, nakRenewing, true
	default:
		ack, nak = ackInitReboot, nakInitReboot
	}
	switch {
	case want == noAddress:
		return silence(silentIncomplete)
	case want != b.ip:
		return decision{kind: typeNak, reason: nak, binding: b}
	case !renews && q.holds(b, now): // one that renews works: leave it alone
		return silence(silentQuarantined)
	}
	return decision{kind: typeAck, reason: ack, binding: b, toClient: renews}
}

// decideDecline: the client found its address in use (section 4.3.3).
func decideDecline(c *Config, b *binding, r *request, m meta) decision {
	switch {
	case spoofed(r, m):
		return silence(silentSpoofed)
	case r.hasServer && r.serverID != c.serverID:
		return silence(silentOtherServer)
	case r.wanted != b.ip:
		return silence(silentOtherAddress)
	}
	return decision{reason: declined, binding: b, decline: true}
}

// decideRelease: the client gives its address back (section 4.3.4).
func decideRelease(c *Config, b *binding, r *request, m meta) decision {
	switch {
	case spoofed(r, m):
		return silence(silentSpoofed)
	case r.hasServer && r.serverID != c.serverID:
		return silence(silentOtherServer)
	case r.ciaddr != b.ip:
		return silence(silentOtherAddress)
	}
	return decision{reason: released, binding: b, release: true}
}

// decideInform: the client has an address of its own and wants the rest
// (section 4.3.5). Which address is not checked against bindings, but it has to
// be one that an answer can reach on this link.
func decideInform(c *Config, b *binding, r *request) decision {
	switch {
	case r.ciaddr == noAddress:
		return silence(silentIncomplete)
	case !c.contains(r.ciaddr):
		return silence(silentOtherAddress)
	}
	return decision{kind: typeAck, reason: ackInform, binding: b, toClient: true}
}

// spoofed: a message that changes what is remembered has to come from the nic
// it speaks for, or one guest could have another's address quarantined.
func spoofed(r *request, m meta) bool {
	return r.giaddr == noAddress && m.src != r.chaddr
}

// target is where an answer goes.
type target struct {
	mac  hw
	ip   ip4
	port uint16
}

// destination follows RFC 2131 section 4.1. The link address is taken from the
// message or the frame, never by ARP: a client without an address does not
// answer it.
func (d decision) destination(r *request, m meta) target {
	switch {
	case r.giaddr != noAddress && d.reason == ackInform:
		return target{m.src, r.ciaddr, clientPort}
	case r.giaddr != noAddress:
		return target{m.src, r.giaddr, serverPort}
	case d.kind == typeNak:
		return target{everyone, limited, clientPort}
	case d.toClient:
		return target{r.chaddr, r.ciaddr, clientPort}
	case r.flags&broadcastFlag != 0:
		return target{everyone, limited, clientPort}
	}
	return target{r.chaddr, d.binding.ip, clientPort}
}
