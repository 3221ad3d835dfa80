package dhcp

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestLimit: a sender of 10,000 a second is heard with its share, its
// neighbours with all they say, and it again once it has been quiet.
func TestLimit(t *testing.T) {
	var l limit
	flood, _ := parseMAC(webMAC)
	heard, lost := 0, 0
	for i := range 30_000 {
		now := testTime.Add(time.Duration(i) * 100 * time.Microsecond)
		if l.take(flood, now) {
			heard++
		}
		if other := (hw{2, 7, 0, 0, byte(i >> 8), byte(i)}); slotOf(other) != slotOf(flood) && !l.take(other, now) {
			lost++
		}
	}
	if want := limitBurst + 3*limitRate; heard < want-10 || heard > want+10 {
		t.Errorf("%d heard in 3 s, want %d", heard, want)
	}
	if lost > 0 {
		t.Errorf("%d requests of others are lost", lost)
	}
	if !l.take(flood, testTime.Add(4*time.Second)) {
		t.Error("not heard again after a second of quiet")
	}
}

// TestLimitSpreads: MACs in a row fall into slots of their own, mostly.
func TestLimitSpreads(t *testing.T) {
	used := map[int]int{}
	for i := range 1000 {
		used[slotOf(hw{2, 0, 0, 0, byte(i >> 8), byte(i)})]++
	}
	if len(used) < 700 {
		t.Errorf("1,000 MACs fall into %d slots", len(used))
	}
}

// TestFloodInAnothersName: one nic asks in the web guest's name, 5,000 times.
// It is cut, the guest itself is not.
func TestFloodInAnothersName(t *testing.T) {
	s, links := testServer(t)
	if err := apply(t, s, guestNetwork()); err != nil {
		t.Fatal(err)
	}
	w := links.wire(guest)
	frame := requestFrame(message(t, webMAC, dhcpv4.MessageTypeDiscover).ToBytes(), mac(strayMAC), everywhere)
	go func() {
		for range 5000 {
			w.requests <- frame
		}
		w.requests <- discoverFrame(t, webMAC)
	}()
	eventually(t, "all received", func() bool { return s.Status().Counters["dhcp_received_total"] == 5001 })
	for len(w.answers) > 0 {
		<-w.answers
	}
	if got := s.Status().Counters["dhcp_dropped_limited_total"]; got < 3000 || got > 4000 {
		t.Errorf("%d of 5,000 dropped", got)
	}
	w.requests <- discoverFrame(t, webMAC)
	answerOn(t, w)
}
