package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-nfv/sluice/test/lab"
)

// dnsLoad is how dnsperf asks; every answer has to be a good one.
type dnsLoad struct {
	queries string
	rate    int // a second, of each source; 0: as many as are answered
	tcp     bool
	clients int  // sockets or connections of each source; 0: 20
	window  int  // queries under way of each source; 0: 200
	from    int  // sources: guests' addresses that ask at the same time, see clientAddresses; 0: one, the client's own
	once    bool // each source asks its own file, queries.N, from start to end
	each    bool // note each query's time, for p99
}

// dnsRun is what a load did.
type dnsRun struct {
	done int
	rate float64   // answers a second
	took []float64 // microseconds a query, if noted
}

var (
	completed      = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	lost           = regexp.MustCompile(`Queries lost:\s+(\d+)`)
	noError        = regexp.MustCompile(`NOERROR (\d+)`)
	answersASecond = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)
)

// maxLost is the share of queries that may go without an answer: the machine
// has other work too.
const maxLost = 0.001

// warmUp: the first in so many of a source's queries are not noted, while all
// the sources' processes start at once.
const warmUp = 6

func (d dnsLoad) run(ctx context.Context, l *lab.Lab) (dnsRun, error) {
	runs, errs := make([]dnsRun, max(d.from, 1)), make([]error, max(d.from, 1))
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() { runs[i], errs[i] = d.one(ctx, l, i) })
	}
	all.Wait()
	var sum dnsRun
	for _, r := range runs {
		sum.done += r.done
		sum.rate += r.rate
		sum.took = append(sum.took, r.took...)
	}
	progress("%d queries answered, %.0f a second", sum.done, sum.rate)
	return sum, errors.Join(errs...)
}

// one is one source's part.
func (d dnsLoad) one(ctx context.Context, l *lab.Lab, source int) (dnsRun, error) {
	out, err := l.In(ctx, clientNS, pinned(clientCPU, d.command(source)...)...)
	if err != nil {
		return dnsRun{}, err
	}
	number := func(of *regexp.Regexp) float64 {
		m := of.FindStringSubmatch(out)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseFloat(m[1], 64)
		return n
	}
	r := dnsRun{done: int(number(completed)), rate: number(answersASecond)}
	if r.done == 0 || number(noError) != number(completed) || number(lost) > maxLost*number(completed) {
		return r, fmt.Errorf("not all queries were answered well: %s", tail(out))
	}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 5 && f[0] == ">" {
			seconds, err := strconv.ParseFloat(f[4], 64)
			if err != nil {
				return r, fmt.Errorf("read %q: %w", lines.Text(), err)
			}
			r.took = append(r.took, seconds*1e6)
		}
	}
	r.took = r.took[len(r.took)/warmUp:]
	return r, nil
}

// command is dnsperf's.
func (d dnsLoad) command(source int) []string {
	or := func(n, otherwise int) string {
		if n == 0 {
			n = otherwise
		}
		return strconv.Itoa(n)
	}
	args := []string{"dnsperf", "-s", serverIP.String(), "-T", "1", "-c", or(d.clients, 20), "-q", or(d.window, 200)}
	if d.once {
		args = append(args, "-n", "1", "-d", d.queries+"."+strconv.Itoa(source))
	} else {
		args = append(args, "-l", strconv.Itoa(dnsSeconds), "-d", d.queries)
	}
	if d.rate > 0 {
		args = append(args, "-Q", strconv.Itoa(d.rate))
	}
	if d.tcp {
		args = append(args, "-m", "tcp")
	}
	if d.from > 0 {
		args = append(args, "-a", sourceIP(source).String())
	}
	if d.each {
		args = append(args, "-v")
	}
	return args
}

// dnsFigures are medians, in microseconds a query.
type dnsFigures struct{ cpu, wall, p99 float64 }

// dnsTurns measures each server once a run, one after the other.
func (b *bench) dnsTurns(ctx context.Context, l *lab.Lab, servers []server, load func(context.Context, *lab.Lab) (dnsRun, error)) ([]dnsFigures, error) {
	cpu, wall, p99 := make([][]float64, len(servers)), make([][]float64, len(servers)), make([][]float64, len(servers))
	for range b.runs {
		for i, s := range servers {
			var r dnsRun
			each, err := measured(ctx, l, s, func(ctx context.Context) (done int, err error) {
				r, err = load(ctx, l)
				return r.done, err
			})
			if err != nil {
				return nil, err
			}
			progress("%s: %.1f us", s.name, float64(each.Nanoseconds())/1e3)
			cpu[i], wall[i] = append(cpu[i], float64(each.Nanoseconds())/1e3), append(wall[i], 1e6/r.rate)
			if len(r.took) > 0 {
				slices.Sort(r.took)
				p99[i] = append(p99[i], r.took[len(r.took)*99/100])
			}
		}
	}
	figures := make([]dnsFigures, len(servers))
	for i := range figures {
		figures[i] = dnsFigures{cpu: median(cpu[i]), wall: median(wall[i])}
		if len(p99[i]) > 0 {
			figures[i].p99 = median(p99[i])
		}
	}
	return figures, nil
}
