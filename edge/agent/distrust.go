package agent

import (
	"cmp"
	"slices"

	"holdfast/edge"
	"holdfast/edge/config"
)

// The codes of what is wrong with the documents that came with the node.
const (
	codeTrust     = "trust-unusable"
	codeRecovered = "trust-recovered"
)

// warnings are what is wrong with what came with the node.
func (t Trust) warnings(from config.Policy) (found []edge.Warning) {
	root := cmp.Or(from.Root, "policy.root")
	if t.Err != nil && t.Root == nil {
		found = append(found, edge.Warning{
			Code: codeTrust, Subject: root, Detail: t.Err.Error(), Remedy: t.remedy() + "; what runs is kept as it is",
		})
	}
	if t.Err != nil && t.Root != nil {
		found = append(found, edge.Warning{
			Code: codeTrust, Subject: from.Factory, Detail: t.Err.Error(),
			Remedy: "put the factory policy of the fleet in place and start the agent anew; until then the node has the policies it has kept",
		})
	}
	if t.Recovered != nil {
		found = append(found, edge.Warning{
			Code: codeRecovered, Subject: root, Detail: t.Recovered.Error() + "; the copy in the state folder governs the node",
			Remedy: t.remedy(),
		})
	}
	return found
}

// remedy is what to do about a root document that cannot be used.
func (t Trust) remedy() string {
	why := t.Err
	if t.Recovered != nil {
		why = t.Recovered
	}
	return cmp.Or(edge.HintOf(why), "put the root document and the factory policy of the fleet in place and start the agent anew")
}

// warnTrust says what is wrong with whom the node believes. now is as last read; what
// was wrong at the start is in force until the agent starts anew.
func (a *Agent) warnTrust(now Trust) {
	from := a.config.Load().Policy
	found := now.warnings(from)
	if now.Err == nil {
		found = append(found, Trust{Root: a.trust.Root, Err: a.trust.Err}.warnings(from)...)
	}
	for _, standing := range a.warnings.All() {
		over := !slices.ContainsFunc(found, func(w edge.Warning) bool { return w.Code == standing.Code && w.Subject == standing.Subject })
		if over && (standing.Code == codeTrust || standing.Code == codeRecovered) {
			a.warnings.Clear(standing.Code, standing.Subject)
		}
	}
	for _, w := range found {
		a.warnings.Raise(w)
	}
}
