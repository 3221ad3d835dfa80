package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/sluice-nfv/sluice/test/kernel"
)

// goalFast is of the rate of packets that pass all rules.
const goalFast = 1.3

// fastFigures are of a line of Go's benchmarks; see BenchmarkFlowtable.
var fastFigures = regexp.MustCompile(`BenchmarkFlowtable\s.*\s([0-9.e+]+) fast-packets/s\s+([0-9.e+]+) packets/s\s+([0-9.e+]+) ratio`)

// fastPath measures 64-byte packets through a router with a flowtable and
// without, in turns, on the routers' own kernel in a QEMU guest; that of this
// machine may have no flowtables.
func fastPath(ctx context.Context, b *bench) ([]result, error) {
	dir, err := os.MkdirTemp("", "bench-flowtable-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	g := kernel.Flowtables(fmt.Sprintf("-test.run=NONE -test.bench='Flowtable$' -test.benchtime=3x -test.count=%d", b.runs))
	console, _, err := g.Run(ctx, dir, "appliance/dataplane/kernel")
	if err != nil {
		return nil, err
	}
	var all [3][]float64
	for _, line := range fastFigures.FindAllStringSubmatch(console, -1) {
		for i := range all {
			f, err := strconv.ParseFloat(line[i+1], 64)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], f)
		}
	}
	if len(all[0]) != b.runs {
		return nil, fmt.Errorf("%d of %d runs in the guest: %s", len(all[0]), b.runs, tail(console))
	}
	remark("nat-flowtable: one stream of general SNAT among %d + %d mappings, in an emulated guest, generator and sink included, load=%s", many, many, load())
	r := atLeast("nat-flowtable", "/s", median(all[0]), "rules", median(all[1]), goalFast)
	r.ratio = median(all[2])
	return []result{r}, nil
}
