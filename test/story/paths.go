package story

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// scanned looks for open doors from the public side with a port scanner: the
// router's own address has none, and a VIP exactly the forwarded port.
func (s *Story) scanned(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	rule, err := get[v1.PortForwardingRule](ctx, s.API, "port-forwarding-rules", "web-http")
	if err != nil {
		return "", err
	}
	public, _ := router.NicWithRole("public")
	for at, want := range map[string][]string{
		public.IP.String():  nil,
		rule.VIPIP.String(): {fmt.Sprint(rule.VIPPortStart)},
	} {
		out, err := s.Lab.In(ctx, internet, "nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "1", "--min-rate", "500", "-p", "1-1024,7443,8080", "-oG", "-", at)
		if err != nil {
			return "", err
		}
		var found []string
		for _, word := range strings.FieldsFunc(out, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
			if port, rest, ok := strings.Cut(word, "/"); ok && (strings.HasPrefix(rest, "open/") || strings.HasPrefix(rest, "closed/")) {
				found = append(found, port)
			}
		}
		if !strings.Contains(out, "Nmap done") || strings.Contains(out, "Ignored State: closed") || !slices.Equal(found, want) {
			return "", fmt.Errorf("at %s ports %v answer, promised are %v:\n%s", at, found, want, out)
		}
	}
	return "nothing but the forwarded port", nil
}

// traced follows the way out by ICMP errors, which find the guest that they
// concern.
func (s *Story) traced(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	gateway, _ := router.NicWithRole("guest")
	for _, guest := range []string{"web", "app"} { // by the router's address, and by an elastic IP
		out, err := s.guests[guest].Exec(ctx, "traceroute", "-n", "-q", "1", "-w", "3", "-m", "4", outsideAddress)
		words := strings.Fields(out)
		first, last := slices.Index(words, gateway.IP.String()), slices.Index(words[min(len(words), 4):], outsideAddress)
		if err != nil || first < 0 || last < 0 {
			return "", fmt.Errorf("traceroute from %s (%w):\n%s", guest, err, out)
		}
	}
	return gateway.IP.String() + ", " + outsideAddress, nil
}

// fragmented sends a datagram that no link has room for to a forwarded port.
func (s *Story) fragmented(ctx context.Context) (string, error) {
	rule, err := get[v1.PortForwardingRule](ctx, s.API, "port-forwarding-rules", "web-echo")
	if err != nil {
		return "", err
	}
	out, err := s.Lab.In(ctx, internet, "sh", "-c", fmt.Sprintf("head -c 4000 /dev/zero | nc -u -w 2 %s %d", rule.VIPIP, rule.VIPPortStart))
	if err != nil || strings.TrimSpace(out) != "web sees 203.0.113.1" {
		return "", fmt.Errorf("4000 bytes to UDP %s:%d are answered %q: %w", rule.VIPIP, rule.VIPPortStart, out, err)
	}
	return "4000 bytes in one datagram", nil
}

// unshared takes the way out from a guest without an address of its own, and
// gives it back. A tag is set without waiting for the router.
func (s *Story) unshared(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	tag := v1.SystemTag{ResourceType: "virtual-routers", ResourceUUID: router.UUID, Tag: "disabledService::SNAT"}
	if err := s.API.Do(ctx, http.MethodPost, "/v1/system-tags", tag, nil); err != nil {
		return "", err
	}
	if err := s.getsOut(ctx, "db", false); err != nil {
		return "", err
	}
	query := url.Values{"resourceType": {tag.ResourceType}, "resourceUuid": {tag.ResourceUUID}, "tag": {tag.Tag}}
	if err := s.API.Do(ctx, http.MethodDelete, "/v1/system-tags?"+query.Encode(), nil, nil); err != nil {
		return "", err
	}
	return "off, on", s.getsOut(ctx, "db", true)
}

// getsOut waits until a guest does, or does not.
func (s *Story) getsOut(ctx context.Context, guest string, want bool) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, err := s.guests[guest].Exec(ctx, "curl", "-sS", "--max-time", "2", "http://"+outsideAddress+"/")
		if got := err == nil && strings.HasPrefix(out, "internet sees "); got == want {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s gets out: %t, want %t: %q, %w", guest, !want, want, out, err)
		}
	}
}

// ranged forwards a range of ports, to one network outside and not to another.
func (s *Story) ranged(ctx context.Context) (string, error) {
	vip, err := get[v1.VIP](ctx, s.API, "vips", "web-address")
	if err != nil {
		return "", err
	}
	for allowed, reaches := range map[string]bool{"203.0.113.0/24": true, "198.51.100.0/24": false} {
		var rule v1.PortForwardingRule
		if err := s.API.Do(ctx, http.MethodPost, "/v1/port-forwarding-rules?wait=10s", v1.CreatePortForwardingRule{
			CreateMeta: v1.CreateMeta{Name: "range"}, VIPUUID: vip.UUID, VIPPortStart: 2079, VIPPortEnd: 2081, PrivatePortStart: 79, PrivatePortEnd: 81,
			Protocol: "TCP", AllowedCIDR: allowed, VMNicUUID: s.vms["web"].Nics[0].UUID}, &rule); err != nil {
			return "", err
		}
		out, err := s.Lab.In(ctx, internet, "curl", "-sS", "--max-time", "2", fmt.Sprintf("http://%s:2080/", vip.IP))
		if reached := err == nil && strings.HasPrefix(out, "web sees 203.0.113.1"); reached != reaches {
			return "", fmt.Errorf("with %s allowed, the middle of the range answers %q: %w", allowed, out, err)
		}
		if err := s.API.Do(ctx, http.MethodDelete, "/v1/port-forwarding-rules/"+rule.UUID+"?wait=10s", nil, nil); err != nil {
			return "", err
		}
	}
	return "2079-2081, allowed and not", nil
}

// counted reads what the elastic IP carried so far, and how many connections
// fit into the router.
func (s *Story) counted(ctx context.Context) (string, error) {
	router, err := s.router(ctx)
	if err != nil {
		return "", err
	}
	eip, err := s.eip(ctx)
	if err != nil {
		return "", err
	}
	var status agentv1.RouterStatus
	if err := s.API.Do(ctx, http.MethodGet, "/v1/virtual-routers/"+router.UUID+"/status", nil, &status); err != nil {
		return "", err
	}
	if status.ConntrackMax < 16<<10 {
		return "", fmt.Errorf("the router has room for %d connections", status.ConntrackMax)
	}
	for _, t := range status.Traffic {
		if t.UUID == eip.UUID && t.InPackets > 0 && t.OutBytes > 0 {
			return fmt.Sprintf("%d bytes in, %d out; room for %d connections", t.InBytes, t.OutBytes, status.ConntrackMax), nil
		}
	}
	return "", fmt.Errorf("traffic is %+v, without elastic IP %s", status.Traffic, eip.UUID)
}
