package dns

import (
	"net/http"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Routes keep the ordered set of a network's name servers.
func Routes(a *httpapi.API) {
	const path = "/v1/l3-networks/{uuid}/dns"
	httpapi.Change[v1.L3Network](a, "set-dns", http.MethodPut, path, "Set the name servers, in order",
		func(tx *model.Tx, in *httpapi.CallWith[v1.SetDNS]) error {
			_, err := model.SetDNS(tx, in.UUID, in.Body.DNS)
			return err
		})
	httpapi.Change[v1.L3Network](a, "add-dns", http.MethodPost, path, "Add a name server behind the others",
		func(tx *model.Tx, in *httpapi.CallWith[v1.AddDNS]) error {
			_, err := model.AddDNS(tx, in.UUID, in.Body.DNS)
			return err
		})
	httpapi.Change[v1.L3Network](a, "set-dns-tls", http.MethodPut, "/v1/l3-networks/{uuid}/dns-tls", "Ask the name servers over TLS only, or without",
		func(tx *model.Tx, in *httpapi.CallWith[v1.DNSOverTLS]) error {
			_, err := model.SetDNSTLS(tx, in.UUID, in.Body)
			return err
		})
	httpapi.Change[v1.L3Network](a, "set-dns-records", http.MethodPut, "/v1/l3-networks/{uuid}/dns-records", "Set the names that the network has beside its guests' host names",
		func(tx *model.Tx, in *httpapi.CallWith[v1.SetDNSRecords]) error {
			_, err := model.SetDNSRecords(tx, in.UUID, in.Body.DNSRecords)
			return err
		})
	type server struct {
		httpapi.Call
		IP string `path:"ip" doc:"Address of the name server"`
	}
	httpapi.Remove[v1.L3Network](a, "remove-dns", path+"/{ip}", "Remove a name server; a missing one is fine",
		func(tx *model.Tx, in *server) error {
			ip, err := v1.ParseIPv4("ip", in.IP)
			if err != nil {
				return err
			}
			return model.RemoveDNS(tx, in.UUID, ip)
		})
}
