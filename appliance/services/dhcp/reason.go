package dhcp

import "sync/atomic"

// reason says why a packet got what it got. Each is a counter.
type reason uint8

// The reasons, answers first.
const (
	offered reason = iota
	ackSelecting
	ackInitReboot
	ackRenewing
	ackRebinding
	ackInform
	nakSelecting
	nakInitReboot
	nakRenewing
	nakRebinding
	declined
	released
	silentUnknown
	silentOtherServer
	silentQuarantined
	silentRelay
	silentForeign
	silentSpoofed
	silentIncomplete
	silentOtherAddress
	silentType
	malformedFrame
	malformedChecksum
	malformedMessage
	droppedLate
	droppedLimited
	panicked
	reasons
)

// names are the counters' names, in the order above.
var names = [reasons]string{
	offered:            "dhcp_offer_total",
	ackSelecting:       "dhcp_ack_selecting_total",
	ackInitReboot:      "dhcp_ack_init_reboot_total",
	ackRenewing:        "dhcp_ack_renewing_total",
	ackRebinding:       "dhcp_ack_rebinding_total",
	ackInform:          "dhcp_ack_inform_total",
	nakSelecting:       "dhcp_nak_selecting_total",
	nakInitReboot:      "dhcp_nak_init_reboot_total",
	nakRenewing:        "dhcp_nak_renewing_total",
	nakRebinding:       "dhcp_nak_rebinding_total",
	declined:           "dhcp_decline_total",
	released:           "dhcp_release_total",
	silentUnknown:      "dhcp_ignored_unknown_mac_total",
	silentOtherServer:  "dhcp_ignored_other_server_total",
	silentQuarantined:  "dhcp_ignored_quarantined_total",
	silentRelay:        "dhcp_ignored_relay_total",
	silentForeign:      "dhcp_ignored_foreign_destination_total",
	silentSpoofed:      "dhcp_ignored_spoofed_total",
	silentIncomplete:   "dhcp_ignored_incomplete_total",
	silentOtherAddress: "dhcp_ignored_other_address_total",
	silentType:         "dhcp_ignored_type_total",
	malformedFrame:     "dhcp_malformed_frame_total",
	malformedChecksum:  "dhcp_malformed_checksum_total",
	malformedMessage:   "dhcp_malformed_message_total",
	droppedLate:        "dhcp_dropped_late_total",
	droppedLimited:     "dhcp_dropped_limited_total",
	panicked:           "dhcp_panic_total",
}

// String is the counter's name.
func (r reason) String() string { return names[r] }

// counters are totals since the server started, by reason.
type counters struct {
	by        [reasons]atomic.Uint64
	received  atomic.Uint64
	overflow  atomic.Uint64 // dropped by the kernel: the socket's queue was full
	sent      atomic.Uint64
	sendError atomic.Uint64
	cut       atomic.Uint64 // answers in which options did not fit
	reopened  atomic.Uint64
	eventLost atomic.Uint64
}

// snapshot gives the counters by name.
func (c *counters) snapshot() map[string]uint64 {
	out := map[string]uint64{
		"dhcp_received_total":         c.received.Load(),
		"dhcp_dropped_overflow_total": c.overflow.Load(),
		"dhcp_sent_total":             c.sent.Load(),
		"dhcp_send_errors_total":      c.sendError.Load(),
		"dhcp_answers_cut_total":      c.cut.Load(),
		"dhcp_sockets_reopened_total": c.reopened.Load(),
		"dhcp_events_lost_total":      c.eventLost.Load(),
	}
	for i := range c.by {
		out[names[i]] = c.by[i].Load()
	}
	return out
}
