package kernel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-nfv/sluice/appliance/dataplane"
	"github.com/sluice-nfv/sluice/appliance/dataplane/kerneltest"
)

// readers are two kernels of one namespace: one that remembers, and one that
// reads all.
type readers struct {
	ns         *kerneltest.Namespace
	k, another *Kernel
	plane      *dataplane.Plane
	keys       []string
}

func newReaders(t *testing.T) *readers {
	r := &readers{ns: kerneltest.NewNamespace(t, "m"), keys: slices.Sorted(maps.Keys(dataplane.Render(kerneltest.WantAll()).Sysctls))}
	for name, mac := range kerneltest.MACs {
		r.ns.Run(t, "ip link add "+name+" address "+mac+" type veth peer name far-"+name)
		r.ns.Run(t, "ip link set far-"+name+" up")
	}
	r.in(t, func() (err error) {
		if r.k, err = Open(); err == nil {
			r.another, err = Open()
		}
		return err
	})
	r.plane = dataplane.New(r.k, nil)
	return r
}

func (r *readers) in(t *testing.T, f func() error) {
	t.Helper()
	var err error
	r.ns.Do(func() { err = f() })
	if err != nil {
		t.Fatal(err)
	}
}

func (r *readers) apply(t *testing.T, w dataplane.Want) {
	t.Helper()
	r.in(t, func() error { _, err := r.plane.Apply(t.Context(), w); return err })
}

// disturb goes on where another disturbance has made a command impossible.
func (r *readers) disturb(what string) {
	for _, line := range commands[what] {
		_ = exec.Command("ip", append([]string{"netns", "exec", r.ns.Name}, strings.Fields(line)...)...).Run()
	}
}

func (r *readers) agree(t *testing.T, after string) {
	t.Helper()
	var remembered, read dataplane.State
	r.in(t, func() (err error) {
		if remembered, err = r.k.Observe(t.Context(), r.keys); err == nil {
			r.another.Forget()
			read, err = r.another.Observe(t.Context(), r.keys)
		}
		return err
	})
	if remembered.String() != read.String() {
		t.Fatalf("after %q remembered\n%s, and there is\n%s", after, remembered, read)
	}
}

// Whatever was done, by us and by others, in whatever order: what is remembered
// is what reading everything finds.
func TestWhatIsRememberedIsWhatIsThere(t *testing.T) {
	r := newReaders(t)
	disturbances := slices.Sorted(maps.Keys(commands))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for step := range 30 {
		if step == 0 || random.IntN(2) == 0 {
			r.apply(t, variant(random))
			r.agree(t, "apply")
			continue
		}
		what := disturbances[random.IntN(len(disturbances))]
		r.disturb(what)
		r.agree(t, what)
	}
}

// What others do between our reading and our writing is not taken for ours.
func TestChangesBetweenReadingAndWriting(t *testing.T) {
	r := newReaders(t)
	addr := netip.MustParseAddr
	for i, what := range []string{"flush our chain", "add mapping", "delete mapping", "accept before", "delete rule"} {
		r.apply(t, kerneltest.WantAll())
		r.agree(t, "apply")
		r.disturb(what)
		change := dataplane.SetMappings{Del: dataplane.NewElements(), Add: dataplane.NewElements()}
		change.Add.Inbound[netip.AddrFrom4([4]byte{203, 0, 113, byte(150 + i)})] = addr("10.0.0.9")
		r.in(t, func() error { return r.k.Do(t.Context(), change) })
		r.agree(t, what)
		r.ns.Run(t, fmt.Sprintf("nft add element ip sluice inbound { 203.0.113.%d : 10.0.0.9 }", 170+i))
		r.in(t, func() error {
			return r.k.Do(t.Context(), dataplane.SetPolicy{{Table: "filter", Lines: []string{"-A SLUICE-INPUT -j DROP"}}})
		})
		r.agree(t, what+" and policy")
	}
}

// variant is a want with more or fewer mappings and addresses.
func variant(random *rand.Rand) dataplane.Want {
	w := kerneltest.WantAll()
	for i := range random.IntN(30) {
		vip := netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + random.IntN(90))})
		if slices.ContainsFunc(w.EIPs, func(e dataplane.EIP) bool { return e.VIP == vip }) {
			continue
		}
		w.EIPs = append(w.EIPs, dataplane.EIP{VIP: vip, Guest: netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + random.IntN(90))}), Order: int64(i)})
		w.Addresses = append(w.Addresses, dataplane.Address{Link: "p0", Prefix: netip.PrefixFrom(vip, 32)})
	}
	w.SNAT = w.SNAT[:random.IntN(len(w.SNAT)+1)]
	w.Forwards = w.Forwards[:random.IntN(len(w.Forwards)+1)]
	return w
}
