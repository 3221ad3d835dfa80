// Package directory is a provider in tests only: it shows that another one is a
// folder like this and a line in the list of services. It gives the network's
// router the name "directory" in DNS.
package directory

import (
	"iter"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Provider is the provider's type and its only service's name.
const Provider = "Directory"

// Service implements plan.Service.
type Service struct{}

// Name is directory.
func (Service) Name() string { return "directory" }

// Offer is Directory by itself; it needs DNS, and every nic on the network uses it.
func (Service) Offer() model.ServiceType {
	return model.ServiceType{
		Name: Provider, Provider: Provider, Needs: []string{v1.DNS},
		Users: func(v *model.View, l3 string) (nics []string) {
			for nic := range model.Related[v1.VMNic](v, model.NicsOfL3, l3) {
				nics = append(nics, nic.UUID)
			}
			return nics
		},
		Free: model.DeleteNic,
	}
}

// Contribute adds the record.
func (Service) Contribute(v *model.View, r *v1.VirtualRouter, _ iter.Seq[*v1.VMNic], c *agentv1.Content) error {
	l3 := model.Get[v1.L3Network](v, r.L3NetworkUUID)
	if l3.Provider(Provider) != Provider || len(c.DNS) == 0 {
		return nil
	}
	guest, _ := r.NicWithRole(string(agentv1.RoleGuest))
	c.DNS[0].Records = append(c.DNS[0].Records, agentv1.DNSRecord{Name: "directory", IP: guest.IP})
	return nil
}
