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

// Table reads how full the table of connections is.
func (c *Connections) Table() (dataplane.Table, error) {
	var t dataplane.Table
	err := errors.Join(number("nf_conntrack_count", &t.Entries), number("nf_conntrack_max", &t.Max))
	if err != nil {
		return t, err
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|getStatsCPU, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	err = c.sockets.do(req, func(m []byte) { // one a processor
		if len(m) < nl.SizeofNfgenmsg {
			return
		}
		for kind, value := range attributes(m[nl.SizeofNfgenmsg:]) {
			switch {
			case len(value) < 4:
			case kind == statsInsertFailed:
				t.NoPort += uint64(binary.BigEndian.Uint32(value))
			case kind == statsDrop:
				t.NoRoom += uint64(binary.BigEndian.Uint32(value))
			}
		}
	})
	if err != nil {
		return t, fmt.Errorf("read statistics of connections: %w", err)
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
