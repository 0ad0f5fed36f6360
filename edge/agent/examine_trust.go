package agent

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/edge/trust"
)

// examineTrust looks at what came with the node: whom it believes, and whether it
// would believe its factory policy.
func examineTrust(c config.Config) []host.Finding {
	came := ReadTrust(c.Policy, c.Paths.State)
	root := host.Finding{Code: "trust", Level: host.LevelOK, Subject: "root document " + c.Policy.Root}
	switch {
	case !came.Governs():
		root.Detail = "is not there: no policy governs this node, its workloads come from a Compose file"
		return []host.Finding{root}
	case came.Root == nil:
		root.Level, root.Detail = host.LevelFail, came.Err.Error()
		root.Remedy = came.remedy() + "; `holdfast policy init` wrote the root document as root.json"
		return []host.Finding{root}
	case came.Recovered != nil:
		root.Level, root.Remedy = host.LevelWarn, came.remedy()
		root.Detail = fmt.Sprintf("cannot be used, the copy of version %d in %s counts: %v", came.Root.Version, c.Paths.State, came.Recovered)
	default:
		root.Detail = fmt.Sprintf("is version %d", came.Root.Version)
	}
	return []host.Finding{root, examineFactory(c, came)}
}

func examineFactory(c config.Config, came Trust) host.Finding {
	factory := host.Finding{Code: "factory-policy", Level: host.LevelOK, Subject: "factory policy " + c.Policy.Factory}
	if came.Err != nil {
		factory.Level, factory.Detail = host.LevelFail, came.Err.Error()
		factory.Remedy = "put the factory policy of the fleet there"
		return factory
	}
	if len(came.Factory) == 0 {
		factory.Level, factory.Detail = host.LevelWarn, "is not there: until a policy is applied nothing is allowed"
		factory.Remedy = "flash one, or use `holdfast policy apply`"
		return factory
	}
	policy, _, err := trust.AcceptPolicy(came.Root, nil, c.Node.Identity(), came.Factory)
	if err != nil {
		factory.Level, factory.Detail = host.LevelFail, "is not believed: "+err.Error()
		factory.Remedy = "flash one that is signed for this node; node.name, node.groups and node.labels say who it is"
		return factory
	}
	factory.Detail = fmt.Sprintf("is %s version %d", policy.Metadata.Name, policy.Metadata.Version)
	return factory
}

// examinePolicy says what governs the node: by the agent's word, and without an agent by
// what it would find.
func (d Doctor) examinePolicy(status *edge.Status) host.Finding {
	f := found("policy", "policy in force", "")
	if status == nil {
		return d.foreseePolicy(f)
	}
	p := status.Policy
	name := fmt.Sprintf("is %s version %d (%s)", p.Name, p.Version, p.State)
	switch {
	case !p.Governed:
		f.Detail = "none: this node's workloads come from a Compose file"
	case p.State == "none":
		return turned(f, host.LevelWarn, "there is none, so nothing is allowed", "apply one: holdfast policy apply FILE")
	case p.State == "degraded":
		return turned(f, host.LevelWarn, name+"; its lease has ended, so nothing new is allowed",
			"connect the node to its fleet, or apply a policy: holdfast policy apply FILE")
	case !p.Kept:
		return turned(f, host.LevelWarn, name+", and is kept in memory only", "see disk, disk-sync and store")
	case p.FailedVersion > p.Version:
		return turned(f, host.LevelWarn, fmt.Sprintf("%s, because version %d was taken back: %s", name, p.FailedVersion, p.FailedWhy),
			"correct what is said there and sign a newer version")
	default:
		f.Detail = name
	}
	return f
}

func (d Doctor) foreseePolicy(f host.Finding) host.Finding {
	came := ReadTrust(d.Config.Policy, d.Config.Paths.State)
	if !came.Governs() {
		f.Detail = "none: this node's workloads come from a Compose file"
		return f
	}
	best := (*edge.Policy)(nil)
	for _, policy := range d.policies() {
		if best == nil || policy.Metadata.Version > best.Metadata.Version {
			best = policy
		}
	}
	if best == nil {
		return turned(f, host.LevelWarn, "the agent would find none that it believes, so nothing would be allowed",
			"apply one once the agent runs: holdfast policy apply FILE")
	}
	f.Detail = fmt.Sprintf("the agent does not run; it would find %s version %d", best.Metadata.Name, best.Metadata.Version)
	return f
}

// policies lists what lies on disk of policies that this node believes.
func (d Doctor) policies() (list []*edge.Policy) {
	came := ReadTrust(d.Config.Policy, d.Config.Paths.State)
	if came.Root == nil {
		return nil
	}
	keep := func(root *trust.Root, envelope []byte) {
		if policy, _, err := trust.AcceptPolicy(root, nil, d.Config.Node.Identity(), envelope); err == nil {
			list = append(list, policy)
		}
	}
	if len(came.Factory) > 0 {
		keep(came.Root, came.Factory)
	}
	for _, name := range []string{"policy.A", "policy.B"} {
		roots, envelope := readCopy(filepath.Join(d.Config.Paths.State, name))
		if len(envelope) == 0 {
			continue
		}
		if root, err := trust.FollowRoots(came.Root, roots...); err == nil {
			keep(root, envelope)
		}
	}
	return list
}

// mostOfCopy is what one copy of a policy has room for.
const mostOfCopy = 17 * trust.MaxEnvelope

// readCopy reads a file that the policy cache keeps beside its database: a line about
// itself, roots that lead to whoever signed the policy, and the policy.
func readCopy(path string) (roots [][]byte, envelope []byte) {
	text, err := readRegular(path, mostOfCopy)
	if err != nil {
		return nil, nil
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(lines) < 2 {
		return nil, nil
	}
	return lines[1 : len(lines)-1], lines[len(lines)-1]
}

// wanted are the digests of the images that policies on this node name.
func (d Doctor) wanted() (digests []string) {
	for _, policy := range d.policies() {
		for _, w := range policy.Workloads {
			if _, digest, found := strings.Cut(w.Image, "@"); found {
				digests = append(digests, digest)
			}
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

var errNobodyKnows = errors.New("nobody knows where this containerd keeps what it has")
