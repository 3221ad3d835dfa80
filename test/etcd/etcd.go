// Package etcd is an etcd for tests, as administrators have one that several
// orchestrators share: a process of its own, reached over a unix socket.
package etcd

import (
	"context"
	"net/url"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// Endpoint is where the etcd of a directory listens, as --etcd takes it.
func Endpoint(dir string) string { return "unix://" + filepath.Join(dir, "etcd.sock") }

// Run serves from a directory until ctx ends.
func Run(ctx context.Context, dir string) error {
	at, err := url.Parse(Endpoint(dir))
	if err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel = filepath.Join(dir, "etcd"), "fatal"
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*at}, []url.URL{*at}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs, c.MaxTxnOps = 10, 100, 4096
	server, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return err
	}
}
