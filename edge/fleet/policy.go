package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/edge/compose"
	"holdfast/edge/timetable"
	"holdfast/edge/trust"
)

// Source is an authored document and what it is built with.
type Source struct {
	// Path names the file in problems.
	Path    string
	Content []byte
	// Environ is what ${NAME} in Compose projects is looked up in, as KEY=value.
	Environ []string
	Pins    Pins
}

// Built is a document ready to be signed.
type Built struct {
	Policy  *edge.Policy // nil for a root document
	Root    *trust.Root  // nil for a policy
	Payload []byte
	// Notes are slips of the pen that a node would not refuse.
	Notes []*compose.Problem
}

// Build reads an authored policy or root document and gives what is to be signed, or
// every problem there is, each a *compose.Problem.
func Build(ctx context.Context, source Source) (*Built, error) {
	document, err := compose.Parse(source.Path, source.Content)
	if err != nil {
		return nil, err
	}
	b := &builder{Source: source, document: document}
	b.checkKind()
	b.checkPlain("", document.Values())
	if err := b.err(); err != nil {
		return nil, err
	}
	built := b.build(ctx)
	if err := b.err(); err != nil {
		return nil, err
	}
	return built, nil
}

// builder is one document on its way.
type builder struct {
	Source
	document *compose.Document
	problems []*compose.Problem
	notes    []*compose.Problem
}

func (b *builder) add(path, detail, remedy string) {
	b.problems = append(b.problems, b.document.Problem(path, detail, remedy))
}

func (b *builder) note(path, detail, remedy string) {
	b.notes = append(b.notes, b.document.Problem(path, detail, remedy))
}

// err joins the problems in the order of the lines.
func (b *builder) err() error {
	edge.SortStable(b.problems, func(x, y *compose.Problem) int {
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	errs := make([]error, len(b.problems))
	for i, problem := range b.problems {
		errs[i] = problem
	}
	return errors.Join(errs...)
}

// The keys of an authored document that are not read as they stand.
const (
	appsKey      = "apps"
	workloadsKey = "workloads"
)

func (b *builder) checkKind() {
	values := b.document.Values()
	if version := values["apiVersion"]; version != edge.APIVersion {
		b.add("apiVersion", "is not "+edge.APIVersion, "write apiVersion: "+edge.APIVersion)
	}
	if kind := values["kind"]; kind != edge.PolicyKind && kind != trust.RootKind {
		b.add("kind", "is neither "+edge.PolicyKind+" nor "+trust.RootKind, "write kind: "+edge.PolicyKind)
	}
}

func (b *builder) build(ctx context.Context) *Built {
	if b.document.Values()["kind"] == trust.RootKind {
		return b.root()
	}
	policy := b.policy()
	b.apps(ctx, policy)
	if len(b.problems) > 0 {
		return nil
	}
	b.checkModels(policy)
	payload, err := policy.Encode()
	if err != nil {
		b.defects(err, policy.Workloads)
		return nil
	}
	return &Built{Policy: policy, Payload: payload, Notes: b.notes}
}

// policy reads everything but the apps.
func (b *builder) policy() *edge.Policy {
	values := b.document.Values()
	if _, given := values[workloadsKey]; given {
		b.add(workloadsKey, "is what a node reads", "write Compose projects below apps")
	}
	plain := map[string]any{}
	for name, value := range values {
		if name != appsKey && name != workloadsKey {
			plain[name] = value
		}
	}
	policy := &edge.Policy{}
	b.decode(plain, policy)
	return policy
}

// decode fills a pointer to a struct from values, and finds keys nobody knows.
func (b *builder) decode(values map[string]any, into any) {
	text, err := json.Marshal(values)
	if err != nil {
		b.add("", "cannot be written as JSON: "+err.Error(), "")
		return
	}
	unknown, err := edge.DecodeJSON(text, edge.JSONBounds{Size: len(text), Depth: edge.MaxPolicyDepth}, into)
	for _, path := range unknown {
		b.unknown(path, into)
	}
	b.defects(err, nil)
}

// defects turns what edge finds into problems that have places.
func (b *builder) defects(err error, workloads []edge.Workload) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			b.defects(part, workloads)
		}
		return
	}
	var field *edge.FieldProblem
	switch inner := errors.Unwrap(err); {
	case err == nil:
	case errors.As(err, &field) && error(field) == err: //nolint:errorlint // the problem itself, not one around it
		path := placeOf(field.Field, workloads)
		if !b.known(path) || isEntry(field.Field) {
			b.add(path, b.detail(path, field.Detail), b.remedy(path, field.Detail))
		}
	case inner != nil && !isJSONError(err):
		b.defects(inner, workloads)
	default:
		b.add("", err.Error(), "")
	}
}

func isJSONError(err error) bool {
	_, is := err.(*edge.JSONError) //nolint:errorlint // the error itself, not one it wraps
	return is
}

// isEntry tells whether a field is of one entry among several that share a place.
func isEntry(field string) bool {
	_, entry, _ := strings.Cut(field, "].")
	return strings.Contains(entry, "[")
}

// known tells whether a place has a problem already: one is enough.
func (b *builder) known(path string) bool {
	return path != "" && slices.ContainsFunc(b.problems, func(p *compose.Problem) bool { return p.Key == path })
}

// placeOf says where in the authored file a field of the built policy stands.
func placeOf(field string, workloads []edge.Workload) string {
	rest, isWorkload := strings.CutPrefix(field, workloadsKey+"[")
	number, key, _ := strings.Cut(rest, "]")
	if !isWorkload {
		return field
	}
	for i, w := range workloads {
		if number == itoa(i) {
			return servicePath(w) + composeKey(key)
		}
	}
	return appsKey
}

// composeKey is what a field of a workload is called where a person writes it. Of a
// list it is the list alone, for a workload has its entries in another order.
func composeKey(field string) string {
	for _, known := range [...]struct{ field, key string }{
		{".security.privileged", ".privileged"}, {".security.hostNetwork", ".network_mode"},
		{".security.runAsRoot", ".x-holdfast.runAsRoot"}, {".tenant", ".x-holdfast.tenant"},
		{".security.capAdd[", ".cap_add"}, {".binds[", ".volumes"}, {".devices[", ".devices"}, {".secrets[", ".secrets"}, {".networks", ".networks"}, {".outward[", ".networks"}, {".links[", ".networks"}, {".ports[", ".ports"},
		{".limits.memory", ".deploy.resources.limits.memory"}, {".limits.cpus", ".deploy.resources.limits.cpus"},
	} {
		if strings.HasPrefix(field, known.field) {
			return known.key
		}
	}
	return field
}

// apps reads the Compose projects and pins what they run.
func (b *builder) apps(ctx context.Context, policy *edge.Policy) {
	if given, is := b.document.Values()[appsKey]; is {
		if _, named := given.(map[string]any); !named {
			b.add(appsKey, "is not a mapping", "write Compose projects below it, each below its name")
		}
	}
	for _, app := range b.document.Keys(appsKey) {
		workloads, err := b.document.Project(ctx, appsKey+"."+app, app, b.Environ)
		b.problems = append(b.problems, compose.Problems(err)...)
		policy.Workloads = append(policy.Workloads, workloads...)
	}
	edge.SortStable(policy.Workloads, func(x, y edge.Workload) int { return strings.Compare(x.Key(), y.Key()) })
	for i := range policy.Workloads {
		b.pin(&policy.Workloads[i])
	}
	for _, image := range b.Pins.unused(policy.Workloads) {
		b.note(appsKey, "no service runs the image "+image+" that was to be pinned", "look for a slip in its name")
	}
}

func servicePath(w edge.Workload) string { return appsKey + "." + w.App + ".services." + w.Name }

// pin names an image by what it contains.
func (b *builder) pin(w *edge.Workload) {
	pinned, found := b.Pins.pin(w.Image)
	if !found {
		b.add(servicePath(*w)+".image", quote(w.Image)+" is not pinned by a digest",
			"add --image "+w.Image+"=sha256:…, or --images FOLDER with its archive")
		return
	}
	w.Image = pinned
}

// checkModels finds models two workloads answer, and triggers nobody does.
func (b *builder) checkModels(policy *edge.Policy) {
	serving := map[string]string{}
	for _, w := range policy.Workloads {
		for _, model := range w.Serve.Models() {
			if other, taken := serving[model]; taken {
				b.add(servicePath(w)+".x-holdfast.model", "the model "+quote(model)+" is already served by "+other, "give it a name of its own")
			}
			serving[model] = w.Key()
		}
	}
	for i, trigger := range policy.Triggers {
		if _, err := timetable.Parse(trigger.Cron); trigger.Cron != "" && err != nil {
			b.add("triggers["+itoa(i)+"].cron", err.Error(), edge.HintOf(err))
		}
		_, served := serving[trigger.Model]
		if _, routed := policy.Routes[trigger.Model]; !served && !routed && trigger.Model != "" {
			b.note("triggers["+itoa(i)+"].model", "no workload of this policy serves the model "+quote(trigger.Model), "look for a slip in its name")
		}
	}
}
