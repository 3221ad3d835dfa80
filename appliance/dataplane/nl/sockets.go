package nl

import (
	"fmt"
	"sync"

	"github.com/vishvananda/netlink/nl"
)

// sockets are open netlink sockets of one protocol, for requests beside each
// other. They stay open: whenever one of NETLINK_NETFILTER is closed, nftables
// waits for what it has still to free, a dozen milliseconds after a change of
// mappings (net/netfilter/nf_tables_api.c, nft_rcv_nl_event), and the next
// change with it.
type sockets struct {
	protocol int

	mu   sync.Mutex
	free []*nl.SocketHandle
}

// do executes a request, with each of the messages of the answer.
func (s *sockets) do(req *nl.NetlinkRequest, each func(message []byte)) error {
	sh, err := s.take()
	if err != nil {
		return err
	}
	req.Sockets = map[int]*nl.SocketHandle{s.protocol: sh}
	err = req.ExecuteIter(s.protocol, 0, func(m []byte) bool { each(m); return true })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, sh) // what is left of an answer has an old sequence number
	return err
}

func (s *sockets) take() (*nl.SocketHandle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		sh := s.free[n-1]
		s.free = s.free[:n-1]
		return sh, nil
	}
	socket, err := nl.Subscribe(s.protocol) // to nothing
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &nl.SocketHandle{Socket: socket}, nil
}
