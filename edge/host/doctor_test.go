package host_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge/host"
)

// sound is what Check sees on a machine where all is well.
func sound(t testing.TB, m machine) host.CheckOptions {
	t.Helper()
	folder := t.TempDir()
	runc, shim := filepath.Join(folder, "runc"), filepath.Join(folder, "shim")
	write(t, shim, "#!/bin/sh\necho 'containerd-shim-runc-v2:'\necho '  Version:  v2.2.1'\n")
	write(t, runc, "#!/bin/sh\necho 'runc version 1.1.5+ds1'\necho 'spec: 1.0.2-dev'\n")
	return host.CheckOptions{
		Root: m.build(t), StateDir: folder, RunDir: filepath.Join(folder, "run"), Runc: runc, Shim: shim,
		Now: time.Now(),
	}.WithTick(func(*unix.Timex) (int, error) { return 0, nil })
}

// ofThisMachine are the findings that no laid out machine changes.
var ofThisMachine = []string{"disk", "disk-sync", "persistence"}

func check(t testing.TB, o host.CheckOptions) map[string]host.Finding {
	t.Helper()
	byCode := map[string]host.Finding{}
	for _, f := range host.Check(t.Context(), o) {
		if _, twice := byCode[f.Code]; twice {
			t.Errorf("got %s twice", f.Code)
		}
		if (f.Level == host.LevelOK) != (f.Remedy == "") || f.Subject == "" || f.Detail == "" {
			t.Errorf("got %+v, want a remedy just when something is wrong", f)
		}
		byCode[f.Code] = f
	}
	return byCode
}

func TestCheck_SoundMachines(t *testing.T) {
	for name, m := range map[string]machine{"V1": v1, "V2": gateway, "Hybrid": hybrid} {
		t.Run(name, func(t *testing.T) {
			o := sound(t, m)
			for code, f := range check(t, o) {
				if f.Level != host.LevelOK && !slices.Contains(ofThisMachine, code) {
					t.Errorf("got %+v, want ok", f)
				}
			}
			left, err := os.ReadDir(o.StateDir)
			if err != nil || len(left) != 2 { // runc and the shim
				t.Errorf("got %v left behind, %v", left, err)
			}
		})
	}
}

// follows are the findings that turn with another one.
var follows = map[string][]string{
	"OldKernel": {"cpu-idle"}, "StrangeKernel": {"cpu-idle"}, "NoCgroups": {"freezer"}, "NoControllerFile": {"freezer"},
}

// TestCheck_Defects breaks one thing at a time: just its finding turns.
func TestCheck_Defects(t *testing.T) {
	for name, c := range map[string]struct {
		machine machine
		code    string
		level   host.Level
	}{
		"OldKernel":         {v1.with(machine{"proc/sys/kernel/osrelease": "4.14.98-bsp"}), "kernel", host.LevelFail},
		"StrangeKernel":     {v1.with(machine{"proc/sys/kernel/osrelease": "mainline"}), "kernel", host.LevelWarn},
		"NoPids":            {gateway.without("proc/self/ns/pid"), "namespaces", host.LevelFail},
		"NoUsers":           {gateway.without("proc/self/ns/user"), "namespaces", host.LevelWarn},
		"NoIO":              {gateway.with(machine{"sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n"}), "cgroups", host.LevelWarn},
		"NoFreezerV1":       {v1.with(machine{"proc/self/mountinfo": strings.ReplaceAll(v1Mounts, "freezer", "perf_event")}), "freezer", host.LevelWarn},
		"NoIdle":            {gateway.with(machine{"proc/sys/kernel/osrelease": "5.10.0"}), "cpu-idle", host.LevelWarn},
		"NoSeccomp":         {gateway.without("proc/sys/kernel/seccomp/actions_avail"), "seccomp", host.LevelFail},
		"NoOverlay":         {gateway.with(machine{"proc/filesystems": "\text4\n"}), "overlayfs", host.LevelFail},
		"NoCgroups":         {gateway.with(machine{"proc/self/mountinfo": "\n"}), "cgroups", host.LevelFail},
		"NoMemoryV2":        {gateway.with(machine{"sys/fs/cgroup/cgroup.controllers": "cpu io pids\n"}), "cgroups", host.LevelFail},
		"NoControllerFile":  {gateway.without("sys/fs/cgroup/cgroup.controllers"), "cgroups", host.LevelFail},
		"NoPidsV1":          {v1.with(machine{"proc/self/mountinfo": strings.ReplaceAll(v1Mounts, "pids", "misc")}), "cgroups", host.LevelFail},
		"FewFiles":          {gateway.with(machine{"proc/self/limits": "Max open files 256 1024 files\n"}), "open-files", host.LevelWarn},
		"FilesUnreadable":   {gateway.with(machine{"proc/self/limits": "Max processes 1 1 processes\n"}), "open-files", host.LevelWarn},
		"UnlimitedFilesFit": {gateway.with(machine{"proc/self/limits": "Max open files 1024 unlimited files\n"}), "open-files", host.LevelOK},
		"OverlayAsModule": {gateway.with(machine{
			"proc/filesystems": "\text4\n", "lib/modules/6.1.0-28-arm64/kernel/fs/overlayfs/overlay.ko.xz": "",
		}), "overlayfs", host.LevelOK},
	} {
		t.Run(name, func(t *testing.T) {
			for code, f := range check(t, sound(t, c.machine)) {
				if slices.Contains(ofThisMachine, code) {
					continue
				}
				want := host.LevelOK
				if slices.Contains(follows[name], code) {
					want = host.LevelWarn
				}
				if code == c.code {
					want = c.level
				}
				if f.Level != want {
					t.Errorf("got %+v, want %s", f, want)
				}
			}
		})
	}
}

func TestCheck_Folders(t *testing.T) {
	o := sound(t, gateway)
	file := filepath.Join(o.StateDir, "file")
	write(t, file, "")
	for name, c := range map[string]struct {
		folder string
		want   host.Level
	}{
		"There":     {o.StateDir, host.LevelOK},
		"NotYet":    {filepath.Join(o.StateDir, "a", "b"), host.LevelOK},
		"File":      {file, host.LevelFail},
		"BelowFile": {filepath.Join(file, "a"), host.LevelFail},
		"ReadOnly":  {"/proc/holdfast", host.LevelFail},
		"Unmakable": {"/proc/self", host.LevelFail},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.RunDir = c.folder
			if got := check(t, o)["run-folder"]; got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestCheck_Persistence(t *testing.T) {
	o := sound(t, gateway)
	o.StateDir = "/sys/fs" // not tmpfs, and not a disk either: told apart by name only
	if got := check(t, o)["persistence"]; got.Level != host.LevelOK {
		t.Errorf("got %+v, want ok", got)
	}
	var stat unix.Statfs_t
	const memory = "/dev/shm"
	if err := unix.Statfs(memory, &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		t.Logf("%s is not in memory here (%v): only the other half is tested", memory, err)
		return
	}
	o.StateDir = filepath.Join(memory, "holdfast")
	if got := check(t, o)["persistence"]; got.Level != host.LevelWarn {
		t.Errorf("got %+v, want a warning", got)
	}
}

func TestCheck_Clock(t *testing.T) {
	built := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		now  time.Time
		want host.Level
	}{
		"Epoch":     {time.Unix(5, 0), host.LevelWarn},
		"DayBefore": {built.AddDate(0, 0, -1), host.LevelWarn},
		"DayAfter":  {built.AddDate(0, 0, 1), host.LevelOK},
		"FarFuture": {built.AddDate(80, 0, 0), host.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			o := sound(t, gateway)
			o.Built, o.Now = built, c.now
			if got := check(t, o)["clock"]; got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestCheck_Entropy(t *testing.T) {
	for err, want := range map[error]host.Level{nil: host.LevelOK, unix.EAGAIN: host.LevelWarn, unix.ENOSYS: host.LevelFail} {
		o := sound(t, gateway).WithRandom(func([]byte, int) (int, error) { return 0, err })
		if got := check(t, o)["entropy"]; got.Level != want {
			t.Errorf("%v: got %+v, want %s", err, got, want)
		}
	}
}

func TestCheck_Runc(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   host.Level
	}{
		"Current":   {"echo runc version 1.3.0", host.LevelOK},
		"Candidate": {"echo runc version 1.4.0-rc.1", host.LevelOK},
		"Old":       {"echo runc version 1.0.3", host.LevelWarn},
		"Stranger":  {"echo crun version 1.8", host.LevelFail},
		"Overflow":  {"echo runc version 99999999999999999999.1.1", host.LevelFail},
		"Failing":   {"exit 3", host.LevelFail},
		"Hanging":   {"exec sleep 600", host.LevelFail},
	} {
		t.Run(name, func(t *testing.T) {
			o := sound(t, gateway)
			o.Patience = 5 * time.Second
			if name == "Hanging" {
				o.Patience = 50 * time.Millisecond
			}
			write(t, o.Runc, "#!/bin/sh\n"+c.script+"\n")
			if got := check(t, o)["runc"]; got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
	t.Run("Absent", func(t *testing.T) {
		o := sound(t, gateway)
		o.Runc = filepath.Join(t.TempDir(), "runc")
		if got := check(t, o)["runc"]; got.Level != host.LevelFail {
			t.Errorf("got %+v, want fail", got)
		}
	})
}

func TestCheck_Socket(t *testing.T) {
	o := sound(t, gateway)
	o.ContainerdAddress = filepath.Join(t.TempDir(), "c.sock")
	if got := check(t, o)["containerd-socket"]; got.Level != host.LevelFail {
		t.Errorf("got %+v without a daemon, want fail", got)
	}
	listener, err := net.Listen("unix", o.ContainerdAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if got := check(t, o)["containerd-socket"]; got.Level != host.LevelOK {
		t.Errorf("got %+v with a listener, want ok", got)
	}
}

// TestCheck_ThisMachine only has to end and to say something of each kind.
func TestCheck_ThisMachine(t *testing.T) {
	got := check(t, host.CheckOptions{StateDir: t.TempDir(), RunDir: t.TempDir()})
	for code, f := range got {
		t.Logf("%-12s %-4s %s: %s", code, f.Level, f.Subject, f.Detail)
	}
	if len(got) != 19 {
		t.Errorf("got %d findings, want 19", len(got))
	}
}
