package trust

import "holdfast/edge"

// AcceptPolicy is the one gate a policy passes, on arrival and at every load from
// disk: signed, readable, meant for this node, not older than the floor. The order
// is that of trust: what a document says is not looked at before it is verified.
// Every error is a *Refusal; *Verified comes back as soon as there is one, so that
// status can name the signers of a document that was refused for what it says.
func AcceptPolicy(root *Root, floors Floors, node edge.Identity, envelope []byte) (*edge.Policy, *Verified, error) {
	verified, err := Verify(root, RolePolicy, envelope)
	if err != nil {
		return nil, nil, err
	}
	policy, err := edge.DecodePolicy(verified.Payload)
	if err != nil {
		return nil, verified, refuse(ReasonBadDocument, "%v", err)
	}
	if err := CheckAudience(policy.Metadata.Audience, node); err != nil {
		return nil, verified, err
	}
	if err := floors.Check(root, RolePolicy, policy.Metadata.Version); err != nil {
		return nil, verified, err
	}
	return policy, verified, nil
}

// CheckAudience refuses a document that is meant for other nodes.
func CheckAudience(audience edge.Audience, node edge.Identity) error {
	if !audience.Matches(node) {
		return refuse(ReasonAudience, "meant for %v, this is node %s", audience, node.Node)
	}
	return nil
}
