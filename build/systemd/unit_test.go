// Package systemd_test holds the unit against systemd's own reader and against the
// promises that hang on single lines of it.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unitFile = "holdfast.service"

func readUnit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings are the assignments of a unit by section and key: "Service.Type".
func settings(unit string) map[string][]string {
	found, section := map[string][]string{}, ""
	for line := range strings.Lines(unit) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			found[section+"."+key] = append(found[section+"."+key], value)
		}
	}
	return found
}

// TestUnit_Promises checks the lines that keep a promise of the agent.
func TestUnit_Promises(t *testing.T) {
	unit := settings(readUnit(t))
	for key, want := range map[string]struct{ value, why string }{
		"Service.Type":                     {"notify", "READY is said, not guessed"},
		"Service.ExecStart":                {"/usr/bin/holdfast launch", "the program that is never changed chooses the version"},
		"Service.NotifyAccess":             {"main", "the version that runs is the launcher's own process"},
		"Service.WatchdogSec":              {"30", "a stuck agent is restarted"},
		"Service.Restart":                  {"always", "nobody may be there to start it"},
		"Unit.StartLimitIntervalSec":       {"0", "systemd must never give up on it"},
		"Service.KillMode":                 {"process", "stopping the agent never stops a workload"},
		"Unit.Wants":                       {"containerd.service", "the agent governs without containerd"},
		"Service.RuntimeDirectoryPreserve": {"yes", "running instances serve on sockets in it"},
		"Service.ExecReload":               {"/bin/sh -c 'kill -HUP $$MAINPID'", "SIGHUP rereads the configuration"},
		"Service.NoNewPrivileges":          {"yes", "nothing it starts gains rights"},
		"Service.ProtectSystem":            {"strict", "it writes in its own folders only"},
		"Service.DevicePolicy":             {"closed", "it opens no devices"},
	} {
		if got := unit[key]; !slices.Equal(got, []string{want.value}) {
			t.Errorf("%s is %q, want %q: %s", key, got, want.value, want.why)
		}
	}
	for _, absent := range []string{
		"Unit.Requires", "Unit.BindsTo", "Unit.PartOf", // containerd would take the agent along
		"Service.PrivateMounts", "Service.PrivateTmp", "Service.ProtectControlGroups", // paths and cgroups are shared with containerd
	} {
		if got := unit[absent]; got != nil {
			t.Errorf("%s is %q, want it absent", absent, got)
		}
	}
}

// TestUnit_Verify lets systemd read the unit. It must have nothing to say.
func TestUnit_Verify(t *testing.T) {
	unit := readUnit(t)
	if complaint := verify(t, unit); complaint != "" {
		t.Errorf("systemd says:\n%s", complaint)
	}
	for name, broken := range map[string]string{
		"MisspeltKey": strings.Replace(unit, "KillMode=", "KilMode=", 1),
		"BadValue":    strings.Replace(unit, "WatchdogSec=30", "WatchdogSec=often", 1),
		"NoSuchCall":  strings.Replace(unit, "@system-service", "@no-such-set", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if verify(t, broken) == "" {
				t.Error("systemd said nothing about a broken unit: this check cannot fail")
			}
		})
	}
}

// TestNetworks_DropIn: with it the unit is one that systemd understands, and the agent
// has the rights that the driver's test of networks gives it, and no more than before.
func TestNetworks_DropIn(t *testing.T) {
	text, err := os.ReadFile("networks.conf")
	if err != nil {
		t.Fatal(err)
	}
	unit, more := readUnit(t), settings(string(text))
	both := strings.Replace(unit, "[Install]", string(text)+"[Install]", 1)
	if complaint := verify(t, both); complaint != "" {
		t.Errorf("systemd says:\n%s", complaint)
	}
	if got := more["Service.CapabilityBoundingSet"]; !slices.Equal(got, []string{"CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_NET_BIND_SERVICE"}) {
		t.Errorf("got capabilities %q", got)
	}
	if len(more) != 3 {
		t.Errorf("got %v, want three settings and no other", more)
	}
}

// verify returns systemd's complaints. The binary is not installed where the tests
// run, so another stands in for it.
func verify(t *testing.T, unit string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing; run: make provision")
	}
	name := filepath.Join(t.TempDir(), unitFile)
	unit = strings.Replace(unit, "ExecStart=/usr/bin/holdfast launch", "ExecStart=/bin/true", 1)
	if err := os.WriteFile(name, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", name).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("cannot run systemd-analyze: %v", err)
	}
	return string(out)
}

// TestUnit_Exposure bounds what systemd itself counts as open: 10 is everything. The bound
// is what it says today; a unit that opens more has to say why, and raise it.
func TestUnit_Exposure(t *testing.T) {
	said, err := exposure(t, readUnit(t))
	t.Log(said)
	if err != nil {
		t.Errorf("exposure is above %s: %v", bound, err)
	}
	loose := strings.Replace(readUnit(t), "DevicePolicy=closed\n", "", 1)
	if said, err := exposure(t, loose); err == nil {
		t.Errorf("without one of its walls the unit passed with %q: the bound is too wide", said)
	}
	bare := "[Service]\nExecStart=/usr/bin/holdfast launch\n"
	if _, err := exposure(t, bare); err == nil {
		t.Error("a unit without any sandbox passed: this check cannot fail")
	}
}

// bound is in tenths, as systemd takes it.
const bound = "31"

// exposure returns systemd's sum, and an error if it is above the bound.
func exposure(t *testing.T, unit string) (said string, err error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), unitFile)
	if err := os.WriteFile(name, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+bound, name).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], err
}
