package agent

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"holdfast/edge"
	"holdfast/edge/config"
)

// The codes of the warnings the hall itself raises.
const (
	codeDaemonDown       = "containerd-down"
	codeConfigRefused    = "config-refused"
	codeConfigNote       = "config-note"
	codeRestartNeeded    = "restart-needed"
	codeWorkloadsUnknown = "workloads-unknown"
)

// reloadOn reads the inputs anew at each signal. Whatever is wrong with them,
// what was accepted before stays in force.
func (a *Agent) reloadOn(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			a.reload()
		}
	}
}

func (a *Agent) reload() {
	in, err := a.options.Load()
	if err != nil {
		a.warnings.Raise(edge.Warning{
			Code: codeConfigRefused, Subject: "reload", Detail: err.Error(),
			Remedy: "correct it and send SIGHUP again; the configuration read before stays in force",
		})
		return
	}
	a.warnings.Clear(codeConfigRefused, "reload")
	live, later := config.Diff(*a.config.Load(), in.Config)
	in.Config = config.Live(*a.config.Load(), in.Config)
	a.config.Store(&in.Config)
	a.warnRestart(later)
	a.take(in)
	a.journal.Add(edge.Event{
		Kind: edge.EventAgentReloaded, Subject: in.Config.Node.Name, Cause: "SIGHUP",
		Facts: map[string]string{"changed": strings.Join(live, " "), "needsRestart": strings.Join(later, " ")},
	})
}

// warnRestart names what was changed and cannot take effect while running.
func (a *Agent) warnRestart(keys []string) {
	if len(keys) == 0 {
		a.warnings.Clear(codeRestartNeeded, "configuration")
		return
	}
	a.warnings.Raise(edge.Warning{
		Code: codeRestartNeeded, Subject: "configuration", Detail: "changed, in force after a restart: " + strings.Join(keys, ", "),
		Remedy: "systemctl restart holdfast; no workload stops",
	})
}

// take puts inputs into force as far as that can be done live.
func (a *Agent) take(in Inputs) {
	if a.options.Level != nil {
		a.options.Level.Set(slog.Level(in.Config.Log.Level))
	}
	for _, note := range in.Warnings {
		a.warnings.Raise(edge.Warning{Code: codeConfigNote, Subject: note, Detail: note})
	}
	if in.WorkloadsErr != nil {
		a.warnings.Raise(edge.Warning{
			Code: codeWorkloadsUnknown, Subject: in.Config.Workloads.Compose, Detail: in.WorkloadsErr.Error(),
			Remedy: "correct the file and send SIGHUP; what runs is kept as it is",
		})
		return
	}
	a.warnings.Clear(codeWorkloadsUnknown, in.Config.Workloads.Compose)
	a.workloads.Store(&in.Workloads)
	a.supervisor.Apply(in.Workloads)
}

// tryAgain starts at once what could not be started so far, instead of when its
// turn comes: something it may have waited for has arrived.
func (a *Agent) tryAgain() {
	if workloads := a.workloads.Load(); workloads != nil {
		a.supervisor.Apply(*workloads)
	}
}
