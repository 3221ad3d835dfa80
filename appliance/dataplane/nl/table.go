package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_conntrack.h.
const (
	getStatsCPU       = 4  // IPCTNL_MSG_CT_GET_STATS_CPU
	statsInsertFailed = 9  // CTA_STATS_INSERT_FAILED
	statsDrop         = 10 // CTA_STATS_DROP
)

// Table reads the table of connections of the calling thread's namespace.
func Table() (dataplane.Table, error) {
	var t dataplane.Table
	err := errors.Join(number("nf_conntrack_count", &t.Entries), number("nf_conntrack_max", &t.Max))
	if err != nil {
		return t, err
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|getStatsCPU, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return t, fmt.Errorf("read statistics of connections: %w", err)
	}
	for _, m := range messages { // one a processor
		attributes, err := nl.ParseRouteAttr(m[nl.SizeofNfgenmsg:])
		if err != nil {
			return t, fmt.Errorf("parse statistics of connections: %w", err)
		}
		for _, a := range attributes {
			switch {
			case len(a.Value) < 4:
			case a.Attr.Type&nl.NLA_TYPE_MASK == statsInsertFailed:
				t.NoPort += uint64(binary.BigEndian.Uint32(a.Value))
			case a.Attr.Type&nl.NLA_TYPE_MASK == statsDrop:
				t.NoRoom += uint64(binary.BigEndian.Uint32(a.Value))
			}
		}
	}
	return t, nil
}

func number(name string, n *int) error {
	b, err := os.ReadFile(filepath.Join("/proc/sys/net/netfilter", name))
	if err == nil {
		*n, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	return err
}
