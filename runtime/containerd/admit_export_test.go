package containerd

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// Admit is the last look at a specification.
var Admit = admit

// VerifyBinds is the look at a container that stands ready, and PlaceOf how a path is
// found among what is mounted.
var VerifyBinds = verifyBinds

// PlaceOf finds a path by a mountinfo file.
func PlaceOf(name, mountinfo string) (device, path string) {
	at := placeOf(name, parseMounts([]byte(mountinfo)))
	return at.device, at.path
}

// Permit is what a specification may have.
type Permit = permit

// SpecOf makes the specification of a workload and what it may have, as a start does
// under a policy; nil is none.
func SpecOf(w edge.Workload, policy *edge.Policy) (*specs.Spec, Permit, error) {
	who := account{uid: nobody, gid: nobody}
	if w.Security.RunAsRoot {
		who = account{}
	}
	caps, err := capabilitiesOf(w.Security)
	if err != nil {
		return nil, Permit{}, err
	}
	lent, err := lend(w, who, policy)
	if err != nil {
		return nil, Permit{}, err
	}
	p := plan{
		id: "x", workload: w, config: processConfig{args: []string{"/x"}, dir: "/"}, account: who, caps: caps, given: lent,
		limits: edge.Limits{CPUs: 1, Memory: 64 << 20, Pids: 8}, cgroup: "/x", shared: "/run/x",
	}
	if w.Serve != nil {
		p.endpoint = "/run/model/model.sock"
	}
	s, err := p.spec(context.Background(), "test")
	return s, p.permit(), err
}
