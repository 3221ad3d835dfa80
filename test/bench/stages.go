package main

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// bootStage is the router's virtual machine booting, until the agent in it listens.
const bootStage = "Boot"

// stages are the router's conditions, in the order in which a router is made.
var stages = []string{"Placement", "Storage", "Domain", bootStage, "Enrol", "Apply"}

// cold is one start of a first guest, from the call to its lease.
type cold struct {
	took map[string]time.Duration // by stage
	call time.Duration            // what the call took besides
	dhcp time.Duration            // the client's whole run
}

// split divides a start by the router's conditions.
func split(r v1.VirtualRouter, call, dhcp time.Duration) (cold, error) {
	c := cold{took: map[string]time.Duration{}, call: call, dhcp: dhcp}
	for _, have := range r.Conditions {
		if have.Status != v1.True {
			return c, fmt.Errorf("router %s: condition %s is %s: %s", r.Name, have.Type, have.Status, have.Message)
		}
		c.took[have.Type] = time.Duration(have.DurationMs) * time.Millisecond
	}
	for _, stage := range stages {
		if _, ok := c.took[stage]; !ok {
			return c, fmt.Errorf("router %s has no condition %s: %+v", r.Name, stage, r.Conditions)
		}
		c.call -= c.took[stage]
	}
	if c.took[bootStage] == 0 || c.call < 0 {
		return c, fmt.Errorf("stages do not add up, was the router built more than once? %s; conditions %+v", c, r.Conditions)
	}
	return c, nil
}

func (c cold) total() time.Duration {
	sum := c.call + c.dhcp
	for _, stage := range stages {
		sum += c.took[stage]
	}
	return sum
}

// notBoot is all that is not the virtual machine booting.
func (c cold) notBoot() time.Duration { return c.total() - c.took[bootStage] }

func (c cold) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "total=%.3fs", c.total().Seconds())
	for _, stage := range stages {
		fmt.Fprintf(&b, " %s=%.3f", strings.ToLower(stage), c.took[stage].Seconds())
	}
	fmt.Fprintf(&b, " call=%.3f dhcp=%.3f", c.call.Seconds(), c.dhcp.Seconds())
	return b.String()
}
