package doctor

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

func user(f *Facts) []Finding {
	if !f.Machine.Root {
		return warn("not root: libvirt, its disk and the server's socket may be out of sight, and what is not seen is reported as missing", "sudo sluice doctor")
	}
	return ok("root")
}

func server(f *Facts) []Finding {
	s := &f.Server
	switch {
	case s.Error != "" && s.Local:
		return fail("does not answer at "+s.Address+": "+s.Error, "sluice server --data-dir "+f.Config.DataDir)
	case s.Error != "":
		return fail("does not answer at "+s.Address+": "+s.Error, "sluice config show")
	case s.Refused != "":
		return fail("answers at "+s.Address+" and lets nobody in: "+s.Refused, "sluice --token-file "+f.Config.DataDir+"/admin-token zone list")
	case s.Version != s.Client:
		return warn(fmt.Sprintf("answers with version %s, and this program is %s: what is new in one is unknown to the other", s.Version, s.Client), "sluice version")
	}
	return ok("version " + s.Version + " answers at " + s.Address)
}

func tokens(f *Facts) []Finding {
	var wrong []Finding
	if t := f.Server.Token; t.Error != "" {
		wrong = append(wrong, fail("token file "+t.Path+" cannot be read: "+t.Error, "sluice config show")...)
	}
	for _, t := range []SecretFile{f.Server.Token, f.Machine.AdminToken} {
		if t.Error == "" && t.Mode&0o077 != 0 {
			wrong = append(wrong, fail(fmt.Sprintf("%s has mode %04o: others on this machine can read it and act as its owner", t.Path, t.Mode), "chmod 600 "+t.Path)...)
		}
	}
	return orOK(wrong, "no token can be read by others")
}

// Limits of the store: etcd wants 99 % of its writes on disk within 10 ms
// (etcd.io, hardware recommendations).
const (
	slowFsync = 10 * time.Millisecond
	badFsync  = 100 * time.Millisecond
)

func store(f *Facts) []Finding {
	d := &f.Machine.Data
	var wrong []Finding
	if f.Server.Behind != "" {
		wrong = append(wrong, fail("the server cannot follow etcd: "+f.Server.Behind, "sluice server --help")...)
	}
	if quota := f.Config.EtcdQuota; d.DBSize > quota/10*8 {
		wrong = append(wrong, fail(fmt.Sprintf("etcd holds %s, and takes no writes after %s; the server makes room when it starts, and takes more with a larger quota", size(d.DBSize), size(quota)), fmt.Sprintf("sluice server --etcd-quota %d", 2*quota))...)
	}
	times := fmt.Sprintf("a write reaches the disk of %s in %s, at worst in %s", d.what(), short(d.FsyncMedian), short(d.FsyncWorst))
	const fix = "findmnt --target "
	switch {
	case d.Error != "":
		wrong = append(wrong, warn("the disk of "+d.Dir+" cannot be tried: "+d.Error, "ls -ld "+d.Dir)...)
	case d.FsyncMedian > badFsync:
		wrong = append(wrong, fail(times+": every change waits that long, and etcd may give up", fix+d.Dir)...)
	case d.FsyncMedian > slowFsync:
		wrong = append(wrong, warn(times+": every change waits that long; etcd wants 10 ms", fix+d.Dir)...)
	}
	return orOK(wrong, fmt.Sprintf("%s; etcd holds %s", times, size(d.DBSize)))
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func port(f *Facts) []Finding {
	switch {
	case f.Config.Listen == "":
		return ok("no HTTPS address is asked for")
	case f.Server.Local && f.Server.Error == "":
		return ok("the server runs")
	case f.Machine.ListenError != "":
		return fail("the server cannot listen on "+f.Config.Listen+": "+f.Machine.ListenError, "ss -ltnp")
	}
	return ok(f.Config.Listen + " is free")
}

// Free space that is little, and too little, in bytes: the store grows by some
// MB, a template has 25 MB, and a console log may have 8 MB.
const (
	littleSpace = 1 << 30
	noSpace     = 200 << 20
)

func space(f *Facts) []Finding {
	d := f.Machine.Data
	if d.Error != "" {
		return unknown("the disk of "+d.Dir+" cannot be tried: "+d.Error, "df -h "+d.Dir)
	}
	return roomOn("the disk of "+d.what(), d.Free, "df -h "+d.Dir)
}

func (d *Data) what() string {
	if d.Missing {
		return d.Dir + " (not made yet)"
	}
	return d.Dir
}

func roomOn(what string, free int64, fix string) []Finding {
	text := fmt.Sprintf("%s has %s free", what, size(free))
	switch {
	case free < noSpace:
		return fail(text+": what is to be written there will fail", fix)
	case free < littleSpace:
		return warn(text+", which is little", fix)
	}
	return ok(text)
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// sane is a time before which no clock is right that runs this program.
var sane = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func clock(f *Facts) []Finding {
	m := &f.Machine
	switch {
	case m.Now.Before(sane):
		return fail("it is "+m.Now.Format(time.DateOnly)+" by this clock: certificates are not valid then", "timedatectl set-ntp true")
	case m.ClockError != "":
		return unknown("the kernel does not tell about its clock: "+m.ClockError, "timedatectl")
	case !m.ClockSynced:
		return warn("nothing keeps the clock right: certificates of routers end or begin at the wrong time once it is hours off", "timedatectl set-ntp true")
	}
	return ok("kept right")
}

// wanted are kernel modules, and what goes wrong without each.
var wanted = []struct {
	name  string
	level Level
	why   string
}{
	{"bridge", Fail, "no L2 network can be realized"},
	{"tun", Fail, "no router gets a network card"},
	{"8021q", Warn, "networks of type L2VlanNetwork cannot be realized"},
	{"vhost_net", Warn, "QEMU copies each packet itself, which costs CPU"},
}

// missing is the state of a module that this kernel does not have.
const missing = "missing"

func modules(f *Facts) []Finding {
	var wrong []Finding
	for _, w := range wanted {
		if f.Machine.Modules[w.name] == missing && !(w.name == "tun" && f.Machine.Tun) {
			wrong = append(wrong, Finding{Level: w.level, What: fmt.Sprintf("the kernel has no module %s: %s", w.name, w.why), Fix: "modprobe " + w.name})
		}
	}
	return orOK(wrong, "the kernel has all that are needed")
}

func bridgeFilter(f *Facts) []Finding {
	m := &f.Machine
	const fix = "sysctl -w net.bridge.bridge-nf-call-iptables=0"
	const cause = "net.bridge.bridge-nf-call-iptables is 1: frames between guests and routers pass this machine's iptables"
	switch {
	case !m.BridgeFilter:
		return ok("frames between guests and routers do not pass this machine's iptables")
	case m.ForwardPolicy == "DROP":
		return fail(cause+", whose FORWARD chain drops what no rule lets through (Docker does that): guests get no DHCP and no gateway", fix)
	case m.ForwardPolicy == "":
		return warn(cause+", and its FORWARD chain cannot be read: "+m.ForwardError, fix)
	}
	return warn(cause+": its FORWARD chain lets them pass now, and costs CPU; a firewall that is installed later cuts guests off", fix)
}

func hosts(f *Facts) []Finding {
	if f.Site == nil {
		return notWithoutServer("hosts")
	}
	var wrong []Finding
	for _, h := range f.Site.Hosts {
		if h.Status == v1.Connected || h.State == v1.Maintenance {
			continue
		}
		wrong = append(wrong, fail(fmt.Sprintf("host %s is %s%s", h.Name, h.Status, because(h.Conditions)), "sluice host show "+h.UUID)...)
	}
	if len(f.Site.Hosts) == 0 {
		return warn("there is none: routers have nowhere to run", "sluice host create this-machine --cluster CLUSTER")
	}
	return orOK(wrong, fmt.Sprintf("%d connected", len(f.Site.Hosts)))
}

// because is the first condition that is not as it is to be.
func because(conditions []v1.Condition) string {
	for _, c := range conditions {
		if c.Status != v1.True && c.Message != "" {
			return ": " + c.Message
		}
	}
	return ""
}

func routers(f *Facts) []Finding {
	if f.Site == nil {
		return notWithoutServer("routers")
	}
	var wrong []Finding
	serving := 0
	for _, r := range f.Site.Routers {
		if r.WantedState != v1.StateRunning {
			continue
		}
		if r.State == v1.StateRunning && r.Status == v1.Connected && r.AppliedHash == r.DesiredHash {
			serving++
			continue
		}
		wrong = append(wrong, warn(fmt.Sprintf("router %s is %s and %s%s", r.Name, r.State, r.Status, because(r.Conditions)), "sluice explain router "+r.UUID)...)
	}
	return orOK(wrong, fmt.Sprintf("%d serve what is wanted", serving))
}

func notWithoutServer(what string) []Finding {
	return unknown("only the server knows which "+what+" there have to be, and it does not tell", "")
}

func leftovers(f *Facts) []Finding {
	switch {
	case f.Site == nil:
		return notWithoutServer("domains and bridges")
	case !f.Server.Local:
		return unknown("the server is on another machine, and so is what it made", "")
	}
	known, bridges := map[string]bool{}, map[string]bool{}
	for _, r := range f.Site.Routers {
		known[r.UUID] = true
	}
	for _, l2 := range f.Site.L2s {
		for _, r := range l2.Realizations {
			bridges[r.Bridge] = true
		}
	}
	var wrong []Finding
	for _, uuid := range sorted(f.Libvirt.Routers) {
		if !known[uuid] {
			wrong = append(wrong, warn(fmt.Sprintf("of router %s, which is not in the store, there is still %s", uuid, strings.Join(f.Libvirt.Routers[uuid], ", ")),
				leftoverFix(f.Config.Instance, f.Libvirt.Routers[uuid]))...)
		}
	}
	for _, b := range f.Machine.Bridges {
		if !bridges[b] {
			wrong = append(wrong, warn("bridge "+b+" is of no L2 network of this server", "ip link show master "+b+" && ip link delete "+b)...)
		}
	}
	return orOK(wrong, "no domain, volume or bridge without its object")
}

func leftoverFix(pool string, things []string) string {
	var all []string
	for _, thing := range things {
		kind, name, _ := strings.Cut(thing, " ")
		if kind == "domain" {
			all = append(all, "virsh destroy "+name+"; virsh undefine "+name)
		} else {
			all = append(all, "virsh vol-delete --pool "+pool+" "+name)
		}
	}
	return strings.Join(all, " && ")
}
