package httpapi_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/httpapi"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// BenchmarkCreateOnRecord is a create with its fsync, without and with the one
// of the audit log.
func BenchmarkCreateOnRecord(b *testing.B) {
	for _, where := range []string{"memory", "files"} {
		b.Run(where, func(b *testing.B) {
			db, err := store.Open(b.Context(), store.Config{Dir: b.TempDir(), Catalog: catalog})
			if err != nil {
				b.Fatal(err)
			}
			log := audit.NewMemory()
			if where == "files" {
				if log, err = audit.Open(audit.Config{Dir: b.TempDir()}); err != nil {
					b.Fatal(err)
				}
			}
			b.Cleanup(func() { _ = log.Close() })
			s := newSiteOn(b, db, httpapi.Config{Log: slog.New(slog.DiscardHandler), Rate: httpapi.Rate{PerSecond: -1}, Audit: log})
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				s.create("/v1/zones", object{"name": "z"})
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
