package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// result is one BENCH line.
type result struct {
	name     string
	unit     string // of ours and peer
	ours     float64
	peerName string
	peer     float64
	ratio    float64
	goal     float64 // bounds the ratio, or ours if goalUnit is set
	goalUnit string
	more     bool // more is better: goal is a lower bound
}

// against is a result whose ratio is ours over the peer's.
func against(name, unit string, ours float64, peerName string, peer, goal float64) result {
	return result{name: name, unit: unit, ours: ours, peerName: peerName, peer: peer, ratio: ours / peer, goal: goal}
}

// bound is a result where nobody else does the same; the goal stands as peer.
func bound(name, unit string, ours, goal float64) result {
	return against(name, unit, ours, "goal", goal, 1)
}

// atLeast is a result where more is better.
func atLeast(name, unit string, ours float64, peerName string, peer, goal float64) result {
	r := against(name, unit, ours, peerName, peer, goal)
	r.more = true
	return r
}

func (r result) met() bool {
	is := r.ratio
	if r.goalUnit != "" {
		is = r.ours
	}
	if r.more {
		return is >= r.goal
	}
	return is <= r.goal
}

func (r result) String() string {
	sign := "<="
	if r.more {
		sign = ">="
	}
	return fmt.Sprintf("BENCH %s ours=%s%s peer=%s:%s%s ratio=%.3f goal=%s%g%s",
		r.name, figure(r.ours), r.unit, r.peerName, figure(r.peer), r.unit, r.ratio, sign, r.goal, r.goalUnit)
}

// figure has three digits that matter and no exponent.
func figure(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	case f >= 1:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.3f", f)
}

// median of at least one value; the mean of the middle two if their number is even.
func median[T float64 | time.Duration](all []T) T {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func header() {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	remark("%s cpus=%d kernel=%s load=%s", time.Now().UTC().Format(time.RFC3339), runtime.NumCPU(), strings.TrimSpace(string(kernel)), load())
}

// load is the load average over 1, 5 and 15 minutes: what else the machine does
// is in every figure.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(b))[:min(3, len(strings.Fields(string(b))))], ",")
}

// none is a result that has to be zero.
func none(name, unit string, n int) result {
	return result{name: name, unit: unit, ours: float64(n), peerName: "goal", ratio: float64(n)}
}
