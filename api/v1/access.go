package v1

import "time"

// AdminAccountUUID is the account that is always there. What it owns carries no
// accountUuid.
const AdminAccountUUID = "00000000-0000-7000-8000-00000000000a"

// Everybody stands for every account where something is shared.
const Everybody = "*"

// Account owns tenants' objects: L3 networks with their ranges, VMs with their
// nics, VIPs, EIPs and port forwarding rules. All else is the cloud's.
type Account struct {
	Meta
	// Quotas are those that differ from the defaults, by kind.
	Quotas map[string]int `json:"quotas,omitempty" doc:"What differs from the defaults; see /v1/quotas"`
}

// CreateAccount is the body of POST /v1/accounts.
type CreateAccount struct{ CreateMeta }

// Quota is how much of a kind an account may own.
type Quota struct {
	AccountUUID string `json:"accountUuid"`
	AccountName string `json:"accountName"`
	// Name is the kind, as in URLs.
	Name    string `json:"name" example:"vips"`
	Used    int    `json:"used"`
	Allowed int    `json:"allowed" doc:"-1: without limit"`
}

// SetQuotas is the body of PATCH /v1/quotas. What is not named stays; null is
// the default again.
type SetQuotas struct {
	AccountUUID string          `json:"accountUuid"`
	Quotas      map[string]*int `json:"quotas" doc:"Number allowed by kind; null: the default again" example:"{\"vips\":50}"`
}

// Sharing is the body of PUT .../shared-with: the accounts that may use an L2
// or L3 network of another; ["*"] is everybody.
type Sharing struct {
	AccountUUIDs []string `json:"accountUuids" nullable:"false" doc:"Accounts, or *"`
}

// Roles of tokens.
const (
	// RoleAdmin may do everything.
	RoleAdmin = "admin"
	// RoleOperator runs the cloud and every account's objects. Of access itself
	// it reads accounts, quotas and the audit records, and changes nothing.
	RoleOperator = "operator"
	// RoleAccount has its account's objects, and reads and uses what is shared
	// with it.
	RoleAccount = "account"
	// RoleReadOnly reads what an operator may read or, with an account, what
	// that account may.
	RoleReadOnly = "read-only"
)

// Token lets its bearer call the API. The secret is not in it.
type Token struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	Role        string `json:"role" enum:"admin,operator,account,read-only"`
	AccountUUID string `json:"accountUuid,omitempty"`
	// Scope is empty for all that the role may do.
	Scope      []string  `json:"scope,omitempty"`
	CreateDate time.Time `json:"createDate"`
	// CreatedBy is the token that made it, or the user of the unix socket.
	CreatedBy string    `json:"createdBy,omitempty"`
	Expires   time.Time `json:"expires,omitzero" doc:"Absent: never"`
	// LastUsed is exact to a minute.
	LastUsed time.Time `json:"lastUsed,omitzero" doc:"Exact to a minute; absent: never"`
}

// CreateToken is the body of POST /v1/tokens.
type CreateToken struct {
	Name        string   `json:"name" minLength:"1" maxLength:"255"`
	Role        string   `json:"role" enum:"admin,operator,account,read-only"`
	AccountUUID string   `json:"accountUuid,omitempty" doc:"For role account, and for read-only within one"`
	Scope       []string `json:"scope,omitempty" maxItems:"64" doc:"Only these parts of the API, such as vips or vm-instances:read; *:read is all reading. All that the role may do if left out"`
	ExpiresIn   string   `json:"expiresIn,omitempty" doc:"How long it is valid, such as 720h; for ever if left out" example:"720h"`
}

// NewToken answers POST /v1/tokens.
type NewToken struct {
	Token
	// Secret is what the bearer sends. It is shown this once and not stored.
	Secret string `json:"secret" doc:"Shown this once"`
}
