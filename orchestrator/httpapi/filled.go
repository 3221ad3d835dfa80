package httpapi

import (
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/model"
)

// filled is a resource as it is answered: with the fields that are stored
// elsewhere. What a view handed out is not changed.
func filled[P v1.Resource](v *model.View, r P) P {
	var out v1.Resource = r
	switch r := any(r).(type) {
	case *v1.L3Network:
		out = model.WithRanges(v, r)
	case *v1.VMInstance:
		out = model.WithNics(v, r)
	}
	return out.(P)
}
