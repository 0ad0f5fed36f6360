package trust_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// released is a release with a program of two pieces for one machine.
func released(change func(*edge.Release)) edge.Release {
	digest := "sha256:" + strings.Repeat("ab", 32)
	r := edge.Release{
		APIVersion: edge.APIVersion, Kind: edge.ReleaseKind, Version: "1.5.0", Sequence: 7,
		Artifacts: map[string]edge.Artifact{"linux/arm64": {Size: edge.PieceSize + 1, Digest: digest, Pieces: []string{digest, digest}}},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func signRelease(t *testing.T, r edge.Release, seeds ...byte) []byte {
	t.Helper()
	payload, err := json.Marshal(r) // as it stands: what is refused could not be encoded
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, trust.TypeRelease, payload, seeds...)
}

func TestAcceptRelease(t *testing.T) {
	root := firstRoot(t)
	arm := trust.Runs{Platform: "linux/arm64", Sequence: 5}
	floor := trust.Floors{}.Raise(root, trust.RoleRelease, 7)
	payload, err := released(nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		envelope []byte
		floors   trust.Floors
		runs     trust.Runs
		want     trust.Reason
	}{
		{name: "Taken", envelope: sign(t, trust.TypeRelease, payload, releaseKey), floors: floor, runs: arm},
		{name: "NotSigned", envelope: payload, runs: arm, want: trust.ReasonBadEnvelope},
		{name: "PolicyKeys", envelope: sign(t, trust.TypeRelease, payload, policyA, policyB), runs: arm, want: trust.ReasonWrongRole},
		{name: "Stranger", envelope: sign(t, trust.TypeRelease, payload, stranger), runs: arm, want: trust.ReasonUnknownKey},
		{name: "SignedAsPolicy", envelope: sign(t, trust.TypePolicy, payload, releaseKey), runs: arm, want: trust.ReasonWrongType},
		{name: "BelowTheFloor", envelope: sign(t, trust.TypeRelease, payload, releaseKey), floors: floor.Raise(root, trust.RoleRelease, 8), runs: arm, want: trust.ReasonRollback},
		{name: "OtherMachine", envelope: sign(t, trust.TypeRelease, payload, releaseKey), runs: trust.Runs{Platform: "linux/amd64"}, want: trust.ReasonPlatform},
		{name: "SkipsAStep", envelope: signRelease(t, released(func(r *edge.Release) { r.Replaces = 6 }), releaseKey), runs: arm, want: trust.ReasonReplaces},
		{name: "NoSequence", envelope: signRelease(t, released(func(r *edge.Release) { r.Sequence = 0 }), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "SpaceInVersion", envelope: signRelease(t, released(func(r *edge.Release) { r.Version = "1 5" }), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "NoProgram", envelope: signRelease(t, released(func(r *edge.Release) { r.Artifacts = nil }), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "PathForAMachine", envelope: signRelease(t, other(func(a *edge.Artifact) {}, "linux/../../etc"), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "TooFewPieces", envelope: signRelease(t, other(func(a *edge.Artifact) { a.Pieces = a.Pieces[:1] }, "linux/arm64"), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "NoDigest", envelope: signRelease(t, other(func(a *edge.Artifact) { a.Digest = "md5:00" }, "linux/arm64"), releaseKey), runs: arm, want: trust.ReasonBadDocument},
		{name: "Enormous", envelope: signRelease(t, other(func(a *edge.Artifact) { a.Size = 1 << 40 }, "linux/arm64"), releaseKey), runs: arm, want: trust.ReasonBadDocument},
	} {
		t.Run(c.name, func(t *testing.T) {
			release, _, err := trust.AcceptRelease(root, c.floors, c.runs, c.envelope)
			if got := trust.ReasonOf(err); got != c.want || (err == nil) != (release != nil) {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	t.Run("NoRoot", func(t *testing.T) {
		_, _, err := trust.AcceptRelease(nil, nil, arm, sign(t, trust.TypeRelease, payload, releaseKey))
		if got := trust.ReasonOf(err); got != trust.ReasonNoRoot {
			t.Errorf("got %q, want %q", got, trust.ReasonNoRoot)
		}
	})
}

// other is a release whose program is changed and named for another machine.
func other(change func(*edge.Artifact), platform string) edge.Release {
	r := released(nil)
	artifact := r.Artifacts["linux/arm64"]
	change(&artifact)
	r.Artifacts = maps.Clone(r.Artifacts)
	clear(r.Artifacts)
	r.Artifacts[platform] = artifact
	return r
}

func FuzzDecodeRelease(f *testing.F) {
	payload, err := released(nil).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		release, err := edge.DecodeRelease(payload)
		if err != nil {
			return
		}
		again, err := release.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if twice, err := edge.DecodeRelease(again); err != nil || twice.Sequence != release.Sequence {
			t.Errorf("read again it is %+v: %v", twice, err)
		}
	})
}
