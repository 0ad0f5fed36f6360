package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// shown is a document for programs.
type shown struct {
	Kind     trust.Role      `json:"kind"`
	Version  uint64          `json:"version"`
	Believed bool            `json:"believed"`          // by the root document given
	Signers  []string        `json:"signers"`           // whose signatures fit
	Claimed  []string        `json:"claimed"`           // whose signatures nobody looked at
	Unknown  []string        `json:"unknown,omitempty"` // fields this version ignores
	Document json.RawMessage `json:"document"`
}

func (d *door) policyShowVerb() *cobra.Command {
	var rootPath string
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print a policy or root document, signed or not, or the policy of this node, for people",
		Long: "Print a policy or root document, signed or not, for people; without FILE the policy that governs\n" +
			"this node. Signatures of a file are looked at only with --root; the document is printed whether it\n" +
			"is believed or not. A node holds nothing that it does not believe.",
		Args: between(0, 1, "a document that `holdfast policy build` or `sign` wrote"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return d.showNodePolicy(cmd.Context())
			}
			document, err := fleet.ReadDocument(args[0])
			if err != nil {
				return err
			}
			s := shown{Kind: document.Role, Version: document.Version(), Claimed: document.Claimed(), Document: document.Payload}
			refusal, err := s.judge(document, rootPath)
			if err != nil {
				return err
			}
			if document.Policy != nil {
				s.Unknown = document.Policy.Unknown
			}
			return d.show(s, func(p printer) error { return printDocument(p, document, s, refusal, rootPath != "") })
		},
	}
	cmd.Flags().StringVar(&rootPath, "root", "", "the signed root document to look at signatures with")
	return cmd
}

// showNodePolicy prints what governs the node.
func (d *door) showNodePolicy(ctx context.Context) error {
	view, err := d.client().Policy(ctx)
	if err != nil {
		return err
	}
	return d.show(view, func(p printer) error {
		fmt.Fprintln(p.out, policyWords(view.PolicyReport))
		if view.FailedVersion != 0 {
			fmt.Fprintf(p.out, "version %d failed to apply: %s\n", view.FailedVersion, printable(view.FailedWhy))
		}
		if view.Document == nil {
			return nil
		}
		policy, err := policyOf(view)
		if err != nil {
			return err
		}
		return printPolicy(p, policy)
	})
}

// judge looks at the signatures if there is a root document to do so with. A document
// that is not believed is shown all the same, with the reason.
func (s *shown) judge(document *fleet.Document, rootPath string) (refusal, err error) {
	if rootPath == "" {
		return nil, nil
	}
	root, err := fleet.ReadRoot(rootPath)
	if err != nil {
		return nil, err
	}
	verified, refusal := document.Verify(root)
	if refusal == nil {
		s.Believed, s.Signers = true, verified.Signers
	}
	return refusal, nil
}

func printDocument(p printer, document *fleet.Document, s shown, refusal error, judged bool) error {
	fmt.Fprintf(p.out, "%s version %d\n", document.Name(), s.Version)
	switch {
	case refusal != nil:
		fmt.Fprintf(p.out, "signers    NOT BELIEVED: %v\n", refusal)
	case judged:
		fmt.Fprintf(p.out, "signers    %s\n", strings.Join(shorten(s.Signers), ", "))
	case document.Envelope == nil:
		fmt.Fprintln(p.out, "signers    none: it is not signed")
	default:
		fmt.Fprintf(p.out, "signers    %s (claimed; --root looks at them)\n", strings.Join(shorten(s.Claimed), ", "))
	}
	if document.Root != nil {
		return printRoot(p, document.Root)
	}
	return printPolicy(p, document.Policy)
}

func printRoot(p printer, root *trust.Root) error {
	var rows [][]string
	for _, role := range trust.Roles {
		if grant, held := root.Roles[role]; held {
			rows = append(rows, []string{string(role), fmt.Sprintf("%d of %d", grant.Threshold, len(grant.KeyIDs)), strings.Join(shorten(grant.KeyIDs), " "), grant.Description})
		}
	}
	fmt.Fprintln(p.out)
	return p.Table([]string{"ROLE", "THRESHOLD", "KEYS", "DESCRIPTION"}, rows)
}

func printPolicy(p printer, policy *edge.Policy) error {
	fmt.Fprintf(p.out, "audience   %v\n", policy.Metadata.Audience)
	fmt.Fprintf(p.out, "lease      %dh of running, %d boots, then %s\n", policy.Lease.Hours, policy.Lease.Boots,
		cmp.Or(string(policy.Lease.OnExpiry), string(edge.LeaseDegrade)))
	for _, section := range [...]struct {
		name string
		rest any
	}{
		{"limits", policy.Limits}, {"security", policy.Security}, {"connection", policy.Connectivity},
		{"offline", policy.Offline}, {"health", policy.Health}, {"sla", policy.SLA},
	} {
		words, err := inWords(section.rest)
		if err != nil {
			return err
		}
		if words != "" {
			fmt.Fprintf(p.out, "%-10s %s\n", section.name, printable(words))
		}
	}
	if len(policy.Critical) > 0 {
		fmt.Fprintf(p.out, "critical   %s\n", strings.Join(policy.Critical, ", "))
	}
	if len(policy.Unknown) > 0 {
		fmt.Fprintf(p.out, "ignored    %s\n", printable(strings.Join(policy.Unknown, ", ")))
	}
	return printTables(p, policy)
}

// inWords writes a section as its document does, without the signs between.
func inWords(section any) (string, error) {
	text, err := edge.CanonicalJSON(section)
	if err != nil {
		return "", err
	}
	words := strings.NewReplacer(`"`, "", ",", ", ", ":", " ").Replace(string(text))
	return strings.TrimSuffix(strings.TrimPrefix(words, "{"), "}"), nil
}

func printTables(p printer, policy *edge.Policy) error {
	for _, table := range [...]struct {
		head []string
		rows [][]string
	}{
		{[]string{"CLASS", "DEADLINE", "QUEUE", "FIRM"}, policyClassRows(policy)},
		{[]string{"TENANT", "CPU", "MEMORY", "RATE", "BURST", "MODELS", "CLASSES"}, policyTenantRows(policy)},
		{[]string{"UPSTREAM", "URL", "TOKEN", "TIMEOUT"}, policyUpstreamRows(policy)},
		{[]string{"ROUTE OF", "UPSTREAM", "MODEL THERE", "MODE", "TENANTS"}, policyRouteRows(policy)},
		{[]string{"TRIGGER", "MODEL", "CLASS", "DEADLINE", "REPLY"}, policyTriggerRows(policy)},
		{[]string{"WORKLOAD", "IMAGE", "REPLICAS", "CPUS", "MEMORY", "MODELS", "RESTART", "RELAXED"}, policyWorkloadRows(policy)},
	} {
		if len(table.rows) == 0 {
			continue
		}
		fmt.Fprintln(p.out)
		if err := p.Table(table.head, table.rows); err != nil {
			return err
		}
	}
	return nil
}

func policyClassRows(policy *edge.Policy) (rows [][]string) {
	for _, class := range edge.Classes {
		said, is := policy.Classes[class]
		if !is {
			continue
		}
		firm := ""
		if said.Firm != nil {
			firm = fmt.Sprint(*said.Firm)
		}
		rows = append(rows, []string{class.String(), unlessZero(said.Deadline), unlessZero(said.Queue), firm})
	}
	return rows
}

func policyTenantRows(policy *edge.Policy) (rows [][]string) {
	for _, name := range slices.Sorted(maps.Keys(policy.Tenants)) {
		t := policy.Tenants[name]
		rows = append(rows, []string{
			name, unlessZero(t.CPU), unlessZero(t.Memory), unlessZero(t.Rate), unlessZero(t.Burst),
			strings.Join(t.Models, " "), classNames(t.Classes),
		})
	}
	return rows
}

func classNames(classes []edge.Class) string {
	names := make([]string, 0, len(classes))
	for _, class := range classes {
		names = append(names, class.String())
	}
	return strings.Join(names, " ")
}

func policyUpstreamRows(policy *edge.Policy) (rows [][]string) {
	for _, name := range slices.Sorted(maps.Keys(policy.Upstreams)) {
		u := policy.Upstreams[name]
		rows = append(rows, []string{name, u.URL, u.Token, unlessZero(u.Timeout)})
	}
	return rows
}

func policyRouteRows(policy *edge.Policy) (rows [][]string) {
	for _, model := range slices.Sorted(maps.Keys(policy.Routes)) {
		r := policy.Routes[model]
		rows = append(rows, []string{model, r.Upstream, cmp.Or(r.Model, model), r.Mode.String(), strings.Join(r.Tenants, " ")})
	}
	return rows
}

func policyTriggerRows(policy *edge.Policy) (rows [][]string) {
	for _, t := range policy.Triggers {
		from := t.Source()
		if t.Dir != "" && t.Glob == "" {
			from = strings.TrimSuffix(t.Dir, "/") + "/*"
		}
		if t.Cron != "" {
			from += " at " + t.Cron
		}
		rows = append(rows, []string{from, t.Model, t.Class.String(), unlessZero(t.Deadline), t.Reply + t.Into})
	}
	return rows
}

func policyWorkloadRows(policy *edge.Policy) (rows [][]string) {
	for _, w := range policy.Workloads {
		rows = append(rows, []string{
			w.Key(), shortImage(w.Image), fmt.Sprint(w.Replicas), unlessZero(w.Limits.CPUs), unlessZero(edge.Size(w.Limits.Memory)),
			strings.Join(w.Serve.Models(), " "), string(w.Restart), relaxed(w),
		})
	}
	return rows
}

// relaxed names what a workload has beyond the hardened default.
func relaxed(w edge.Workload) string {
	words := slices.Clone(w.Security.CapAdd)
	for _, is := range []struct {
		so   bool
		word string
	}{
		{w.Security.WritableRoot, "writable root"}, {w.Security.RunAsRoot, "root"},
		{w.Security.HostNetwork, "host network"}, {w.Security.Privileged, "privileged"},
	} {
		if is.so {
			words = append(words, is.word)
		}
	}
	for _, bind := range w.Binds {
		words = append(words, bind.Source)
	}
	for _, device := range w.Devices {
		words = append(words, device.Host)
	}
	for _, port := range w.Ports {
		words = append(words, port.String())
	}
	for _, network := range w.Outward {
		words = append(words, network+" outward")
	}
	for _, link := range w.Links {
		words = append(words, link+" shared")
	}
	return strings.Join(words, " ")
}

func shortImage(image string) string {
	name, digest, pinned := strings.Cut(image, "@")
	if !pinned {
		return name
	}
	return name + "@" + short(digest)
}

// unlessZero leaves out what a policy does not say.
func unlessZero[T comparable](value T) string {
	var zero T
	if value == zero {
		return ""
	}
	return fmt.Sprint(value)
}
