// Command probe stands in for the agent in the boot test: it uses what an
// agent uses of a router and prints one line for each thing it tried.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-nfv/sluice/appliance/boot"
)

// steps are commands that must succeed in a router that can load no modules any
// more: all that the agent does with the packet filter.
var steps = []string{
	"iptables --version",
	"iptables-save",
	"iptables -w -P FORWARD DROP",
	"iptables -w -N SL-FWD",
	"iptables -w -A SL-FWD -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment x -j ACCEPT",
	"iptables -w -A SL-FWD -m conntrack --ctstate DNAT -j ACCEPT",
	"iptables -w -t nat -A POSTROUTING -o lo -j MASQUERADE --random-fully",
	"iptables -w -t nat -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 127.0.0.1:5353",
	"iptables -w -t nat -A POSTROUTING -s 10.0.0.0/8 ! -d 224.0.0.0/4 -j SNAT --to-source 192.0.2.1 --random-fully",
	"iptables -w -A SL-FWD -p icmp -m icmp --icmp-type 8 -j ACCEPT",
	"iptables -w -t raw -A PREROUTING -s 0.0.0.0/32 -p udp -m udp --sport 68 --dport 67 -j RETURN",
	"iptables-restore --noflush --wait /dev/null",
	"nft add table ip sluice",
	"nft add map ip sluice eip { type ipv4_addr : ipv4_addr ; }",
	"nft add map ip sluice forward { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }",
	"nft add chain ip sluice pre { type nat hook prerouting priority -110 ; }",
	"nft add chain ip sluice post { type nat hook postrouting priority 90 ; }",
	"nft add rule ip sluice pre dnat to ip daddr map @eip",
	"nft add rule ip sluice pre dnat ip to ip daddr . ip protocol . th dport map @forward",
	"nft add rule ip sluice post ip daddr & 240.0.0.0 != 224.0.0.0 snat to ip saddr map @eip",
	"nft add chain ip sluice through { type filter hook forward priority 0 ; }",
	"nft add rule ip sluice through tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu",
	"nft add rule ip sluice through ct state new fib saddr type local drop",
	"nft add flowtable ip sluice fast { hook ingress priority 0 ; devices = { eth0 } ; }",
	"nft add rule ip sluice through flow add @fast",
	"nft list ruleset",
}

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if os.Getpid() == 1 { // as the agent's binary, the probe is process 1 too
		os.Exit(boot.Main(os.Args[2:]))
	}
	fmt.Println("probe: args", os.Args[1:])
	if _, err := os.Stat("/tmp/second"); err != nil {
		_ = os.WriteFile("/tmp/second", nil, 0o644)
		orphan()
		fmt.Println("probe: dies once")
		os.Exit(3)
	}
	show("/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe", "/run/sluice/config/sluice.json", "/proc/meminfo")
	failed := 0
	fmt.Println("probe: load module:", loadModule())
	for _, s := range steps {
		failed += try(s)
	}
	links, _ := os.ReadDir("/sys/class/net")
	fmt.Printf("probe: nics %d failed %d zombies %d\n", len(links), failed, zombies())
	fmt.Println("probe: done")
	<-term
	fmt.Println("probe: asked to stop")
}

// loadModule waits until process 1 has closed the kernel to modules, unless it
// was told to leave it open, and then tries to load one that is not loaded.
func loadModule() error {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	for !strings.Contains(string(cmdline), "sluice.modules=open") {
		if b, _ := os.ReadFile("/proc/sys/kernel/modules_disabled"); string(b) == "1\n" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	found, _ := filepath.Glob("/lib/modules/*/kernel/drivers/scsi/virtio_scsi.ko")
	if len(found) != 1 {
		return fmt.Errorf("find a module to load: %q", found)
	}
	f, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

func try(s string) int {
	begin := time.Now()
	f := strings.Fields(s)
	out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
	if err != nil {
		fmt.Printf("probe: FAIL %s: %v: %s\n", s, err, out)
		return 1
	}
	fmt.Printf("probe: ok %v %s\n", time.Since(begin).Round(time.Millisecond), s)
	return 0
}

// orphan leaves a child behind that ends later: process 1 has to reap it.
func orphan() {
	c := exec.Command("nft", "--version")
	_ = c.Start()
}

func show(files ...string) {
	for _, f := range files {
		b, err := os.ReadFile(f)
		text := string(b)
		if strings.HasSuffix(f, "meminfo") {
			text = text[:strings.Index(text, "Buffers")]
		}
		fmt.Printf("probe: %s = %q %v\n", f, text, err)
	}
}

func zombies() int {
	n := 0
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		b, _ := os.ReadFile("/proc/" + d.Name() + "/stat")
		if strings.Contains(string(b), ") Z ") {
			n++
		}
	}
	return n
}
