package interfaces

import (
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

func TestPlan(t *testing.T) { kerneltest.Golden(t, New().Want) }
