package agent

import (
	"context"
	"log/slog"
	"os"
	"slices"
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
	codeNotAdmitted      = "workload-not-admitted"
	codeAPIToken         = "api-token"
	codeAPIGroup         = "api-group-unknown"
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
	later = append(later, in.Trust.changed(a.trust)...)
	a.warnRestart(later)
	a.take(in)
	a.heedSiteFile()
	a.keychain.Look()
	a.chronicle.Add(edge.Event{
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
		Remedy: restartRemedy(keys),
	})
}

// restartRemedy says what a restart means for what runs: nothing, unless the agent
// would look for it elsewhere afterwards.
func restartRemedy(keys []string) string {
	moved := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return !strings.HasPrefix(key, "containerd.") && !strings.HasPrefix(key, "paths.")
	})
	if len(moved) == 0 {
		return "systemctl restart holdfast; no workload stops"
	}
	return "before a restart with another " + strings.Join(moved, ", ") +
		" stop the workloads by an empty list of services: afterwards the agent no longer looks where they run"
}

// take puts inputs into force as far as that can be done live.
func (a *Agent) take(in Inputs) {
	if a.options.Level != nil {
		a.options.Level.Set(slog.Level(in.Config.Log.Level))
	}
	a.takeToken(in.Config)
	a.warnNotes(in.Warnings)
	if a.trust.Governs() {
		a.warnTrust(in.Trust)
		return
	}
	if in.WorkloadsErr != nil {
		a.warnings.Raise(edge.Warning{
			Code: codeWorkloadsUnknown, Subject: "workloads", Detail: in.WorkloadsErr.Error(),
			Remedy: "correct what workloads.compose names and send SIGHUP; what runs is kept as it is",
		})
		return
	}
	a.warnings.Clear(codeWorkloadsUnknown, "workloads")
	a.keychain.Desire(in.Workloads)
	a.want()
}

// warnNotes replaces what the last reading of the configuration found odd.
func (a *Agent) warnNotes(notes []string) {
	for _, standing := range a.warnings.All() {
		if standing.Code == codeConfigNote && !slices.Contains(notes, standing.Subject) {
			a.warnings.Clear(codeConfigNote, standing.Subject)
		}
	}
	for _, note := range notes {
		a.warnings.Raise(edge.Warning{Code: codeConfigNote, Subject: note, Detail: note})
	}
}
