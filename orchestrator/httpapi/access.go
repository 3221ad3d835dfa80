package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// who is a set of those who may make a call.
type who uint8

const (
	admins who = 1 << iota
	operators
	tenants       // tokens of role account
	readers       // read-only tokens of the whole site
	tenantReaders // read-only tokens of one account
	nobodyAtAll   // without a token
)

// The sets in use.
const (
	open        = nobodyAtAll | admins | operators | tenants | readers | tenantReaders
	adminWrite  = admins
	cloudWrite  = admins | operators
	cloudRead   = cloudWrite | readers
	tenantWrite = cloudWrite | tenants
	tenantRead  = cloudRead | tenants | tenantReaders
)

// reach is what a call does with the object in its path, or with those that it
// lists, for a caller of an account. A foreign object is answered like a
// missing one everywhere.
type reach uint8

const (
	none reach = iota // names no object, or accounts do not make the call
	sees              // its own, and what is shared with it
	owns              // its own; what is only shared is refused with 403
)

// access is the one table of who may do what. A route that is not here is not
// registered: New panics, and a request to it is refused.
var access = map[string]struct {
	who   who
	reach reach
}{
	"GET /healthz":      {open, none},
	"GET /readyz":       {open, none},
	"GET /version":      {open, none},
	"GET /openapi.json": {open, none},
	"GET /docs":         {open, none},
	"GET /metrics":      {cloudRead, none},

	"GET /v1/accounts":           {tenantRead, sees},
	"GET /v1/accounts/{uuid}":    {tenantRead, sees},
	"POST /v1/accounts":          {adminWrite, none},
	"PATCH /v1/accounts/{uuid}":  {adminWrite, none},
	"DELETE /v1/accounts/{uuid}": {adminWrite, none},
	"GET /v1/quotas":             {tenantRead, sees},
	"PATCH /v1/quotas":           {adminWrite, none},
	"GET /v1/tokens":             {admins | tenants, owns},
	"POST /v1/tokens":            {admins | tenants, none},
	"DELETE /v1/tokens/{uuid}":   {admins | tenants, owns},
	"POST /v1/backup":            {adminWrite, none},
	"GET /v1/events":             {tenantRead, sees},
	"GET /v1/audit":              {tenantRead, sees},
	"GET /v1/audit/{uuid}":       {tenantRead, sees},
	"GET /v1/audit-head":         {cloudRead, none},
	"GET /v1/audit-verification": {cloudRead, none},

	"GET /v1/zones":                 {cloudRead, none},
	"GET /v1/zones/{uuid}":          {cloudRead, none},
	"POST /v1/zones":                {cloudWrite, none},
	"PATCH /v1/zones/{uuid}":        {cloudWrite, none},
	"DELETE /v1/zones/{uuid}":       {cloudWrite, none},
	"GET /v1/clusters":              {cloudRead, none},
	"GET /v1/clusters/{uuid}":       {cloudRead, none},
	"POST /v1/clusters":             {cloudWrite, none},
	"PATCH /v1/clusters/{uuid}":     {cloudWrite, none},
	"DELETE /v1/clusters/{uuid}":    {cloudWrite, none},
	"GET /v1/hosts":                 {cloudRead, none},
	"GET /v1/hosts/{uuid}":          {cloudRead, none},
	"POST /v1/hosts":                {cloudWrite, none},
	"PATCH /v1/hosts/{uuid}":        {cloudWrite, none},
	"DELETE /v1/hosts/{uuid}":       {cloudWrite, none},
	"POST /v1/hosts/{uuid}/actions": {cloudWrite, none},

	"GET /v1/l2-networks":                              {tenantRead, sees},
	"GET /v1/l2-networks/{uuid}":                       {tenantRead, sees},
	"POST /v1/l2-networks":                             {cloudWrite, none},
	"PATCH /v1/l2-networks/{uuid}":                     {cloudWrite, none},
	"DELETE /v1/l2-networks/{uuid}":                    {cloudWrite, none},
	"POST /v1/l2-networks/{uuid}/clusters/{cluster}":   {cloudWrite, none},
	"DELETE /v1/l2-networks/{uuid}/clusters/{cluster}": {cloudWrite, none},
	"PUT /v1/l2-networks/{uuid}/shared-with":           {cloudWrite, none},

	"GET /v1/l3-networks":                            {tenantRead, sees},
	"GET /v1/l3-networks/{uuid}":                     {tenantRead, sees},
	"POST /v1/l3-networks":                           {tenantWrite, none},
	"PATCH /v1/l3-networks/{uuid}":                   {tenantWrite, owns},
	"DELETE /v1/l3-networks/{uuid}":                  {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/shared-with":         {cloudWrite, none},
	"PUT /v1/l3-networks/{uuid}/reserved-ranges":     {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/router-interface-ip": {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/host-routes":         {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/dns-records":         {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/dhcp-relays":         {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/mtu":                 {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/allocation-strategy": {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/dns":                 {tenantWrite, owns},
	"PUT /v1/l3-networks/{uuid}/dns-tls":             {tenantWrite, owns},
	"POST /v1/l3-networks/{uuid}/dns":                {tenantWrite, owns},
	"DELETE /v1/l3-networks/{uuid}/dns/{ip}":         {tenantWrite, owns},
	"POST /v1/l3-networks/{uuid}/network-services":   {tenantWrite, owns},
	"DELETE /v1/l3-networks/{uuid}/network-services": {tenantWrite, owns},
	"GET /v1/l3-networks/{uuid}/capacity":            {tenantRead, sees},
	"GET /v1/l3-networks/{uuid}/free-ips":            {tenantRead, sees},
	"GET /v1/l3-networks/{uuid}/virtual-router":      {cloudRead, none},
	"POST /v1/l3-networks/{uuid}/ip-ranges":          {tenantWrite, owns},
	"GET /v1/ip-ranges":                              {tenantRead, sees},
	"GET /v1/ip-ranges/{uuid}":                       {tenantRead, sees},
	"PATCH /v1/ip-ranges/{uuid}":                     {tenantWrite, owns},
	"DELETE /v1/ip-ranges/{uuid}":                    {tenantWrite, owns},

	"GET /v1/network-service-providers":                {tenantRead, none},
	"GET /v1/network-service-providers/{uuid}":         {tenantRead, none},
	"GET /v1/images":                                   {cloudRead, none},
	"GET /v1/images/{uuid}":                            {cloudRead, none},
	"POST /v1/images":                                  {cloudWrite, none},
	"PATCH /v1/images/{uuid}":                          {cloudWrite, none},
	"DELETE /v1/images/{uuid}":                         {cloudWrite, none},
	"GET /v1/virtual-router-offerings":                 {cloudRead, none},
	"GET /v1/virtual-router-offerings/{uuid}":          {cloudRead, none},
	"POST /v1/virtual-router-offerings":                {cloudWrite, none},
	"PATCH /v1/virtual-router-offerings/{uuid}":        {cloudWrite, none},
	"DELETE /v1/virtual-router-offerings/{uuid}":       {cloudWrite, none},
	"POST /v1/virtual-router-offerings/{uuid}/actions": {cloudWrite, none},
	"GET /v1/virtual-routers":                          {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}":                   {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}/spec":              {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}/explain":           {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}/status":            {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}/diagnostics":       {cloudRead, none},
	"GET /v1/virtual-routers/{uuid}/console":           {cloudRead, none},
	"PATCH /v1/virtual-routers/{uuid}":                 {cloudWrite, none},
	"DELETE /v1/virtual-routers/{uuid}":                {cloudWrite, none},
	"POST /v1/virtual-routers/{uuid}/actions":          {cloudWrite, none},

	"GET /v1/vm-instances":                    {tenantRead, sees},
	"GET /v1/vm-instances/{uuid}":             {tenantRead, sees},
	"GET /v1/vm-instances/{uuid}/libvirt-xml": {tenantRead, sees},
	"POST /v1/vm-instances":                   {tenantWrite, none},
	"PATCH /v1/vm-instances/{uuid}":           {tenantWrite, owns},
	"DELETE /v1/vm-instances/{uuid}":          {tenantWrite, owns},
	"POST /v1/vm-instances/{uuid}/actions":    {tenantWrite, owns},
	"POST /v1/vm-instances/{uuid}/nics":       {tenantWrite, owns},
	"GET /v1/vm-nics":                         {tenantRead, sees},
	"GET /v1/vm-nics/{uuid}":                  {tenantRead, sees},
	"PATCH /v1/vm-nics/{uuid}":                {tenantWrite, owns},
	"DELETE /v1/vm-nics/{uuid}":               {tenantWrite, owns},
	"PUT /v1/vm-nics/{uuid}/ip":               {tenantWrite, owns},

	"GET /v1/vips":                                           {tenantRead, sees},
	"GET /v1/vips/{uuid}":                                    {tenantRead, sees},
	"POST /v1/vips":                                          {tenantWrite, none},
	"PATCH /v1/vips/{uuid}":                                  {tenantWrite, owns},
	"DELETE /v1/vips/{uuid}":                                 {tenantWrite, owns},
	"GET /v1/eips":                                           {tenantRead, sees},
	"GET /v1/eips/{uuid}":                                    {tenantRead, sees},
	"GET /v1/eips/{uuid}/candidate-vm-nics":                  {tenantRead, sees},
	"POST /v1/eips":                                          {tenantWrite, none},
	"PATCH /v1/eips/{uuid}":                                  {tenantWrite, owns},
	"DELETE /v1/eips/{uuid}":                                 {tenantWrite, owns},
	"POST /v1/eips/{uuid}/vm-nics/{nic}":                     {tenantWrite, owns},
	"DELETE /v1/eips/{uuid}/vm-nics":                         {tenantWrite, owns},
	"GET /v1/port-forwarding-rules":                          {tenantRead, sees},
	"GET /v1/port-forwarding-rules/{uuid}":                   {tenantRead, sees},
	"GET /v1/port-forwarding-rules/{uuid}/candidate-vm-nics": {tenantRead, sees},
	"POST /v1/port-forwarding-rules":                         {tenantWrite, none},
	"PATCH /v1/port-forwarding-rules/{uuid}":                 {tenantWrite, owns},
	"DELETE /v1/port-forwarding-rules/{uuid}":                {tenantWrite, owns},
	"POST /v1/port-forwarding-rules/{uuid}/vm-nics/{nic}":    {tenantWrite, owns},
	"DELETE /v1/port-forwarding-rules/{uuid}/vm-nics":        {tenantWrite, owns},

	"GET /v1/system-tags":    {tenantRead, sees},
	"POST /v1/system-tags":   {tenantWrite, owns},
	"DELETE /v1/system-tags": {tenantWrite, owns},
}

var ginParameter = regexp.MustCompile(`:([a-zA-Z]+)`)

// routeOf is the table's name for a route; empty if the request has none.
func routeOf(method, ginPath string) string {
	if ginPath == "" {
		return ""
	}
	return method + " " + ginParameter.ReplaceAllString(ginPath, "{$1}")
}

// checkAccess makes a route that the table does not list a defect that nobody
// can start.
func (a *API) checkAccess() {
	for _, r := range a.engine.Routes() {
		route := routeOf(r.Method, r.Path)
		if _, listed := access[route]; !listed {
			panic(fmt.Sprintf("httpapi: %s is not in the table of access: say there who may call it", route))
		}
	}
}

// class is which column of the table a caller is in.
func (c *Caller) class() who {
	switch {
	case c.Role == v1.RoleAdmin:
		return admins
	case c.Role == v1.RoleOperator:
		return operators
	case c.Role == v1.RoleAccount:
		return tenants
	case c.Role == v1.RoleReadOnly && c.Account != "":
		return tenantReaders
	case c.Role == v1.RoleReadOnly:
		return readers
	}
	return nobodyAtAll
}

// authorize refuses what the table does not allow, and what is outside a
// token's scope.
func (a *API) authorize(c *gin.Context) {
	route := routeOf(c.Request.Method, c.FullPath())
	if route == "" {
		return // 404 or 405
	}
	caller := callerOf(c.Request.Context())
	allowed := access[route].who
	switch {
	case allowed&nobodyAtAll != 0:
	case allowed&caller.class() == 0:
		refuse(c, v1.Forbidden("forbidden", "%s (role %s) may not call %s; that is for %s", caller.Name, caller.Role, route, allowed))
	case !caller.inScope(groupOf(route), reads(c.Request.Method)):
		refuse(c, v1.Forbidden("outside-scope", "the scope of token %s does not include %s; it has %s", caller.Name, route, strings.Join(caller.Scope, ", ")))
	}
}

// String names the roles of a set.
func (w who) String() string {
	var names []string
	for _, role := range []struct {
		who  who
		name string
	}{{admins, v1.RoleAdmin}, {operators, v1.RoleOperator}, {tenants, v1.RoleAccount}, {readers, v1.RoleReadOnly}} {
		if w&role.who != 0 {
			names = append(names, role.name)
		}
	}
	return strings.Join(names, ", ")
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// groupOf is the part of the API that a route belongs to: the word behind /v1, or metrics.
func groupOf(route string) string {
	_, path, _ := strings.Cut(route, " ")
	group, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/"), "v1/"), "/")
	return group
}

// Scopes are lists of GROUP, all calls of a part of the API, and GROUP:read.
// The group * is every part.
const (
	everyGroup = "*"
	readScope  = ":read"
)

// inScope reports whether a scope includes the calls of a group; the empty
// scope includes all.
func (c *Caller) inScope(group string, reading bool) bool {
	return len(c.Scope) == 0 || slices.ContainsFunc(c.Scope, func(s string) bool {
		name, onlyReads := strings.CutSuffix(s, readScope)
		return (name == group || name == everyGroup) && (reading || !onlyReads)
	})
}

// checkScope refuses words that are no part of a scope.
func checkScope(scope []string) error {
	for i, s := range scope {
		group, _ := strings.CutSuffix(s, readScope)
		if group != everyGroup && !slices.Contains(groups(), group) {
			return v1.Invalid("invalid-scope", "scope %q is neither a part of the API such as vips nor one with %s behind; there are %s", shorten(s), readScope, strings.Join(groups(), ", "))
		}
		if slices.Contains(scope[:i], s) {
			return v1.Invalid("invalid-scope", "scope %q is given twice", s)
		}
	}
	return nil
}

func groups() []string {
	var all []string
	for route, entry := range access {
		if entry.who&nobodyAtAll == 0 {
			all = append(all, groupOf(route))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
