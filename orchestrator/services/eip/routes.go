package eip

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// Routes are /v1/eips.
func Routes(a *httpapi.API) {
	httpapi.Read[v1.EIP](a)
	httpapi.Create(a, model.CreateEIP)
	httpapi.Delete[v1.EIP](a, model.DeleteEIP)
	httpapi.MapToNic[v1.EIP](a, httpapi.NicRules[*v1.EIP]{
		Attach: model.AttachEIP, Detach: model.DetachEIP, Candidates: model.EIPCandidates,
	})
}
