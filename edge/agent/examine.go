package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/edge/localapi"
	"holdfast/edge/trust"
	"holdfast/runtime/containerd"
)

// examineWithin bounds each question that another process has to answer.
const examineWithin = 3 * time.Second

// Examine checks the machine, containerd and the agent from outside, as a person
// would who stands before a node that does not do what it should.
func Examine(ctx context.Context, c config.Config, built time.Time) []host.Finding {
	findings := host.Check(ctx, host.CheckOptions{StateDir: c.Paths.State, RunDir: c.Paths.Run, Built: built})
	findings = append(findings, examineTrust(c)...)
	return append(findings, examineDaemon(ctx, c), examineAgent(ctx, c))
}

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

func examineDaemon(ctx context.Context, c config.Config) host.Finding {
	finding := host.Finding{Code: "containerd", Level: host.LevelFail, Subject: "containerd at " + c.Containerd.Address}
	report, err := askDaemon(ctx, c)
	if err == nil && report.Connected {
		finding.Level, finding.Detail = host.LevelOK, "answers as version "+report.Version
		return finding
	}
	finding.Detail = "does not answer: " + report.Error
	if err != nil {
		finding.Detail = err.Error()
	}
	finding.Remedy = "start it (systemctl start containerd), or name its socket with containerd.address"
	return finding
}

// askDaemon takes the first word there is from containerd.
func askDaemon(ctx context.Context, c config.Config) (report edge.DaemonReport, err error) {
	driver, err := containerd.New(containerd.Options{
		Address: c.Containerd.Address, Namespace: c.Containerd.Namespace,
		StateDir: c.Paths.State, RunDir: c.Paths.Run,
	})
	if err != nil {
		return report, err
	}
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	report.Error = fmt.Sprintf("no answer at %s within %v", c.Containerd.Address, examineWithin)
	err = driver.Watch(ctx, func(first edge.DaemonReport) {
		report = first
		cancel()
	})
	return report, errors.Join(err, driver.Close())
}

func examineAgent(ctx context.Context, c config.Config) host.Finding {
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	finding := host.Finding{Code: "agent", Level: host.LevelOK, Subject: "agent at " + c.API.Socket}
	status, err := localapi.Dial(c.API.Socket).Status(ctx)
	switch {
	case errors.Is(err, edge.ErrUnavailable):
		finding.Level, finding.Detail = host.LevelWarn, "does not answer"
		finding.Remedy = "systemctl start holdfast, or holdfast run"
	case err != nil:
		finding.Level, finding.Detail = host.LevelFail, err.Error()
	case len(status.Warnings) > 0:
		finding.Level, finding.Detail = host.LevelWarn, fmt.Sprintf("runs with %d warning(s)", len(status.Warnings))
		finding.Remedy = "see holdfast status"
	default:
		finding.Detail = fmt.Sprintf("runs as process %d", status.PID)
	}
	return finding
}
