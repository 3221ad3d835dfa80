package imagebuild

// defaultModules is all that a router's kernel can do: what is not here can not
// be loaded later. The order is that of use: a config drive that is missed
// costs the whole timeout.
//
// Services to come would need, and each of their modules costs some 5 ms of an
// emulated start: VPN wireguard, esp4 and xfrm_user; limits of rate
// sch_htb and act_police; VRRP's address macvlan;
// many networks on one nic 8021q; logs of dropped packets nfnetlink_log; sets
// of xtables ip_set.
func defaultModules() ModuleSet {
	return ModuleSet{
		Early: words(`virtio_pci virtio_blk isofs virtio_rng virtio_net`),
		// The cloud kernel has no AHCI driver: a config drive is virtio-blk, or
		// a disk or CD on virtio-scsi.
		Drive: words(`virtio_scsi sr_mod sd_mod`),
		// What appliance/dataplane names; ip_tables is iptables' match for ICMP,
		// nf_conntrack_netlink the agent's own reading of flows.
		Filter: words(`nf_tables nfnetlink nf_conntrack nf_conntrack_netlink nf_nat
			nft_compat nft_chain_nat nft_nat nft_ct nft_limit nft_fib_ipv4
			nf_flow_table nf_flow_table_inet nft_flow_offload
			ip_tables xt_conntrack xt_comment xt_tcpudp xt_nat xt_MASQUERADE`),
		Power: words(`button evdev`),
	}
}
