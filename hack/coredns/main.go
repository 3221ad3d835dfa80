// Command coredns is CoreDNS with the plugins that the benchmark needs.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/hosts"
)

func init() { dnsserver.Directives = []string{"bind", "errors", "cache", "hosts", "forward"} }

func main() { coremain.Run() }
