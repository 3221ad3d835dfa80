// Command probe stands in for the agent in the boot test: it uses what an
// agent uses of a router and prints one line for each thing it tried.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// steps are commands that must succeed in a router whose modules are loaded on
// demand only; each uses another of the kernel's or iptables' loadable parts.
var steps = []string{
	"iptables --version",
	"iptables -w -P FORWARD DROP",
	"iptables -w -N SL-FWD",
	"iptables -w -A SL-FWD -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment x -j ACCEPT",
	"iptables -w -A SL-FWD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
	"iptables -w -A SL-FWD -m limit --limit 5/s -j LOG",
	"iptables -w -t nat -A POSTROUTING -o lo -m addrtype ! --dst-type MULTICAST -j MASQUERADE --random-fully",
	"iptables -w -t nat -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 127.0.0.1:5353",
	"iptables -w -t nat -A POSTROUTING -s 10.0.0.0/8 -j SNAT --to-source 192.0.2.1",
	"iptables -w -t mangle -A PREROUTING -j CONNMARK --restore-mark",
	"iptables -w -A SL-FWD -p icmp --icmp-type echo-request -j ACCEPT",
	"ip6tables -w -A FORWARD -p icmpv6 --icmpv6-type echo-request -j DROP",
	"iptables-restore --noflush --wait /dev/null",
	"iptables -w -t raw -A PREROUTING -m rpfilter --invert -j DROP",
	"iptables -w -A INPUT -p tcp -j REJECT --reject-with tcp-reset",
	"nft add table ip sluice",
	"nft add map ip sluice eip { type ipv4_addr : ipv4_addr ; }",
	"nft add chain ip sluice pre { type nat hook prerouting priority dstnat ; }",
	"nft add rule ip sluice pre dnat to ip daddr map @eip",
	"nft add rule ip sluice pre meta l4proto tcp ct status dnat counter limit rate 1/second redirect to :80",
	"conntrack -L",
}

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("probe: args", os.Args[1:])
	if _, err := os.Stat("/tmp/second"); err != nil {
		_ = os.WriteFile("/tmp/second", nil, 0o644)
		orphan()
		fmt.Println("probe: dies once")
		os.Exit(3)
	}
	show("/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/run/sluice/config/sluice.json", "/proc/meminfo")
	failed := 0
	for _, s := range steps {
		failed += try(s)
	}
	links, _ := os.ReadDir("/sys/class/net")
	fmt.Printf("probe: nics %d failed %d zombies %d\n", len(links), failed, zombies())
	fmt.Println("probe: done")
	<-term
	fmt.Println("probe: asked to stop")
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
