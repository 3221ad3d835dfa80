// Package httpapi is the admin API: JSON over /v1, described by OpenAPI 3.1
// that is generated from the Go types. A change is a rule of package model run
// by the store; what needs the world outside goes through Effects. The only
// engine is served on a unix socket, where the kernel says who calls, and over
// HTTPS with bearer tokens. A token has a role, of which one table says what calls
// it may make, and may be confined to an account, which sees what it owns and what
// is shared with it; all else is to it as if it did not exist. Of a token only the
// hash of its secret is kept, and it makes none that may do more. Every answer
// that is no success is a problem document made by one mapper.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-nfv/sluice/api/agentv1"
	v1 "github.com/sluice-nfv/sluice/api/v1"
	"github.com/sluice-nfv/sluice/orchestrator/audit"
	"github.com/sluice-nfv/sluice/orchestrator/model"
	"github.com/sluice-nfv/sluice/orchestrator/plan"
	"github.com/sluice-nfv/sluice/orchestrator/store"
)

// Effects is what calls need of the world outside the store. Refusals and
// failures are *v1.Error.
type Effects interface {
	// AttachL2 realizes an L2 network on every Connected host of the cluster,
	// then stores the attachment; a failure undoes what was made.
	AttachL2(ctx context.Context, l2, cluster string) error
	// DetachL2 takes it off; a missing attachment is nil.
	DetachL2(ctx context.Context, l2, cluster string) error
	// DeleteL2 takes it off everywhere and deletes it with what is on it; a
	// missing one is nil.
	DeleteL2(ctx context.Context, l2 string) error
	// DeleteHost moves its routers away and deletes it with its bridges; a
	// missing one is nil.
	DeleteHost(ctx context.Context, host string) error
	// InspectImage reads and verifies the template at the request's source.
	InspectImage(ctx context.Context, req *v1.CreateImage) (*v1.Image, error)
	// WaitHost waits until the host is Connected or has failed to.
	WaitHost(ctx context.Context, uuid string) error
	// WaitRouter waits until the router is as the newest view wants it.
	WaitRouter(ctx context.Context, uuid string) error
	// WaitVM is WaitRouter for every router that serves a nic of the VM.
	WaitVM(ctx context.Context, uuid string) error
	// AskFirst asks the wire who has the address that a new VIP would have, while
	// others are offered other ones, until done is called. No address: the wire
	// cannot be asked, or the VIP is refused anyway.
	AskFirst(ctx context.Context, v *model.View, req v1.CreateVIP) (ip netip.Addr, heard model.Heard, done func())
	// WaitClaim waits until the wire was asked who has a VIP's address, some
	// tenths of a second at most.
	WaitClaim(ctx context.Context, vip string)
	// Settle waits until every router that answers, of those of networks that an
	// account is shown ("": all), is as the newest view wants it.
	Settle(ctx context.Context, account string) error
	Insight
}

// Insight is what can be seen of one router.
type Insight interface {
	// RouterSpec is what is wanted of it.
	RouterSpec(uuid string) (agentv1.RouterSpec, error)
	// RouterStatus is what its agent says.
	RouterStatus(ctx context.Context, uuid string) (agentv1.RouterStatus, error)
	// RouterDiagnostics are its agent's log lines, rules and tables, for people.
	RouterDiagnostics(ctx context.Context, uuid string) (agentv1.Diagnostics, error)
	// RouterConsole is at most the last max bytes of its serial console since
	// its last start; also of one whose agent is silent.
	RouterConsole(ctx context.Context, uuid string, max int) ([]byte, error)
}

// Config is what the API is made of.
type Config struct {
	Store   *store.Store
	Effects Effects
	// Services add their routes, in this order.
	Services []func(*API)
	// Planners plan routers for dry runs.
	Planners []plan.Service
	// Version of the orchestrator, for /version.
	Version string
	// Rate bounds the requests of each token; the zero Rate is DefaultRate.
	Rate Rate
	// Audit is where calls are recorded; nil: in memory, for tests.
	Audit Audit
	// AuditServer tells people whose chain that is: a host and a directory.
	AuditServer string
	// WrongTokens bounds the calls without a right token from one address; the
	// zero Rate is DefaultWrongTokens.
	WrongTokens Rate
	// Metrics is where /metrics gathers and the API's own are registered; a
	// new registry if nil.
	Metrics *prometheus.Registry
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// API is the routes on one engine.
type API struct {
	store     *store.Store
	effects   Effects
	planners  []plan.Service
	log       *slog.Logger
	version   string
	metrics   *prometheus.Registry
	news      *newsroom
	tokens    *tokenStore
	limits    *limiters
	strangers *strangers
	newKeys   *limiters
	audit     Audit
	// auditServer is whose chain that is, for people.
	auditServer string
	// auditing holds a token for each call that reads the audit files.
	auditing chan struct{}
	// now is time.Now but in tests of what expires.
	now func() time.Time
	// answerPatience is how long a call waits for another with its
	// Idempotency-Key.
	answerPatience time.Duration

	engine *gin.Engine
	huma   huma.API
	// document is the OpenAPI description, made once when first asked for.
	document func() []byte
}

// New builds the API with all its routes.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Audit == nil {
		c.Audit = audit.NewMemory()
	}
	a := &API{
		store: c.Store, effects: c.Effects, planners: c.Planners, log: c.Log, version: c.Version, metrics: c.Metrics, news: newNewsroom(defaultLimits),
		tokens: newTokenStore(c.Store.Private()), limits: newLimiters(c.Rate), strangers: newStrangers(c.WrongTokens, c.Metrics), newKeys: newLimiters(keyRate),
		audit: c.Audit, auditServer: c.AuditServer, auditing: make(chan struct{}, auditReaders), now: time.Now, answerPatience: 30 * time.Second,
	}
	a.engine = a.newEngine()
	a.huma = humagin.New(a.engine, humaConfig())
	a.document = sync.OnceValue(a.describe)
	a.watchProcess()
	a.operational()
	a.accounts()
	a.tokenRoutes()
	a.auditRoutes()
	a.backupRoute()
	a.places()
	a.l2Networks()
	a.l3Networks()
	a.images()
	a.offerings()
	a.routers()
	a.vms()
	a.vips()
	a.systemTags()
	a.providers()
	a.events()
	for _, register := range c.Services {
		register(a)
	}
	a.checkAccess()
	return a
}

// Handler serves everything.
func (a *API) Handler() http.Handler { return a.engine }

// Huma is for routes that the registrars of this package do not fit.
func (a *API) Huma() huma.API { return a.huma }

func humaConfig() huma.Config {
	c := huma.DefaultConfig("Sluice", "v1")
	c.Info.Description = "Virtual routers for guest networks. Errors are problem documents (RFC 9457) with a stable code."
	// The document and the page are our own routes; no links to schemas in
	// answers.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshalStrict}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"token": {}}}
	return c
}

// schemaName keeps the agent's types, such as EIP, apart from ours.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if t.PkgPath() == reflect.TypeFor[agentv1.RouterSpec]().PkgPath() && !strings.HasPrefix(name, "Router") {
		return "Router" + name
	}
	return name
}
