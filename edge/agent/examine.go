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
	"holdfast/runtime/containerd"
)

// examineWithin bounds each question that another process has to answer.
const examineWithin = 3 * time.Second

// Examine checks the machine, containerd and the agent from outside, as a person
// would who stands before a node that does not do what it should.
func Examine(ctx context.Context, c config.Config) []host.Finding {
	findings := host.Check(ctx, host.CheckOptions{StateDir: c.Paths.State, RunDir: c.Paths.Run})
	return append(findings, examineDaemon(ctx, c), examineAgent(ctx, c))
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
