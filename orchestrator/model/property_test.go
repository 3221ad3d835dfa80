package model

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// TestRandomOperations walks the model at random. After each step, refused or
// not, the whole view holds together, a refusal has left nothing behind, used
// and free addresses make up the total, and candidates are what attach accepts.
func TestRandomOperations(t *testing.T) {
	done, refusals := map[string]int{}, map[string]int{}
	walk := func(r *rapid.T) {
		w := &walker{world: newWorld(t), r: r, refusals: refusals}
		w.settle()
		for range rapid.IntRange(5, 80).Draw(r, "steps") {
			name := w.step()
			w.tx = NewTx(w.tx.View, w.tx.Now)
			w.tx.ActFor(w.caller(name))
			err := steps[name](w)
			w.tx.ActFor("")
			w.judge(name, err)
			if err == nil {
				done[name]++
			}
		}
	}
	never := func() []string {
		return slices.DeleteFunc(slices.Clone(stepNames), func(name string) bool { return done[name] > 0 })
	}
	for n := 0; n < 4 || n < 20 && len(never()) > 0 && !t.Failed(); n++ { // of so many steps, each succeeds now and then only
		rapid.Check(t, walk)
	}
	if left := never(); len(left) > 0 {
		t.Errorf("steps %q never succeeded, so they were not tested", left)
	}
	t.Logf("done %v", done)
	t.Logf("refused %v", refusals)
}

// step is any, each as likely: small numbers, which are drawn more often, are
// spread.
func (w *walker) step() string {
	const golden = 0x9e3779b97f4a7c15
	n := uint64(rapid.Uint32().Draw(w.r, "step")) + uint64(w.n) // nought is drawn most often
	return stepNames[n*golden>>32%uint64(len(stepNames))]
}

type walker struct {
	*world
	r        *rapid.T
	n        int
	refusals map[string]int
	accounts []string
}

// cloudSteps are not for accounts.
var cloudSteps = []string{
	"add network", "add offering", "make default", "tag offering", "router action", "place router", "delete router", "forget router",
	"answers for router", "claim vip", "strangers leave", "add host", "drain host", "host is lost", "host is back", "fence host", "leave behind", "return host", "router leaves", "observe guest", "observe guests",
	"attach l2", "detach l2", "delete l2", "delete offering", "delete host", "add account", "delete account", "share", "set quotas",
}

// caller is who makes a step: one of the accounts, or the admin.
func (w *walker) caller(step string) string {
	if slices.Contains(cloudSteps, step) {
		return ""
	}
	return w.pick("caller", append([]string{"", ""}, w.accounts...)...)
}

// settle gives the walk something to work on.
func (w *walker) settle() {
	first, second := w.addVM("first", w.guest), w.addVM("second", w.guest)
	router := w.start(first.UUID)
	w.addVM("third", w.guest, w.addL3("plain", w.l2Guest, v1.Private, "172.20.0.0/29"))
	_, natted := w.addNetwork("natted", "n0", v1.Private, "")
	_, err := AddIPRange(w.tx, natted, bounds("172.16.0.4", "172.16.0.9", "255.255.255.240", "172.16.0.1"))
	w.ok(err)
	w.services(natted, v1.SNAT, v1.EIPService, v1.PortForwarding)
	w.addVM("fourth", natted)
	for range 4 {
		vip := w.addVIP(w.public, "")
		if w.chance("eip") {
			_, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: named("eip"), VIPUUID: vip.UUID})
			w.ok(err)
		}
	}
	system := First[v1.VIP](w.tx.View, VIPsOfRouter, router.UUID)
	w.addRule(system.UUID, second.Nics[0].UUID, 9, "TCP")
	w.addRule(system.UUID, "", 10, "TCP")
	w.accounts = nil
	for _, name := range []string{"red", "blue"} {
		a, err := CreateAccount(w.tx, v1.CreateAccount{CreateMeta: named(name)})
		w.ok(err)
		w.accounts = append(w.accounts, a.UUID)
	}
	for _, l3 := range []string{w.public, natted, w.guest} {
		_, err := Share(w.tx, L3Networks, l3, []string{v1.Everybody})
		w.ok(err)
	}
	_, err = Share(w.tx, L2Networks, w.l2Guest, w.accounts[:1])
	w.ok(err)
	few := 2
	_, err = SetQuotas(w.tx, w.accounts[0], map[string]*int{"vips": &few, "vm-nics": &few, "port-forwarding-rules": &few})
	w.ok(err)
}

func (w *walker) judge(name string, err error) {
	if err != nil {
		if v1.Code(err) == "" {
			w.r.Fatalf("%s failed without a code: %v", name, err)
		}
		w.refusals[v1.Code(err)]++
		if w.tx.Changed() {
			w.r.Fatalf("%s was refused (%v) and left %v", name, err, w.tx.order)
		}
	}
	for _, breach := range Check(w.tx.View) {
		w.r.Fatalf("after %s (%v): %v", name, err, breach)
	}
	w.capacity(name)
}

func (w *walker) capacity(name string) {
	for l3 := range List[v1.L3Network](w.tx.View) {
		c, err := CapacityOf(w.tx.View, l3.UUID)
		if err != nil {
			w.r.Fatal(err)
		}
		free, err := FreeIPs(w.tx.View, l3.UUID, 1<<20)
		if err != nil || int64(len(free)) != c.Free || c.Used+c.Free != c.Total {
			w.r.Fatalf("after %s: L3 network %s has %d free addresses and capacity %+v: %v", name, l3.Name, len(free), c, err)
		}
		for _, ip := range free {
			if owner := w.tx.AddressOwner(l3.UUID, ip); owner != "" {
				w.r.Fatalf("after %s: free address %s has owner %s", name, ip, owner)
			}
		}
	}
}

// some is the UUID of any resource of a kind; now and then of none.
func (w *walker) some(kind Kind) string {
	var all []string
	for r := range w.tx.All(kind, "") {
		if w.tx.Sees(r) { // what calls that name another find is the API's to test
			all = append(all, r.GetMeta().UUID)
		}
	}
	if len(all) == 0 || rapid.IntRange(0, 40).Draw(w.r, "missing") == 37 {
		return "0199d1a0-0000-7000-8000-000000000000"
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(w.r, kind.Noun())]
}

func (w *walker) meta() v1.CreateMeta {
	w.n++
	return named(fmt.Sprintf("x%d", w.n))
}

func (w *walker) chance(label string) bool { return rapid.Bool().Draw(w.r, label) }

func (w *walker) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(w.r, label)
}

func (w *walker) serviceTypes() map[string][]string {
	all := []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding}
	return vr(rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 5, rapid.ID[string]).Draw(w.r, "services")...)
}

// maybeNic is a nic's UUID or none.
func (w *walker) maybeNic() string {
	if w.chance("attach") {
		return w.some(Nics)
	}
	return ""
}

var stepNames = func() []string {
	var all []string
	for name := range steps {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}()

var steps = map[string]func(w *walker) error{
	"add account": func(w *walker) error {
		a, err := CreateAccount(w.tx, v1.CreateAccount{CreateMeta: w.meta()})
		if err == nil && len(w.accounts) < 4 {
			w.accounts = append(w.accounts, a.UUID)
		}
		return err
	},
	"delete account": func(w *walker) error {
		uuid := w.some(Accounts)
		err := DeleteAccount(w.tx, uuid, w.chance("cascade"))
		if err == nil {
			w.accounts = slices.DeleteFunc(w.accounts, func(a string) bool { return a == uuid })
		}
		return err
	},
	"share": func(w *walker) error {
		kind := L3Networks
		if w.chance("l2") {
			kind = L2Networks
		}
		var with []string
		for range rapid.IntRange(0, 2).Draw(w.r, "with") {
			with = append(with, w.pick("account", append([]string{v1.Everybody}, w.accounts...)...))
		}
		_, err := Share(w.tx, kind, w.some(kind), with)
		return err
	},
	"set quotas": func(w *walker) error {
		n := rapid.IntRange(0, 3).Draw(w.r, "allowed")
		_, err := SetQuotas(w.tx, w.some(Accounts), map[string]*int{w.pick("quota", quotaNames()...): &n})
		return err
	},
	"add network": func(w *walker) error {
		w.n++
		l2, err := CreateL2Network(w.tx, v1.CreateL2Network{CreateMeta: w.meta(), ZoneUUID: w.zone, PhysicalInterface: fmt.Sprintf("n%d", w.n)})
		if err != nil {
			return err
		}
		return AttachL2(w.tx, l2.UUID, w.cluster, []v1.Realization{{HostUUID: w.host, Bridge: "b"}})
	},
	"add l3": func(w *walker) error {
		_, err := CreateL3Network(w.tx, v1.CreateL3Network{CreateMeta: w.meta(), L2NetworkUUID: w.some(L2Networks), Category: w.pick("category", v1.Public, v1.Private, v1.Private, v1.System)})
		return err
	},
	"add range by cidr": func(w *walker) error {
		cidr := w.pick("cidr", "10.0.0.0/24", "10.0.0.0/28", "203.0.113.0/28", "192.168.10.0/29", "172.16.0.0/28", "172.16.1.0/29")
		gateway := map[string]string{"172.16.0.0/28": "172.16.0.7", "172.16.1.0/29": "172.16.1.6"}[cidr]
		l3 := w.some(L3Networks)
		for n := range List[v1.L3Network](w.tx.View) {
			if First[v1.IPRange](w.tx.View, RangesOfL3, n.UUID) == nil && w.chance("an empty one") {
				l3, cidr, gateway = n.UUID, fmt.Sprintf("10.77.%d.0/29", w.n%250), ""
			}
		}
		_, err := AddIPRange(w.tx, l3, v1.AddIPRange{CreateMeta: w.meta(), NetworkCIDR: cidr, Gateway: gateway})
		return err
	},
	"add range by bounds": func(w *walker) error {
		start := rapid.IntRange(2, 12).Draw(w.r, "start")
		req := bounds(fmt.Sprintf("172.16.0.%d", start), fmt.Sprintf("172.16.0.%d", start+rapid.IntRange(0, 2).Draw(w.r, "size")), "255.255.255.240", "172.16.0.1")
		_, err := AddIPRange(w.tx, w.some(L3Networks), req)
		return err
	},
	"reserve": func(w *walker) error {
		l3 := w.some(L3Networks)
		subnet, _ := SubnetOf(w.tx.View, l3)
		if !subnet.CIDR.IsValid() {
			_, err := SetReservedRanges(w.tx, l3, nil)
			return err
		}
		a := subnet.CIDR.Addr()
		for range rapid.IntRange(2, 6).Draw(w.r, "from") {
			a = a.Next()
		}
		_, err := SetReservedRanges(w.tx, l3, []v1.AddressRange{{StartIP: a, EndIP: a.Next()}})
		return err
	},
	"strategy": func(w *walker) error {
		_, err := SetAllocationStrategy(w.tx, w.some(L3Networks), w.pick("strategy", v1.FirstAvailable, v1.AscDelayRecycle, v1.AscDelayRecycle, v1.Random))
		return err
	},
	"set state": func(w *walker) error {
		kind := rapid.SampledFrom([]Kind{L3Networks, VIPs, VIPs, EIPs, PortForwardings, Offerings}).Draw(w.r, "kind")
		state := w.pick("state", v1.Enabled, v1.Enabled, v1.Disabled)
		return w.patch(kind, w.some(kind), `{"state":"`+state+`"}`)
	},
	"host state": rarely(func(w *walker) error {
		state := w.pick("state", v1.Enabled, v1.Disabled, v1.Maintenance)
		return w.patch(Hosts, w.some(Hosts), `{"state":"`+state+`"}`)
	}),
	"change": func(w *walker) error {
		c := rapid.SampledFrom([]struct {
			kind  Kind
			patch string
		}{
			{VMs, `{"hostname":"other"}`}, {VMs, `{"hostname":null}`}, {Nics, `{"isDefault":true}`}, {Nics, `{"dhcpOptions":{"66":"61"}}`},
			{Nics, `{"dhcpOptions":{"66":null}}`},
			{Nics, `{"staticRoutes":[{"prefix":"0.0.0.0/0","nexthop":"192.168.10.1"}]}`}, {Nics, `{"staticRoutes":null}`}, {Nics, `{"staticRoutes":[{"prefix":"10.0.0.0/8","nexthop":"192.168.10.2"}]}`},
			{L3Networks, `{"hostRoutes":[{"prefix":"192.168.10.0/25","nexthop":"10.0.0.9"}]}`}, {L3Networks, `{"hostRoutes":[]}`}, {L3Networks, `{"dnsRecords":[{"name":"db","ips":["192.0.2.7"]}]}`}, {PortForwardings, `{"allowedCidr":"192.0.2.0/24"}`}, {PortForwardings, `{"allowedCidr":null}`},
			{L3Networks, `{"dnsDomain":"example.org","mtu":1400,"hostRoutes":[{"prefix":"198.51.100.0/24","nexthop":"192.168.10.9"}]}`},
			{Offerings, `{"cpuNum":2,"memorySize":256}`}, {Offerings, `{"isDefault":true}`},
		}).Draw(w.r, "change")
		return w.patch(c.kind, w.some(c.kind), c.patch)
	},
	"set dns": func(w *walker) error {
		_, err := SetDNS(w.tx, w.some(L3Networks), []netip.Addr{ip(w.pick("dns", "9.9.9.9", "192.168.10.1"))})
		return err
	},
	"set relays": func(w *walker) error {
		_, err := SetDHCPRelays(w.tx, w.some(L3Networks), []netip.Addr{ip(w.pick("relay", "192.168.10.250", "192.168.10.2"))})
		return err
	},
	"set mtu": func(w *walker) error {
		_, err := SetMTU(w.tx, w.some(L3Networks), rapid.IntRange(1300, 1500).Draw(w.r, "mtu"))
		return err
	},
	"router ip": func(w *walker) error {
		l3 := w.some(L3Networks)
		if n := List[v1.L3Network](w.tx.View); w.chance("natted") {
			for have := range n {
				if have.Name == "natted" {
					l3 = have.UUID
				}
			}
		}
		_, err := SetRouterInterfaceIP(w.tx, l3, ip(w.pick("ip", "172.16.0.14", "172.16.0.13")))
		return err
	},
	"no router ip": func(w *walker) error {
		l3 := w.some(L3Networks)
		if w.l3(l3) == nil {
			return v1.NotFound("l3-network", l3)
		}
		n, err := SetRouterInterfaceIP(w.tx, l3, v1.L3Network{}.RouterInterfaceIP)
		if err == nil && n.RouterInterfaceIP.IsValid() {
			w.r.Fatal("routerInterfaceIp is still set")
		}
		return err
	},
	"attach services": func(w *walker) error {
		_, err := AttachNetworkServices(w.tx, w.some(L3Networks), w.serviceTypes())
		return err
	},
	"detach services": func(w *walker) error {
		_, err := DetachNetworkServices(w.tx, w.some(L3Networks), w.serviceTypes(), w.chance("cascade"))
		return err
	},
	"add offering": func(w *walker) error {
		req := w.offeringRequest("o")
		req.ManagementNetworkUUID, req.PublicNetworkUUID, req.IsDefault = w.some(L3Networks), w.some(L3Networks), w.chance("default")
		if w.chance("usual") {
			req.ManagementNetworkUUID, req.PublicNetworkUUID = w.management, w.public
		}
		_, err := CreateOffering(w.tx, req)
		return err
	},
	"make default": func(w *walker) error { _, err := MakeDefault(w.tx, w.some(Offerings)); return err },
	"tag offering": func(w *walker) error {
		return AddSystemTag(w.tx, Offerings, w.some(Offerings), "guestL3Network::"+w.some(L3Networks))
	},
	"add vm": func(w *walker) error {
		req := v1.CreateVMInstance{CreateMeta: w.meta()}
		for range rapid.IntRange(1, 2).Draw(w.r, "nics") {
			l3 := w.some(L3Networks)
			if w.chance("guest network") && w.l3(w.guest) != nil {
				l3 = w.guest
			}
			req.Nics = append(req.Nics, v1.CreateVMNic{L3NetworkUUID: l3, IP: w.pick("ip", "", "", "", "192.168.10.5", "172.16.0.4")})
		}
		_, err := CreateVM(w.tx, req)
		return err
	},
	"start vm":   func(w *walker) error { _, err := StartVM(w.tx, w.some(VMs)); return err },
	"start vm 2": func(w *walker) error { _, err := StartVM(w.tx, w.some(VMs)); return err },
	"stop vm":    func(w *walker) error { _, err := StopVM(w.tx, w.some(VMs)); return err },
	"move nic":   func(w *walker) error { _, err := ChangeNicIP(w.tx, w.some(Nics), ""); return err },
	"add vip": func(w *walker) error {
		_, err := CreateVIP(w.tx, v1.CreateVIP{CreateMeta: w.meta(), L3NetworkUUID: w.some(L3Networks)})
		return err
	},
	"add vip 2": func(w *walker) error {
		_, err := CreateVIP(w.tx, v1.CreateVIP{CreateMeta: w.meta(), L3NetworkUUID: w.public})
		return err
	},
	"add eip": func(w *walker) error {
		_, err := CreateEIP(w.tx, v1.CreateEIP{CreateMeta: w.meta(), VIPUUID: w.some(VIPs), VMNicUUID: w.maybeNic()})
		return err
	},
	"add rule": func(w *walker) error {
		_, err := CreatePortForwardingRule(w.tx, v1.CreatePortForwardingRule{
			CreateMeta: w.meta(), VIPUUID: w.some(VIPs), VMNicUUID: w.maybeNic(), Protocol: w.pick("protocol", "TCP", "UDP"),
			VIPPortStart: rapid.IntRange(1, 5).Draw(w.r, "port"), AllowedCIDR: w.pick("allowed", "", "", "198.51.100.0/24"),
		})
		return err
	},
	"attach eip":  attachEIP,
	"attach rule": attachRule,
	"detach eip":  func(w *walker) error { _, err := DetachEIP(w.tx, w.some(EIPs)); return err },
	"detach rule": func(w *walker) error { _, err := DetachPortForwardingRule(w.tx, w.some(PortForwardings)); return err },
	"router action": func(w *walker) error {
		_, err := RouterAction(w.tx, w.some(Routers), w.pick("action", RouterActions...))
		return err
	},
	"place router":       func(w *walker) error { _, err := PlaceRouter(w.tx, w.some(Routers), w.host); return err },
	"answers for router": answersForRouter,
	"claim vip":          claimVIP,
	"strangers leave": func(w *walker) error {
		l3 := w.some(L3Networks)
		if w.l3(l3) == nil || len(w.l3(l3).Strangers) == 0 {
			return nil
		}
		return ForgetStrangers(w.tx, l3, []netip.Addr{w.l3(l3).Strangers[0].IP})
	},
	"delete router": func(w *walker) error { return DeleteRouter(w.tx, w.some(Routers)) },
	"forget router": func(w *walker) error { return ForgetRouter(w.tx, w.some(Routers)) },
	"attach l2": func(w *walker) error {
		return AttachL2(w.tx, w.some(L2Networks), w.cluster, []v1.Realization{{HostUUID: w.host, Bridge: "b"}})
	},
	"detach l2":       func(w *walker) error { return DetachL2(w.tx, w.some(L2Networks), w.cluster) },
	"delete l2":       rarely(func(w *walker) error { return DeleteL2Network(w.tx, w.some(L2Networks)) }),
	"delete l3":       rarely(func(w *walker) error { return DeleteL3Network(w.tx, w.some(L3Networks)) }),
	"delete range":    rarely(func(w *walker) error { return DeleteIPRange(w.tx, w.some(IPRanges)) }),
	"delete offering": rarely(func(w *walker) error { return DeleteOffering(w.tx, w.some(Offerings)) }),
	"add host": func(w *walker) error {
		req := v1.CreateHost{CreateMeta: w.meta(), ClusterUUID: w.cluster}
		req.LibvirtURI = "qemu+tls://" + req.Name + "/system"
		h, err := CreateHost(w.tx, req)
		if err != nil {
			return err
		}
		h = Copy(h)
		h.Status = v1.Connected
		w.tx.Save(h)
		for l2 := range List[v1.L2Network](w.tx.View) {
			if err := RealizeL2(w.tx, l2.UUID, []v1.Realization{{HostUUID: h.UUID, Bridge: "b"}}); err != nil {
				return err
			}
		}
		return nil
	},
	"drain host":   rarely(func(w *walker) error { return DrainHost(w.tx, w.some(Hosts)) }),
	"host is lost": func(w *walker) error { return w.status(v1.Disconnected) },
	"host is back": func(w *walker) error { return w.status(v1.Connected) },
	"fence host": func(w *walker) error {
		uuid := w.some(Hosts)
		if h := Get[v1.Host](w.tx.View, uuid); h != nil && w.chance("lost") {
			h = Copy(h)
			h.Status = v1.Disconnected
			w.tx.Save(h)
		}
		lost := NewTx(w.tx.View, w.tx.Now)
		_, err := FenceHost(w.tx, uuid)
		if err != nil {
			w.tx = lost // with the host lost or not, the refusal left nothing
		}
		return err
	},
	"leave behind": func(w *walker) error {
		for h := range List[v1.Host](w.tx.View) {
			if h.Fenced || w.chance("as if fenced") {
				if !h.Fenced {
					h = Copy(h)
					h.Fenced = true
					w.tx.Save(h)
				}
				return LeaveBehind(w.tx, h.UUID, w.some(Routers))
			}
		}
		return LeaveBehind(w.tx, w.some(Hosts), w.some(Routers))
	},
	"return host": func(w *walker) error {
		h := Get[v1.Host](w.tx.View, w.some(Hosts))
		if h == nil {
			return nil
		}
		return ReturnHost(w.tx, h.UUID, h.LeftBehind)
	},
	"router leaves": func(w *walker) error { _, err := PlaceRouter(w.tx, w.some(Routers), w.some(Hosts)); return err },
	"observe guest": func(w *walker) error { return w.known(ObserveGuest(w.tx, w.guest1())) },
	"observe guests": func(w *walker) error {
		g := w.guest1()
		return w.known(ObserveGuests(w.tx, g.HostUUID, []Guest{g}))
	},
	"add nic": func(w *walker) error {
		l3 := w.some(L3Networks)
		if w.chance("guest network") && w.l3(w.guest) != nil {
			l3 = w.guest
		}
		_, err := AddNic(w.tx, w.some(VMs), v1.CreateVMNic{L3NetworkUUID: l3, IsDefault: w.chance("default")})
		return err
	},
	"delete host": rarely(func(w *walker) error { return DeleteHost(w.tx, w.some(Hosts)) }),
	"delete vm":   func(w *walker) error { return DeleteVM(w.tx, w.some(VMs)) },
	"delete nic":  func(w *walker) error { return DeleteNic(w.tx, w.some(Nics)) },
	"delete vip":  func(w *walker) error { return DeleteVIP(w.tx, w.some(VIPs)) },
	"delete eip":  func(w *walker) error { return DeleteEIP(w.tx, w.some(EIPs)) },
	"delete rule": func(w *walker) error { return DeletePortForwardingRule(w.tx, w.some(PortForwardings)) },
}

// rarely keeps steps that end much from ending every walk early.
func rarely(step func(*walker) error) func(*walker) error {
	return func(w *walker) error {
		if rapid.IntRange(0, 12).Draw(w.r, "rarely") != 11 { // small numbers are drawn more often

			return nil
		}
		return step(w)
	}
}

func (w *walker) mac() string {
	return w.pick("mac", "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03")
}

// answersForRouter: strangers answer for some of a router's addresses.
func answersForRouter(w *walker) error {
	r := Get[v1.VirtualRouter](w.tx.View, w.some(Routers))
	if r == nil {
		return nil
	}
	heard := Heard{}
	for _, n := range r.Nics {
		if w.chance("answers") {
			heard[Place{n.L3NetworkUUID, n.IP}] = w.mac()
		}
	}
	refused, err := AnswersForRouter(w.tx, r.UUID, heard)
	if refused != nil && v1.Code(refused) != "address-in-use" {
		w.r.Fatalf("refused with %v", refused)
	}
	return err
}

func claimVIP(w *walker) error {
	vip := Get[v1.VIP](w.tx.View, w.some(VIPs))
	if vip == nil {
		return nil
	}
	heard := Heard{}
	if w.chance("answers") {
		heard[Place{vip.L3NetworkUUID, vip.IP}] = w.mac()
	}
	return ClaimVIPs(w.tx, map[string]netip.Addr{vip.UUID: vip.IP}, heard)
}

// lost makes a host one that cannot be reached, or one that can again.
func (w *walker) status(status string) error {
	h := Get[v1.Host](w.tx.View, w.some(Hosts))
	if h == nil {
		return nil
	}
	h = Copy(h)
	h.Status = status
	w.tx.Save(h)
	return nil
}

func (w *walker) guest1() Guest {
	g := Guest{HostUUID: w.some(Hosts), DomainUUID: w.pick("domain", "d1", "d2", "d3"), Name: "d", Runs: w.chance("runs")}
	if Get[v1.Host](w.tx.View, g.HostUUID) == nil {
		g.HostUUID = w.host
	}
	if nic := Get[v1.VMNic](w.tx.View, w.some(Nics)); nic != nil {
		g.MACs = []string{nic.MAC}
	}
	return g
}

func attachEIP(w *walker) error {
	uuid := w.some(EIPs)
	nics, _ := EIPCandidates(w.tx.View, uuid)
	w.agree(nics, func(tx *Tx, nic string) error { _, err := AttachEIP(tx, uuid, nic); return err })
	_, err := AttachEIP(w.tx, uuid, w.some(Nics))
	return err
}

func attachRule(w *walker) error {
	uuid := w.some(PortForwardings)
	nics, _ := PortForwardingCandidates(w.tx.View, uuid)
	w.agree(nics, func(tx *Tx, nic string) error { _, err := AttachPortForwardingRule(tx, uuid, nic); return err })
	_, err := AttachPortForwardingRule(w.tx, uuid, w.some(Nics))
	return err
}

// agree: whoever asks, attach accepts the candidates and no other nic there is,
// but for the one that has the mapping already, where it does nothing.
func (w *walker) agree(candidates []*v1.VMNic, attach func(tx *Tx, nic string) error) {
	for nic := range List[v1.VMNic](w.tx.View) {
		tx := NewTx(w.tx.View, w.tx.Now)
		err := attach(tx, nic.UUID)
		if is := slices.ContainsFunc(candidates, func(n *v1.VMNic) bool { return n.UUID == nic.UUID }); is != (err == nil && tx.Changed()) {
			w.r.Fatalf("attach to %s: %v, candidate: %v", nic.UUID, err, is)
		}
	}
}

// known: what a guest's domain cannot be served with stands in its VM's
// condition, so that a refusal leaves that.
func (w *walker) known(refused error) error {
	if refused != nil && v1.Code(refused) == "" {
		w.r.Fatalf("observing guests failed without a code: %v", refused)
	}
	return nil
}
