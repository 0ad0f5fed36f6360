package host_test

import (
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"

	"holdfast/edge/host"
)

func TestReadFacts_Cgroups(t *testing.T) {
	for name, c := range map[string]struct {
		machine     machine
		version     string
		controllers string
	}{
		"V1":     {v1, "v1", "blkio cpu cpuacct freezer memory pids"},
		"V2":     {gateway, "v2", "cpu cpuset io memory pids"},
		"Hybrid": {hybrid, "hybrid", "blkio cpu cpuacct freezer memory pids"},
		"None":   {gateway.with(machine{"proc/self/mountinfo": "garbage\n1 2 3 - cgroup\n"}), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := host.ReadFacts(c.machine.build(t))
			if err != nil {
				t.Fatal(err)
			}
			if got.CgroupVersion != c.version || strings.Join(got.Controllers, " ") != c.controllers {
				t.Errorf("got %s with %q, want %s with %q", got.CgroupVersion, got.Controllers, c.version, c.controllers)
			}
		})
	}
}

func TestReadFacts_All(t *testing.T) {
	got, err := host.ReadFacts(gateway.build(t))
	if err != nil {
		t.Fatal(err)
	}
	want := host.Facts{
		Kernel: "6.1.0-28-arm64", OS: "Debian GNU/Linux 12 (bookworm)", Arch: goruntime.GOARCH, CPUs: goruntime.NumCPU(),
		CgroupVersion: "v2", Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"},
		Memory: 1_024_000_000, BootID: "5f0c9f0e-0000-4000-8000-000000000001",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	t.Run("WhatIsMissingIsNamed", func(t *testing.T) {
		root := gateway.without("proc/sys/kernel/random/boot_id").without("proc/self/mountinfo").without("etc/os-release").build(t)
		got, err := host.ReadFacts(root)
		if err == nil || !strings.Contains(err.Error(), "boot_id") || !strings.Contains(err.Error(), "mountinfo") {
			t.Errorf("got %v, want both missing files named", err)
		}
		if got.Kernel != want.Kernel || got.Memory != want.Memory || got.OS != "linux" {
			t.Errorf("got %+v, want the rest", got)
		}
	})
	t.Run("ThisMachine", func(t *testing.T) {
		got, err := host.ReadFacts("")
		if err != nil || got.Kernel == "" || got.Memory == 0 || len(got.BootID) != 36 {
			t.Errorf("got %+v, %v, want facts", got, err)
		}
	})
}
