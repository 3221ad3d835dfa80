package portforwarding

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Routes are /v1/port-forwarding-rules.
func Routes(a *httpapi.API) {
	httpapi.Read[v1.PortForwardingRule](a)
	httpapi.Create(a, model.CreatePortForwardingRule)
	httpapi.Delete[v1.PortForwardingRule](a, model.DeletePortForwardingRule)
	httpapi.MapToNic[v1.PortForwardingRule](a, httpapi.NicRules[*v1.PortForwardingRule]{
		Attach: model.AttachPortForwardingRule, Detach: model.DetachPortForwardingRule, Candidates: model.PortForwardingCandidates,
	})
}
