package trust

import "holdfast/edge"

// Reasons of releases that this node cannot take.
const (
	ReasonPlatform = Reason("wrong_platform") // has no program for this machine
	ReasonReplaces = Reason("wrong_step")     // may not take the place of what runs here
)

// Runs is what a release is to take the place of.
type Runs struct {
	Platform string // such as linux/arm64
	Sequence uint64 // of what runs; 0: what the node was flashed with
}

// AcceptRelease is the one gate a release of the agent passes: signed, readable, not older
// than the floor, with a program for this machine, and allowed to follow what runs. Every
// error is a *Refusal; *Verified comes back as soon as there is one.
//
// That a release was accepted says nothing about the bytes of its program; they are held
// against its digests as they come.
func AcceptRelease(root *Root, floors Floors, runs Runs, envelope []byte) (*edge.Release, *Verified, error) {
	verified, err := Verify(root, RoleRelease, envelope)
	if err != nil {
		return nil, nil, err
	}
	release, err := edge.DecodeRelease(verified.Payload)
	if err != nil {
		return nil, verified, refuse(ReasonBadDocument, "%v", err)
	}
	if err := floors.Check(root, RoleRelease, release.Sequence); err != nil {
		return nil, verified, err
	}
	if _, has := release.Artifacts[runs.Platform]; !has {
		return nil, verified, refuse(ReasonPlatform, "release %s has no program for %s", release.Version, runs.Platform)
	}
	if runs.Sequence < release.Replaces {
		return nil, verified, refuse(ReasonReplaces, "release %s replaces sequence %d and later, this node runs %d", release.Version, release.Replaces, runs.Sequence)
	}
	return release, verified, nil
}
