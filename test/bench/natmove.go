package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/test/site"
)

const (
	goalMove = 0.050 // seconds, p99, with three commits to the disk in it
	// moveMost is how often an EIP is moved, moveBatch how many guests go into the
	// store in one transaction.
	moveMost  = 300
	moveBatch = 250
)

// moveOne moves an EIP from guest to guest through the orchestrator's API, among
// 10,000 EIPs and as many forwarded ports: the call, and the first packet that
// goes the new way.
func moveOne(ctx context.Context, b *bench) (rows []result, err error) {
	dir, err := os.MkdirTemp("", instance+"-move")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := b.newRack(ctx, "router")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	n, err := b.newNorth(ctx, s, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	m, err := n.populate(ctx, dir, many)
	if err != nil {
		return nil, err
	}
	return m.measure(ctx)
}

type object = map[string]any

// made is the UUID of a new object.
func (n *north) made(ctx context.Context, path string, body object) (string, error) {
	var o v1.Meta
	err := n.do(ctx, "POST", path, body, &o)
	if err != nil {
		err = fmt.Errorf("POST %s: %w", path, err)
	}
	return o.UUID, err
}

// site makes a zone with a host, three networks and an offering; l3s are
// management, public and guest.
func (n *north) site(ctx context.Context, dir string) (l3s []string, err error) {
	make := func(path string, body object) (uuid string) {
		if err == nil {
			uuid, err = n.made(ctx, path, body)
		}
		return uuid
	}
	zone := make("/v1/zones", object{"name": "zone"})
	cluster := make("/v1/clusters", object{"name": "cluster", "zoneUuid": zone})
	make("/v1/hosts?wait=20s", object{"name": "host", "clusterUuid": cluster})
	for i, of := range []struct{ category, first, last, mask, gateway string }{
		{v1.System, "10.98.1.10", "10.98.1.20", "255.255.255.0", "10.98.1.2"},
		{v1.Public, "10.97.2.0", "10.97.100.0", "255.255.0.0", "10.97.1.2"},
		{v1.Private, "10.121.1.0", "10.121.100.0", "255.255.0.0", "10.121.0.1"},
	} {
		l2 := make("/v1/l2-networks", object{"name": of.category, "zoneUuid": zone, "physicalInterface": fmt.Sprint("eth", i)})
		make("/v1/l2-networks/"+l2+"/clusters/"+cluster, nil)
		l3 := make("/v1/l3-networks", object{"name": of.category, "l2NetworkUuid": l2, "category": of.category})
		make("/v1/l3-networks/"+l3+"/ip-ranges", object{"name": of.category, "startIp": of.first, "endIp": of.last, "netmask": of.mask, "gateway": of.gateway})
		l3s = append(l3s, l3)
	}
	if err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "template")
	if err := site.Template(source); err != nil {
		return nil, err
	}
	image := make("/v1/images", object{"name": "router", "source": source})
	make("/v1/virtual-router-offerings", object{"name": "small", "zoneUuid": zone, "managementNetworkUuid": l3s[0], "publicNetworkUuid": l3s[1], "imageUuid": image})
	make("/v1/l3-networks/"+l3s[2]+"/network-services", object{"networkServices": object{
		v1.ProviderVirtualRouter: []string{v1.DHCP, v1.DNS, v1.SNAT, v1.EIPService, v1.PortForwarding}}})
	return l3s, err
}

// mover is an EIP with the two guests that it moves between.
type mover struct {
	*north
	eip  string
	vip  netip.Addr
	nics [2]v1.VMNic
}

// populate makes that many running guests, each with an EIP and a forwarded port
// of an address that all share, and two more guests with an EIP between them.
func (n *north) populate(ctx context.Context, dir string, count int) (*mover, error) {
	l3s, err := n.site(ctx, dir)
	if err != nil {
		return nil, err
	}
	progress("%d guests with an EIP and a forwarded port each", count)
	for at := 0; at < count; at += moveBatch {
		if _, err := n.store.Update(ctx, func(tx *model.Tx) error { return fill(tx, l3s, at, moveBatch) }); err != nil {
			return nil, err
		}
	}
	m := &mover{north: n}
	for i := range m.nics {
		var vm v1.VMInstance
		name := fmt.Sprint("mover-", i)
		if err := n.do(ctx, "POST", "/v1/vm-instances", object{"name": name, "hostname": name, "nics": []object{{"l3NetworkUuid": l3s[2]}}}, &vm); err != nil {
			return nil, err
		}
		if err := n.do(ctx, "POST", "/v1/vm-instances/"+vm.UUID+"/actions?wait=2m", object{"action": "start"}, nil); err != nil {
			return nil, err
		}
		m.nics[i] = vm.Nics[0]
	}
	var vip v1.VIP
	if err := n.do(ctx, "POST", "/v1/vips", object{"name": "moved", "l3NetworkUuid": l3s[1]}, &vip); err != nil {
		return nil, err
	}
	m.vip = vip.IP
	m.eip, err = n.made(ctx, "/v1/eips?wait=30s", object{"name": "moved", "vipUuid": vip.UUID})
	if err != nil {
		return nil, err
	}
	return m, m.connect(ctx)
}

// fill makes guests by the model's own rules.
func fill(tx *model.Tx, l3s []string, at, count int) error {
	meta := func(kind string, i int) v1.CreateMeta { return v1.CreateMeta{Name: fmt.Sprintf("%s-%05d", kind, i)} }
	shared := ""
	for vip := range model.List[v1.VIP](tx.View) {
		if vip.Name == "shared" {
			shared = vip.UUID
		}
	}
	if shared == "" {
		vip, err := model.CreateVIP(tx, v1.CreateVIP{CreateMeta: v1.CreateMeta{Name: "shared"}, L3NetworkUUID: l3s[1]})
		if err != nil {
			return err
		}
		shared = vip.UUID
	}
	for i := at; i < at+count; i++ {
		vm, err := model.CreateVM(tx, v1.CreateVMInstance{CreateMeta: meta("vm", i), Hostname: meta("vm", i).Name, Nics: []v1.CreateVMNic{{L3NetworkUUID: l3s[2]}}})
		if err != nil {
			return err
		}
		nic := vm.Nics[0].UUID
		if _, err = model.StartVM(tx, vm.UUID); err != nil {
			return err
		}
		vip, err := model.CreateVIP(tx, v1.CreateVIP{CreateMeta: meta("vip", i), L3NetworkUUID: l3s[1]})
		if err != nil {
			return err
		}
		_, err = model.CreateEIP(tx, v1.CreateEIP{CreateMeta: meta("eip", i), VIPUUID: vip.UUID, VMNicUUID: nic})
		if err != nil {
			return err
		}
		port := int(forwardedPort(i))
		_, err = model.CreatePortForwardingRule(tx, v1.CreatePortForwardingRule{CreateMeta: meta("rule", i), VIPUUID: shared, Protocol: "TCP",
			VIPPortStart: port, VIPPortEnd: port, PrivatePortStart: echoPort, PrivatePortEnd: echoPort, VMNicUUID: nic})
		if err != nil {
			return err
		}
	}
	return nil
}

// connect gives the machine inside the addresses of both guests, which say who
// they are, and lets the one outside find public addresses through the router.
func (m *mover) connect(ctx context.Context) error {
	var router *v1.VirtualRouter
	for r := range model.List[v1.VirtualRouter](m.store.View()) {
		router = r
	}
	public, ok := router.NicWithRole(model.RolePublic)
	if !ok {
		return errors.New("the router has no public nic")
	}
	outside, inside := m.rack.Namespace(outsideNS), m.rack.Namespace(insideNS)
	for _, line := range []string{
		fmt.Sprintf("-n %s route add %s dev %s", outside, public.IP, m.name),
		fmt.Sprintf("-n %s route add 10.97.0.0/16 via %s", outside, public.IP),
		fmt.Sprintf("-n %s addr add %s/16 dev %s", inside, m.nics[0].IP, m.name),
		fmt.Sprintf("-n %s addr add %s/16 dev %s", inside, m.nics[1].IP, m.name),
		fmt.Sprintf("-n %s route replace 10.97.0.0/16 via 10.121.0.1", inside),
	} {
		if _, err := m.rack.Host(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	if err := m.rack.Start(ctx, insideNS, "who", m.b.self, "who", m.nics[0].IP.String(), m.nics[1].IP.String()); err != nil {
		return err
	}
	return m.rack.await(ctx, "who", "listening")
}

// measure moves the EIP to and fro: off the one guest, and onto the other, which
// is the call that counts.
func (m *mover) measure(ctx context.Context) ([]result, error) {
	p, err := newProber(m.rack.Namespace(outsideNS), netip.AddrPortFrom(m.vip, answerPort))
	if err != nil {
		return nil, err
	}
	defer p.close()
	var calls, offs, packets []time.Duration
	strayed := 0
	for i, began := 0, time.Now(); i < moveMost && time.Since(began) < 2*changesWithin; i++ {
		nic := m.nics[i%2]
		at := time.Now()
		if err := m.do(ctx, "DELETE", "/v1/eips/"+m.eip+"/vm-nics?wait=30s", nil, nil); err != nil {
			return nil, err
		}
		attach := time.Now()
		if err := m.do(ctx, "POST", "/v1/eips/"+m.eip+"/vm-nics/"+nic.UUID+"?wait=30s", nil, nil); err != nil {
			return nil, err
		}
		returned := time.Now()
		first, stray, err := p.found(nic.IP, attach, returned)
		if err != nil {
			return nil, err
		}
		offs, calls, packets = append(offs, attach.Sub(at)), append(calls, returned.Sub(attach)), append(packets, first)
		strayed += stray
	}
	remark("nat-move: %d moves of an EIP among %d + %d mappings by the API: attach p50 %s, p99 %s, first packet to the new guest p50 %s, p99 %s, detach before p50 %s, p99 %s, %d packets the old way after the call, load=%s",
		len(calls), many, many, percentile(calls, 50), percentile(calls, 99), percentile(packets, 50), percentile(packets, 99),
		percentile(offs, 50), percentile(offs, 99), strayed, load())
	if strayed > 0 {
		return nil, fmt.Errorf("%d packets went to the old guest after the call had returned", strayed)
	}
	return []result{bound("nat-move", "s", percentile(calls, 99).Seconds(), goalMove)}, nil
}
