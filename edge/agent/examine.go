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
)

// Doctor examines a node from outside, as a person would who stands before one that does
// not do what it should, and does what is safe about it.
type Doctor struct {
	Config config.Config
	Built  time.Time           // of the program
	Getenv func(string) string // for the credentials of brokers
	// ContainerdConfig is containerd's configuration, which says where it keeps what it
	// has; empty: where containerd looks for it.
	ContainerdConfig string
}

// examineWithin bounds each question that another process has to answer.
const examineWithin = 3 * time.Second

// Examine looks at everything and changes nothing that stays. It ends within half a
// minute, whatever hangs, but for metadata of containerd that is larger than 50 MB.
func (d Doctor) Examine(ctx context.Context) []host.Finding {
	c := d.Config
	daemon := d.askDaemon(ctx)
	status, statusErr := d.askAgent(ctx)
	findings := host.Check(ctx, d.checks(daemon, status))
	for _, examine := range []func() []host.Finding{
		func() []host.Finding { return d.examineDaemon(daemon) },
		func() []host.Finding { return []host.Finding{d.examineMetadata(ctx, daemon)} },
		func() []host.Finding { return d.examineNetworks(daemon, status) },
		func() []host.Finding { return examineTrust(c) },
		func() []host.Finding { return []host.Finding{d.examinePolicy(status)} },
		func() []host.Finding { return d.examineStore(ctx, status) },
		func() []host.Finding { return d.examineBrokers(ctx, status) },
		func() []host.Finding { return []host.Finding{examineAgent(c, status, statusErr)} },
		func() []host.Finding { return examineVersion(status) },
		func() []host.Finding { return examineSystem(status) },
	} {
		findings = append(findings, examine()...)
	}
	return findings
}

// Examine is the examination of a node by what its configuration and the program say.
func Examine(ctx context.Context, c config.Config, built time.Time) []host.Finding {
	return Doctor{Config: c, Built: built}.Examine(ctx)
}

// checks say what is looked at in the machine.
func (d Doctor) checks(daemon daemonWord, status *edge.Status) host.CheckOptions {
	c := d.Config
	o := host.CheckOptions{
		StateDir: c.Paths.State, RunDir: c.Paths.Run, Built: d.Built,
		Beside: daemon.program, ContainerdVersion: daemon.Version,
	}
	if place, err := d.place(); err == nil {
		o.ContainerdRoot = place.Root
	}
	if c.API.Listen != "" {
		port := host.Port{Code: "api-port", Address: c.API.Listen}
		if status != nil {
			port.Owner = status.PID
		}
		o.Ports = append(o.Ports, port)
	}
	return o
}

// askAgent gives the running agent's own account; nil with the reason when there is none.
func (d Doctor) askAgent(ctx context.Context) (*edge.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	client := localapi.Dial(d.Config.API.Socket)
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &status, nil
}

func examineAgent(c config.Config, status *edge.Status, err error) host.Finding {
	finding := host.Finding{Code: "agent", Level: host.LevelOK, Subject: "agent at " + c.API.Socket}
	switch {
	case errors.Is(err, edge.ErrUnavailable):
		finding.Level, finding.Detail = host.LevelWarn, "does not answer"
		finding.Remedy = "systemctl start holdfast, or holdfast run"
	case err != nil:
		finding.Level, finding.Detail = host.LevelFail, err.Error()
		finding.Remedy = "systemctl restart holdfast; its log says more: journalctl -u holdfast"
	case len(status.Warnings) > 0:
		finding.Level, finding.Detail = host.LevelWarn, fmt.Sprintf("runs with %d warning(s)", len(status.Warnings))
		finding.Remedy = "see holdfast status"
	default:
		finding.Detail = fmt.Sprintf("runs as process %d", status.PID)
	}
	return finding
}

// found is a finding that is well until something turns it.
func found(code, subject, detail string) host.Finding {
	return host.Finding{Code: code, Level: host.LevelOK, Subject: subject, Detail: detail}
}

// turned is a finding of something that is not as it should be.
func turned(f host.Finding, level host.Level, detail, remedy string) host.Finding {
	f.Level, f.Detail, f.Remedy = level, detail, remedy
	return f
}
