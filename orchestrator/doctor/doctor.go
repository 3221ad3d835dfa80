// Package doctor finds out what keeps Sluice from working on a machine, also
// while the server is down. Facts are observed first; each check is then a pure
// judgement over them, and each finding names a cause and a command that mends
// it. A new check is one line in checks and one function.
package doctor

// Level says how bad a finding is.
type Level string

// The levels. Unknown: it could not be found out, and What says why.
const (
	OK      Level = "ok"
	Warn    Level = "warn"
	Fail    Level = "fail"
	Unknown Level = "unknown"
)

// Finding is what a check says.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	// What was found, with the cause and what it costs.
	What string `json:"what"`
	// Fix is a command, or several joined by &&; empty if all is well.
	Fix string `json:"fix,omitempty"`
}

// check judges facts. Several findings are several things that are wrong.
type check struct {
	name  string
	judge func(*Facts) []Finding
}

// checks in the order in which somebody mends: what comes first explains what
// comes later.
var checks = []check{
	{"user", user},
	{"server", server},
	{"tokens", tokens},
	{"store", store},
	{"port", port},
	{"space", space},
	{"clock", clock},
	{"modules", modules},
	{"libvirt", libvirt},
	{"virtualization", virtualization},
	{"storage", storage},
	{"image", image},
	{"hosts", hosts},
	{"l2-networks", l2Networks},
	{"bridge-filter", bridgeFilter},
	{"routers", routers},
	{"leftovers", leftovers},
}

// Judge runs all checks.
func Judge(f *Facts) []Finding {
	var all []Finding
	for _, c := range checks {
		for _, found := range c.judge(f) {
			found.Check = c.name
			all = append(all, found)
		}
	}
	return all
}

func ok(what string) []Finding        { return []Finding{{Level: OK, What: what}} }
func warn(what, fix string) []Finding { return []Finding{{Level: Warn, What: what, Fix: fix}} }
func fail(what, fix string) []Finding { return []Finding{{Level: Fail, What: what, Fix: fix}} }
func unknown(what, instead string) []Finding {
	return []Finding{{Level: Unknown, What: what, Fix: instead}}
}

// orOK is what was found wrong, or that all is well.
func orOK(wrong []Finding, what string) []Finding {
	if len(wrong) == 0 {
		return ok(what)
	}
	return wrong
}
