package imagebuild

// defaultModules is what a router can do in its kernel. The order within Early
// is the order of use: drives before nics would delay nothing, but a config
// drive that is missed costs the whole timeout.
func defaultModules() ModuleSet {
	return ModuleSet{
		Early: words(`virtio_pci virtio_blk isofs virtio_rng virtio_net`),
		// The cloud kernel has no AHCI driver: a config drive is virtio-blk, or
		// a disk or CD on virtio-scsi.
		Drive: words(`virtio_scsi sr_mod sd_mod`),
		Power: words(`button evdev`),
		Late: words(`nf_tables nfnetlink nf_conntrack nf_conntrack_netlink nf_nat
			nft_compat nft_chain_nat nft_ct nft_nat nft_masq nft_redir
			ip_tables xt_conntrack xt_tcpudp xt_comment xt_TCPMSS xt_mark xt_nat xt_addrtype`),
		OnDemand: words(`virtio_console virtio_balloon
			nft_connlimit nft_dup_ipv4 nft_dup_netdev nft_fib_inet nft_fib_ipv4 nft_fib_ipv6
			nft_flow_offload nft_fwd_netdev nft_hash nft_limit nft_log nft_numgen nft_objref
			nft_queue nft_quota nft_reject nft_reject_inet nft_reject_ipv4 nft_reject_ipv6
			nft_socket nft_synproxy nft_tproxy nft_tunnel nft_xfrm
			nf_flow_table nf_flow_table_inet nf_log_syslog nfnetlink_log nfnetlink_queue
			xt_CHECKSUM xt_CT xt_DSCP xt_LOG xt_MASQUERADE xt_NFLOG xt_REDIRECT xt_connlimit
			xt_connmark xt_dscp xt_hashlimit xt_iprange xt_length xt_limit xt_mac xt_multiport
			xt_physdev xt_pkttype xt_policy xt_recent xt_set xt_socket xt_state xt_statistic xt_tcpmss
			ipt_REJECT ipt_rpfilter ip6_tables ip6t_REJECT ip6t_rpfilter
			ip_set ip_set_hash_ip ip_set_hash_ipport ip_set_hash_net ip_set_hash_netport ip_set_list_set
			8021q vxlan geneve bridge veth dummy macvlan vrf tun ip_gre ipip wireguard
			esp4 ah4 xfrm_user xfrm_interface
			sch_htb sch_ingress sch_fq sch_cake sch_tbf cls_u32 cls_flower cls_matchall cls_fw
			act_police act_mirred act_gact act_skbedit act_connmark ifb
			inet_diag tcp_diag udp_diag unix_diag netlink_diag af_packet_diag`),
	}
}
