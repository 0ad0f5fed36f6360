package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// The version and kind every policy document names.
const (
	APIVersion = "holdfast/v1"
	PolicyKind = "Policy"
)

const (
	// MaxPolicy bounds an encoded policy; what is larger is referenced by digest.
	MaxPolicy = 48 << 10
	// MaxPolicyDepth is far above the five levels a policy has today.
	MaxPolicyDepth = 32
)

// Policy is what may and should run on a node: the decoded, read-only form of the
// signed document. Whoever holds one never changes it.
//
// Where a field is zero the policy says nothing, and the node's configuration or
// the built-in default counts; where both speak the policy counts. A person writes
// the same names as YAML, with Compose projects under apps in place of workloads.
type Policy struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Critical names fields that a reader must understand: one that does not refuses
	// the document, while all other unknown fields are ignored. Paths read
	// security.hostPaths, workloads.image, tenants.*.cpu.
	Critical []string `json:"critical,omitempty"`

	Metadata     Metadata                  `json:"metadata"`
	Lease        LeaseTerms                `json:"lease"`
	Classes      map[Class]ClassPolicy     `json:"classes,omitempty"`
	Tenants      map[string]TenantPolicy   `json:"tenants,omitempty"`
	Limits       LimitsPolicy              `json:"limits,omitzero"`
	Security     SecurityPolicy            `json:"security,omitzero"`
	Connectivity ConnectivityPolicy        `json:"connectivity,omitzero"`
	Offline      OfflinePolicy             `json:"offline,omitzero"`
	Health       HealthPolicy              `json:"health,omitzero"`
	SLA          SLAPolicy                 `json:"sla,omitzero"`
	Agent        AgentPolicy               `json:"agent,omitzero"`
	Triggers     []Trigger                 `json:"triggers,omitempty"`
	Upstreams    map[string]UpstreamPolicy `json:"upstreams,omitempty"`
	Routes       map[string]RoutePolicy    `json:"routes,omitempty"` // by model
	Secrets      map[string]SealedSecret   `json:"secrets,omitempty"`
	Workloads    []Workload                `json:"workloads,omitempty"`

	// Unknown lists the fields of the document that were ignored, by path.
	Unknown []string `json:"-"`
}

// Metadata says which document this is and for whom.
type Metadata struct {
	Name     string   `json:"name"`
	Version  uint64   `json:"version"` // from 1; a node never goes back
	Audience Audience `json:"audience"`
}

// DecodePolicy reads the payload of a verified policy. Every defect is a *JSONError
// or a *FieldProblem; several are joined.
func DecodePolicy(payload []byte) (*Policy, error) {
	p := &Policy{}
	bounds := JSONBounds{Size: MaxPolicy, Depth: MaxPolicyDepth}
	unknown, err := DecodeJSON(payload, bounds, p)
	var text *JSONError
	if !errors.As(err, &text) {
		// What kind of document this is decides whether its fields mean anything.
		if kindErr := p.checkKind(); kindErr != nil {
			err = kindErr
		}
	}
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decode policy: %w", err)
	}
	p.Unknown = unknown
	return p, nil
}

// checkKind refuses what this version does not understand.
func (p *Policy) checkKind() error {
	c := checker{}
	c.require(p.APIVersion == APIVersion, "apiVersion", fmt.Sprintf("%s is not %s", quoteShort(p.APIVersion), APIVersion))
	c.require(p.Kind == PolicyKind, "kind", fmt.Sprintf("%s is not %s", quoteShort(p.Kind), PolicyKind))
	for _, path := range p.Critical {
		c.require(path != "" && understands(reflect.TypeFor[Policy](), path), "critical", quoteShort(path)+" is not understood by this version")
	}
	return c.err()
}

// Encode writes the policy in its canonical form (see CanonicalJSON), after the same
// checks that meet it on arrival: the version and kind are filled in, empty fields
// left out. The same policy always gives the same bytes.
func (p Policy) Encode() ([]byte, error) {
	p.APIVersion, p.Kind = APIVersion, PolicyKind
	draft, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("cannot encode policy %q: %w", p.Metadata.Name, err)
	}
	if len(draft) > MaxPolicy {
		return nil, fmt.Errorf("cannot encode policy %q: %w", p.Metadata.Name,
			&FieldProblem{Detail: fmt.Sprintf("%d bytes, %d are allowed", len(draft), MaxPolicy)})
	}
	// Reading it back leaves one form of what can be written in two, such as a
	// list that is empty and one that is not there.
	read, err := DecodePolicy(draft)
	if err != nil {
		return nil, err
	}
	return CanonicalJSON(read)
}

// Tenant returns what a tenant may use: its own entry, else that of DefaultTenant.
// Without either the tenant may use nothing, and false is returned; a policy that
// names no tenants at all leaves them ungoverned.
func (p *Policy) Tenant(name string) (TenantPolicy, bool) {
	if len(p.Tenants) == 0 {
		return TenantPolicy{}, true
	}
	if own, named := p.Tenants[name]; named {
		return own, true
	}
	rest, any := p.Tenants[DefaultTenant]
	return rest, any
}

// Workload finds a workload by its key.
func (p *Policy) Workload(key string) (Workload, bool) {
	i := slices.IndexFunc(p.Workloads, func(w Workload) bool { return w.Key() == key })
	if i < 0 {
		return Workload{}, false
	}
	return p.Workloads[i], true
}
