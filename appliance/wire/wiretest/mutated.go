// Package wiretest is for tests of servers that read hostile packets.
package wiretest

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// mutationsVariable says how many packets Mutated has in the place of count;
// `make fuzz` sets it.
const mutationsVariable = "SLUICE_MUTATIONS"

// Mutated has servers take count mutated packets, a server a processor, and
// fails if they keep more than growth bytes once they have seen a tenth of them.
// Each of serve makes a server, which takes some packets that random decides.
func Mutated(t *testing.T, count int, growth int64, serve func() (take func(random *rand.Rand, count int))) {
	t.Helper()
	if v := os.Getenv(mutationsVariable); v != "" {
		var err error
		if count, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", mutationsVariable, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d packets, seed %d", count, seed)
	servers := make([]func(*rand.Rand, int), runtime.GOMAXPROCS(0))
	for i := range servers {
		servers[i] = serve()
	}
	round := func(number uint64, count int) {
		var all sync.WaitGroup
		for i, take := range servers {
			random := rand.New(rand.NewPCG(seed, number<<32|uint64(i)))
			all.Go(func() { take(random, count/len(servers)) })
		}
		all.Wait()
	}
	round(0, count/10)
	before := heap()
	round(1, count-count/10)
	if grown := heap() - before; grown > growth {
		t.Errorf("the servers grew by %d bytes", grown)
	}
	runtime.KeepAlive(servers)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
