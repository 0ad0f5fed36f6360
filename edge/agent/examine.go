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
	finding := host.Finding{Code: "containerd", Level: host.LevelFail, Subject: c.Containerd.Address}
	report, err := askDaemon(ctx, c)
	if err == nil && report.Connected {
		finding.Level, finding.Detail = host.LevelOK, "containerd "+report.Version+" answers at "+c.Containerd.Address
		return finding
	}
	finding.Detail = report.Error
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
	status, err := localapi.Dial(c.API.Socket).Status(ctx)
	switch {
	case errors.Is(err, edge.ErrUnavailable):
		return host.Finding{
			Code: "agent", Level: host.LevelWarn, Subject: c.API.Socket,
			Detail: "no agent answers at " + c.API.Socket, Remedy: "systemctl start holdfast, or holdfast run",
		}
	case err != nil:
		return host.Finding{Code: "agent", Level: host.LevelFail, Subject: c.API.Socket, Detail: err.Error()}
	case len(status.Warnings) > 0:
		return host.Finding{
			Code: "agent", Level: host.LevelWarn, Subject: c.API.Socket,
			Detail: fmt.Sprintf("runs with %d warning(s)", len(status.Warnings)), Remedy: "see holdfast status",
		}
	}
	return host.Finding{Code: "agent", Level: host.LevelOK, Subject: c.API.Socket, Detail: "runs, process " + fmt.Sprint(status.PID)}
}
