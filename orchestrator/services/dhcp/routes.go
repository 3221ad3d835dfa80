package dhcp

import (
	"net/http"

	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Routes are what guests are told by DHCP besides their address, static routes
// and the MTU, and the relays that may ask for them.
func Routes(a *httpapi.API) {
	httpapi.Change[v1.L3Network](a, "set-host-routes", http.MethodPut, "/v1/l3-networks/{uuid}/host-routes", "Set the guests' static routes; of a System network, the routers' ways to orchestrators off it",
		func(tx *model.Tx, in *httpapi.CallWith[v1.SetHostRoutes]) error {
			_, err := model.SetHostRoutes(tx, in.UUID, in.Body.HostRoutes)
			return err
		})
	httpapi.Change[v1.L3Network](a, "set-dhcp-relays", http.MethodPut, "/v1/l3-networks/{uuid}/dhcp-relays", "Set the DHCP relay agents that are answered; none of others is",
		func(tx *model.Tx, in *httpapi.CallWith[v1.SetDHCPRelays]) error {
			_, err := model.SetDHCPRelays(tx, in.UUID, in.Body.DHCPRelays)
			return err
		})
	httpapi.Change[v1.L3Network](a, "set-mtu", http.MethodPut, "/v1/l3-networks/{uuid}/mtu", "Set the MTU, in bytes",
		func(tx *model.Tx, in *httpapi.CallWith[v1.SetMTU]) error {
			_, err := model.SetMTU(tx, in.UUID, in.Body.MTU)
			return err
		})
}
