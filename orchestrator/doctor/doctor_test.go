package doctor

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// sound are the facts of a machine on which all is well.
func sound() *Facts {
	router := v1.VirtualRouter{
		Meta: v1.Meta{UUID: "r1", Name: "router-guest"}, WantedState: v1.StateRunning,
		State: v1.StateRunning, Status: v1.Connected, DesiredHash: "h", AppliedHash: "h",
	}
	return &Facts{
		Config: Config{DataDir: "/data", Listen: ":8743", Instance: "sluice", EtcdQuota: 4 << 30},
		Server: Server{Address: "unix:///s", Local: true, Version: "1", Client: "1"},
		Site: &Site{
			Hosts:   []v1.Host{{Meta: v1.Meta{UUID: "h1", Name: "here"}, Status: v1.Connected}},
			L2s:     []v1.L2Network{{Meta: v1.Meta{Name: "tenant"}, Realizations: []v1.Realization{{Bridge: "slbr1"}}}},
			Routers: []v1.VirtualRouter{router},
		},
		Machine: Machine{
			Root: true, Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), ClockSynced: true, KVM: true, Tun: true, Bridges: []string{"slbr1"},
			Modules:    map[string]string{"bridge": "loaded", "tun": "built-in", "8021q": "loadable", "vhost_net": "loaded"},
			AdminToken: SecretFile{Path: "/data/admin-token", Mode: 0o600},
			Data:       Data{Dir: "/data", Free: 50 << 30, DBSize: 1 << 20, FsyncMedian: time.Millisecond, FsyncWorst: 3 * time.Millisecond},
		},
		Libvirt: Libvirt{
			URI: "qemu:///system", Version: "9.0.0", VirtType: "kvm", VirtReason: "a guest ran",
			Pool: Pool{Path: "/pool", Free: 50 << 30}, Routers: map[string][]string{"r1": {"domain sluice-router-r1"}},
		},
		Images: []Image{{Name: "router", Source: "/image"}},
		L2s:    []L2{{Name: "tenant", Bridge: "slbr1"}},
	}
}

func TestAllIsWellOnASoundMachine(t *testing.T) {
	found := Judge(sound())
	for _, f := range found {
		if f.Level != OK || f.Fix != "" || f.What == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != len(checks) {
		t.Errorf("%d findings of %d checks", len(found), len(checks))
	}
}

// Each line breaks one thing, and says which check finds it, how bad it is, and
// what stands in the finding and in the command that mends it.
func TestEachTroubleIsFoundAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		breaks    func(*Facts)
		check     string
		level     Level
		what, fix string
	}{
		"a user":                {func(f *Facts) { f.Machine.Root = false }, "user", Warn, "not root", "sudo"},
		"another version":       {func(f *Facts) { f.Server.Version = "2" }, "server", Warn, "version 2, and this program is 1", "sluice version"},
		"etcd lost":             {func(f *Facts) { f.Server.Behind = "no leader" }, "store", Fail, "no leader", "sluice"},
		"token for all":         {func(f *Facts) { f.Server.Token = SecretFile{Path: "/t", Mode: 0o644} }, "tokens", Fail, "mode 0644", "chmod 600 /t"},
		"admin token for all":   {func(f *Facts) { f.Machine.AdminToken.Mode = 0o640 }, "tokens", Fail, "admin-token has mode 0640", "chmod 600 /data/admin-token"},
		"token unreadable":      {func(f *Facts) { f.Server.Token = SecretFile{Path: "/t", Error: "is a loop"} }, "tokens", Fail, "is a loop", "sluice config show"},
		"etcd nearly full":      {func(f *Facts) { f.Machine.Data.DBSize = 3800 << 20 }, "store", Fail, "3.7 GiB, and takes no writes after 4.0 GiB", "sluice server --etcd-quota 8589934592"},
		"slow disk":             {func(f *Facts) { f.Machine.Data.FsyncMedian = 11 * time.Millisecond }, "store", Warn, "in 11ms", "findmnt"},
		"very slow disk":        {func(f *Facts) { f.Machine.Data.FsyncMedian = time.Second }, "store", Fail, "give up", "findmnt"},
		"little space":          {func(f *Facts) { f.Machine.Data.Free = 500 << 20 }, "space", Warn, "500 MiB free", "df -h /data"},
		"no space":              {func(f *Facts) { f.Machine.Data.Free = 1 << 20 }, "space", Fail, "will fail", "df -h /data"},
		"clock alone":           {func(f *Facts) { f.Machine.ClockSynced = false }, "clock", Warn, "keeps the clock", "timedatectl"},
		"clock of yesteryear":   {func(f *Facts) { f.Machine.Now = time.Unix(0, 0).UTC() }, "clock", Fail, "1970-01-01", "timedatectl"},
		"clock says nothing":    {func(f *Facts) { f.Machine.ClockError = "EPERM" }, "clock", Unknown, "EPERM", "timedatectl"},
		"no bridges":            {func(f *Facts) { f.Machine.Modules["bridge"] = missing }, "modules", Fail, "no L2 network", "modprobe bridge"},
		"no VLANs":              {func(f *Facts) { f.Machine.Modules["8021q"] = missing }, "modules", Warn, "L2VlanNetwork", "modprobe 8021q"},
		"no taps":               {func(f *Facts) { f.Machine.Modules["tun"], f.Machine.Tun = missing, false }, "modules", Fail, "network card", "modprobe tun"},
		"libvirt not installed": {func(f *Facts) { f.Libvirt = Libvirt{Error: "no such file", Cause: CauseNone} }, "libvirt", Fail, "not installed", "apt-get install"},
		"libvirt ended":         {func(f *Facts) { f.Libvirt = Libvirt{Error: "refused", Cause: CauseRefused} }, "libvirt", Fail, "has ended", "systemctl restart libvirtd"},
		"libvirt not for us":    {func(f *Facts) { f.Libvirt = Libvirt{Error: "denied", Cause: CauseDenied} }, "libvirt", Fail, "not for this user", "usermod"},
		"libvirt hangs":         {func(f *Facts) { f.Libvirt = Libvirt{Error: "no answer", Cause: CauseSilent} }, "libvirt", Fail, "does not answer", "restart"},
		"libvirt elsewhere":     {func(f *Facts) { f.Libvirt = Libvirt{Error: "only local ones"} }, "libvirt", Fail, "only local ones", "virsh"},
		"no KVM":                {func(f *Facts) { f.Libvirt.VirtType, f.Machine.KVM = "qemu", false }, "virtualization", Warn, "no /dev/kvm", "modprobe kvm_intel"},
		"KVM that hangs":        {func(f *Facts) { f.Libvirt.VirtType, f.Libvirt.VirtReason = "qemu", "it hung" }, "virtualization", Warn, "although there is a /dev/kvm (it hung)", "virt-host-validate"},
		"not tried":             {func(f *Facts) { f.Libvirt.VirtError = "no QEMU" }, "virtualization", Fail, "no QEMU", "capabilities"},
		"no pool":               {func(f *Facts) { f.Libvirt.Pool = Pool{Error: "no directory"} }, "storage", Fail, "no directory", "virsh pool-start sluice"},
		"full pool":             {func(f *Facts) { f.Libvirt.Pool.Free = 0 }, "storage", Fail, "/pool has 0 KiB", "vol-list"},
		"broken image":          {func(f *Facts) { f.Images[0].Error = "its initrd differs" }, "image", Fail, "image router (/image): its initrd differs", "make image"},
		"image not registered":  {func(f *Facts) { f.Images[0].Name = "" }, "image", Warn, "not registered", "sluice image create router --source /image"},
		"no image":              {func(f *Facts) { f.Images = []Image{{Source: "/image", Error: "no manifest"}} }, "image", Fail, "no manifest", "make image"},
		"host lost": {func(f *Facts) {
			f.Site.Hosts[0].Status = v1.Disconnected
			f.Site.Hosts[0].Conditions = []v1.Condition{{Status: v1.False, Message: "libvirt hangs"}}
		}, "hosts", Fail, "host here is Disconnected: libvirt hangs", "sluice host show h1"},
		"no host":        {func(f *Facts) { f.Site.Hosts = nil }, "hosts", Warn, "nowhere to run", "sluice host create"},
		"bridge gone":    {func(f *Facts) { f.L2s[0].Error = "no bridge" }, "l2-networks", Fail, "tenant is not real", "sluice l2-network attach"},
		"filter":         {func(f *Facts) { f.Machine.BridgeFilter, f.Machine.ForwardPolicy = true, "ACCEPT" }, "bridge-filter", Warn, "pass now", "sysctl -w"},
		"filter drops":   {func(f *Facts) { f.Machine.BridgeFilter, f.Machine.ForwardPolicy = true, "DROP" }, "bridge-filter", Fail, "guests get no DHCP", "sysctl -w"},
		"filter unknown": {func(f *Facts) { f.Machine.BridgeFilter, f.Machine.ForwardError = true, "no iptables" }, "bridge-filter", Warn, "no iptables", "sysctl -w"},
		"router lost":    {func(f *Facts) { f.Site.Routers[0].Status = v1.Disconnected }, "routers", Warn, "router-guest is Running and Disconnected", "sluice explain router r1"},
		"router behind":  {func(f *Facts) { f.Site.Routers[0].AppliedHash = "old" }, "routers", Warn, "router-guest", "sluice explain router r1"},
		"domain left":    {func(f *Facts) { f.Libvirt.Routers["r2"] = []string{"domain d2", "volume v2"} }, "leftovers", Warn, "router r2", "virsh destroy d2; virsh undefine d2 && virsh vol-delete --pool sluice v2"},
		"bridge left":    {func(f *Facts) { f.Machine.Bridges = append(f.Machine.Bridges, "slbr9") }, "leftovers", Warn, "slbr9", "ip link delete slbr9"},
	} {
		t.Run(name, func(t *testing.T) {
			f := sound()
			c.breaks(f)
			hit := false
			for _, found := range Judge(f) {
				if found.Check != c.check {
					if found.Level != OK && !strings.HasPrefix(name, "libvirt") && found.Level != Unknown {
						t.Errorf("also %+v", found)
					}
					continue
				}
				hit = hit || found.Level == c.level && strings.Contains(found.What, c.what) && strings.Contains(found.Fix, c.fix) && found.Fix != ""
			}
			if !hit {
				t.Errorf("not found as %s of %s with %q and %q: %+v", c.level, c.check, c.what, c.fix, Judge(f))
			}
		})
	}
}

func TestWithoutServer(t *testing.T) {
	f := sound()
	f.Site, f.Server.Error, f.Server.Version, f.Machine.ListenError = nil, "connection refused", "", "address in use"
	want := map[string]Level{"server": Fail, "port": Fail, "hosts": Unknown, "l2-networks": Unknown, "routers": Unknown, "leftovers": Unknown}
	for _, found := range Judge(f) {
		level := want[found.Check]
		if level == "" {
			level = OK
		}
		if found.Level != level {
			t.Errorf("want %s: %+v", level, found)
		}
	}
	f.Server.Local, f.Server.Error, f.Server.Refused = false, "", "no token"
	if found := server(f); found[0].Level != Fail || !strings.Contains(found[0].What, "no token") {
		t.Error(found)
	}
	f.Config.Listen = ""
	if found := port(f); found[0].Level != OK {
		t.Error(found)
	}
}

func TestServerOnAnotherMachine(t *testing.T) {
	f := sound()
	f.Server.Local, f.Images = false, nil
	for _, found := range Judge(f) {
		if want := slices.Contains([]string{"image", "l2-networks", "leftovers"}, found.Check); want != (found.Level == Unknown) {
			t.Errorf("%+v", found)
		}
	}
}

func TestModulesAreFound(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write([]byte("CONFIG_TUN=y\n# CONFIG_VLAN_8021Q is not set\n"))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	root := fstest.MapFS{
		"sys/module/bridge/refcnt":         {},
		"lib/modules/6.1/modules.builtin":  {Data: []byte("kernel/fs/ext4.ko\nkernel/net/8021q/8021q.ko\n")},
		"lib/modules/6.1/modules.dep":      {Data: []byte("kernel/drivers/vhost/vhost-net.ko.xz: kernel/drivers/vhost/vhost.ko.xz\n")},
		"proc/config.gz":                   {Data: z.Bytes()},
		"sys/class/net/slbr0123456789/mtu": {}, "sys/class/net/eth0/mtu": {},
	}
	for name, want := range map[string]string{"bridge": "loaded", "8021q": "built-in", "vhost_net": "loadable", "tun": "built-in", "vhost": missing, "ext4": "built-in"} {
		if got := moduleState(root, "6.1", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := moduleState(root, "5.0", "8021q"); got != missing {
		t.Errorf("8021q of another kernel is %s", got)
	}
	if got := bridges(root); !slices.Equal(got, []string{"slbr0123456789"}) {
		t.Error(got)
	}
}

func TestForwardPolicy(t *testing.T) {
	for rules, want := range map[string]string{
		"-P FORWARD ACCEPT\n":                                                     "ACCEPT",
		"-P FORWARD DROP\n-A FORWARD -j DOCKER\n":                                 "DROP",
		"-P FORWARD DROP\n-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT\n": "ACCEPT",
	} {
		if got := policyOf(rules); got != want {
			t.Errorf("%q: %s, want %s", rules, got, want)
		}
	}
}

func TestLookingLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	m := LookAtMachine(t.Context(), Config{DataDir: filepath.Join(dir, "not", "made"), Listen: "127.0.0.1:0"})
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	if d := m.Data; !d.Missing || d.Error != "" || d.Free == 0 || d.FsyncMedian == 0 || d.FsyncWorst < d.FsyncMedian {
		t.Errorf("%+v", d)
	}
	if m.ListenError != "" || m.Modules["bridge"] == "" || m.AdminToken.Mode != 0 || m.AdminToken.Error != "" {
		t.Errorf("%+v", m)
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if s := LookAtSecret(token); s.Mode != 0o640 {
		t.Errorf("%+v", s)
	}
}
