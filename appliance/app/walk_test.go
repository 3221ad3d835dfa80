package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-nfv/sluice/api/agentv1"
	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// walker is a router over a kernel in memory that takes contents one after the
// other, with what each was left with.
type walker struct {
	*Router
	plane  *counted
	kernel *kerneltest.Fake
}

// counted is a data plane that counts what is applied whole.
type counted struct {
	dataplane.Applier
	wholes int
}

func (c *counted) Apply(ctx context.Context, w dataplane.Want) (dataplane.Reached, error) {
	c.wholes++
	return c.Applier.Apply(ctx, w)
}

// newWalker plans all services, and serves none: that needs sockets.
func newWalker(s Services) walker {
	return walkerOver(s, kerneltest.NewFake(map[string]string{"ens1": managementMAC, "ens2": publicMAC, "ens3": guestMAC, "ens4": otherPublicMAC}))
}

func walkerOver(s Services, f *kerneltest.Fake) walker {
	s.Servers = nil
	plane := &counted{Applier: dataplane.New(f, nil)}
	r := NewRouter(plane, s, true, nil)
	r.meters = func() (dataplane.Meters, error) { return metered(f.State.Mappings), nil }
	return walker{r, plane, f}
}

// metered counts for each mapping in the kernel what only it could have.
func metered(e dataplane.Elements) dataplane.Meters {
	m := dataplane.Meters{VIPs: map[netip.Addr]dataplane.Traffic{}, Ports: map[dataplane.Endpoint]dataplane.Traffic{}}
	for vip, guest := range e.Inbound {
		m.VIPs[vip] = dataplane.Traffic{In: dataplane.Count{Packets: uint64(vip.As4()[3]), Bytes: uint64(guest.As4()[3])}}
	}
	for _, ports := range []map[dataplane.Endpoint]dataplane.Target{e.Forward, e.Limited} {
		for at, to := range ports {
			m.Ports[at] = dataplane.Traffic{Out: dataplane.Count{Packets: uint64(at.Port), Bytes: uint64(to.Port)}}
		}
	}
	return m
}

// connections are all that few peers and guests can have through what a content
// maps.
func connections(c agentv1.Content) (all []dataplane.Flow) {
	at := netip.AddrPortFrom
	for _, peer := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("8.8.8.8")} {
		peer := at(peer, 999)
		for _, e := range c.EIPs {
			for port := range uint16(12) { // those of rules, too
				for _, protocol := range []uint8{6, 17} {
					all = append(all, dataplane.Flow{Protocol: protocol, From: peer, To: at(e.VIP, port), ReplyFrom: at(e.GuestIP, port), ReplyTo: peer})
				}
			}
			all = append(all,
				dataplane.Flow{Protocol: 6, From: at(e.GuestIP, 5), To: peer, ReplyFrom: peer, ReplyTo: at(e.VIP, 5)},
				dataplane.Flow{Protocol: 6, From: at(e.GuestIP, 6), To: peer, ReplyFrom: peer, ReplyTo: at(c.SNAT[0].Address, 6)})
		}
		for _, f := range c.PortForwardings {
			for i := range f.VIPPortEnd - f.VIPPortStart + 1 {
				all = append(all, dataplane.Flow{Protocol: map[string]uint8{"tcp": 6, "udp": 17}[f.Protocol], From: peer,
					To: at(f.VIP, f.VIPPortStart+i), ReplyFrom: at(f.GuestIP, f.PrivatePortStart+i), ReplyTo: peer})
			}
		}
	}
	return all
}

// carry has a kernel carry what of these connections its rules let there be.
func (w walker) carry(all []dataplane.Flow, c agentv1.Content) {
	wants, _ := w.plan(c, named(c))
	merged, _ := dataplane.Merge(wants)
	stale := dataplane.Stale(dataplane.Planned(merged), nil)
	w.kernel.Flows = slices.DeleteFunc(slices.Clone(all), stale)
}

// left is all that anybody can see of a router.
func (w walker) left(t *rapid.T) string {
	traffic, err := w.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(w.kernel.Flows, func(a, b dataplane.Flow) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	status := w.serviceStatus()
	text := w.kernel.State.String() + fmt.Sprintf("flows %v\ntraffic %+v\n", w.kernel.Flows, traffic)
	for _, name := range slices.Sorted(maps.Keys(status)) {
		text += fmt.Sprintf("%s %+v\n", name, status[name])
	}
	return text
}

// TestAWalkOfChangesIsTheWhole: whatever changes come, several at once, good
// ones and refused ones, over a kernel that refuses and strangers that meddle, a
// router is left as one that was given each content whole.
func TestAWalkOfChangesIsTheWhole(t *testing.T) {
	services := NewServices(slog.New(slog.DiscardHandler))
	defer func() {
		for _, s := range services.Servers {
			_ = s.Close() // they served nothing
		}
	}()
	changes, failed, wholes := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		changed, whole := newWalker(services), newWalker(services)
		now := wired()
		k, err := NewRouter(nil, services, true, nil).Check(now)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []walker{changed, whole} {
			if _, err := w.Apply(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		follows := true
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			was, sum := now, agentv1.Sum{}
			for range rapid.IntRange(1, 3).Draw(t, "changes at once") {
				next := drawn(t, now)
				ch, _ := now.Difference(next)
				if k.Change(next, ch) == nil {
					sum.Add(ch)
					now = next
				}
			}
			flows := slices.Concat(connections(was), connections(now))
			changed.carry(flows, was)
			whole.carry(flows, was)
			refuse := func(dataplane.Step) error { return nil }
			switch rapid.SampledFrom([]string{"", "", "", "", "stranger", "resync", "refused"}).Draw(t, "trouble") {
			case "stranger":
				for _, w := range []walker{changed, whole} {
					maps.DeleteFunc(w.kernel.State.Addresses, func(at dataplane.LinkAddress, _ dataplane.AddressState) bool { return at.Prefix.IsSingleIP() })
					clear(w.kernel.State.Mappings.Inbound)
				}
			case "resync":
				changed.Resync()
				whole.Resync()
			case "refused":
				kind := rapid.SampledFrom([]dataplane.Step{dataplane.SetMappings{}, dataplane.AddAddress{}, dataplane.DelAddress{}}).Draw(t, "kind")
				refuse = func(s dataplane.Step) error {
					if reflect.TypeOf(s) == reflect.TypeOf(kind) {
						return fmt.Errorf("no memory")
					}
					return nil
				}
			}
			changed.kernel.Fail, whole.kernel.Fail = refuse, refuse
			if follows {
				_, err = changed.Change(t.Context(), now, sum.Change())
				changes += min(1, sum.Change().Len())
			} else {
				_, err = changed.Apply(t.Context(), now)
			}
			_, expected := whole.Apply(t.Context(), now)
			if err != nil {
				failed++
			}
			if follows = err == nil; fmt.Sprint(err) != fmt.Sprint(expected) {
				t.Fatalf("the change: %v\nthe whole: %v", err, expected)
			}
			if a, b := changed.left(t), whole.left(t); a != b {
				t.Fatalf("changed:\n%s\nwhole:\n%s", a, b)
			}
		}
		wholes += changed.plane.wholes - 1
	})
	if t.Logf("%d changes, of which %d failed, and %d wholes", changes, failed, wholes); changes < wholes || failed == 0 {
		t.Error("hardly anything was tried")
	}
}

// headed changes what is no list of a content: nics, their addresses, SNAT.
func headed(t *rapid.T, c agentv1.Content) agentv1.Content {
	c.Interfaces, c.SNAT = slices.Clone(wired().Interfaces), nil
	public := rapid.SampledFrom([]string{"203.0.113.10/24", "198.51.100.3/24", "198.51.100.4/28"}).Draw(t, "public address")
	c.Interfaces[1].Addresses = []netip.Prefix{netip.MustParsePrefix(public)}
	if rapid.Bool().Draw(t, "gateway") {
		c.Interfaces[1].Gateway = c.Interfaces[1].Addresses[0].Addr().Next()
	}
	c.Interfaces[1].MTU = rapid.SampledFrom([]int{1400, 1500}).Draw(t, "MTU")
	if rapid.Bool().Draw(t, "source NAT") {
		c.SNAT = []agentv1.SNAT{{Source: netip.MustParsePrefix("10.0.0.0/24"), Interface: publicMAC, Address: c.Interfaces[1].Addresses[0].Addr()}}
	}
	if rapid.Bool().Draw(t, "one way out") {
		c.Interfaces = c.Interfaces[:3]
	}
	return c
}

// TestTheLastContentCounts: whatever a router was before, its kernel is that of
// one that was never anything else.
func TestTheLastContentCounts(t *testing.T) {
	services := NewServices(slog.New(slog.DiscardHandler))
	defer func() {
		for _, s := range services.Servers {
			_ = s.Close() // they served nothing
		}
	}()
	changes, wholes := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w, checker := newWalker(services), NewRouter(nil, services, true, nil)
		now := wired()
		if _, err := w.Apply(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 6).Draw(t, "contents") {
			next := drawn(t, now)
			if rapid.Bool().Draw(t, "another head") {
				next = headed(t, next)
			}
			if _, err := checker.Check(next); err != nil {
				continue
			}
			var err error
			if ch, ok := now.Difference(next); ok {
				_, err = w.Change(t.Context(), next, ch)
				changes++
			} else {
				_, err = w.Apply(t.Context(), next)
				wholes++
			}
			if err != nil {
				t.Fatalf("%v\nfrom %+v\nto   %+v", err, now, next)
			}
			now = next
			fresh := newWalker(services)
			if _, err := fresh.Apply(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if a, b := rulesOf(w.kernel.State), rulesOf(fresh.kernel.State); a != b {
				t.Fatalf("after others:\n%s\nfresh:\n%s", a, b)
			}
		}
	})
	if t.Logf("%d changes, %d wholes", changes, wholes); changes < 20 || wholes < 20 {
		t.Error("hardly anything was tried")
	}
}

// rulesOf is a state without what nobody takes back: a nic that was up, and
// settings that concern nobody any more.
func rulesOf(s dataplane.State) string {
	s.Links, s.Sysctls = nil, map[string]string{"net/ipv4/ip_forward": s.Sysctls["net/ipv4/ip_forward"]}
	return s.String()
}
