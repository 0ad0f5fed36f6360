package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// machine starts the machine anew. Everything it does to the world can be put in its
// place.
type machine struct {
	root string // stands before /proc and /run; empty: the machine itself
	ask  func(ctx context.Context) error
	cut  func() error
}

// newMachine is the one the agent runs on. Systemd is asked where it runs the machine, so that every
// service ends in order; elsewhere the disks are synced and the kernel is told.
func newMachine() machine {
	return machine{
		ask: askForReboot,
		cut: func() error {
			unix.Sync()
			return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
		},
	}
}

// Reboot returns once the reboot is under way. Inside a container it is refused: what
// the fleet means is the machine.
func (m machine) Reboot(ctx context.Context) error {
	if inside := m.container(); inside != "" {
		return &edge.Refusal{Reason: edge.ReasonDenied, Detail: "the agent runs inside a container, as " + inside + " shows, and is not the machine's to start anew"}
	}
	reboot := m.cut
	if m.systemd() {
		reboot = func() error { return m.ask(ctx) }
	}
	if err := reboot(); err != nil {
		return fmt.Errorf("cannot reboot the machine: %w", err)
	}
	return nil
}

// systemd tells whether it is what the kernel started.
func (m machine) systemd() bool {
	name, err := os.ReadFile(m.root + "/proc/1/comm")
	if err != nil || strings.TrimSpace(string(name)) != "systemd" {
		return false
	}
	_, err = os.Stat(m.root + "/run/systemd/system")
	return err == nil
}

// container names what shows that this is no machine of its own; empty: nothing does.
func (m machine) container() string {
	for _, path := range [...]string{"/run/.containerenv", "/.dockerenv", "/run/systemd/container"} {
		if _, err := os.Stat(m.root + path); err == nil {
			return path
		}
	}
	environ, err := os.ReadFile(m.root + "/proc/1/environ")
	if err != nil {
		return "" // only root may read it, and only root may reboot
	}
	for variable := range strings.SplitSeq(string(environ), "\x00") {
		if strings.HasPrefix(variable, "container=") {
			return "the variable container of process 1"
		}
	}
	return ""
}

// askForReboot asks the service manager, so that everything ends in order.
func askForReboot(ctx context.Context) error {
	said, err := exec.CommandContext(ctx, "systemctl", "reboot").CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl reboot: %w: %.200s", err, strings.TrimSpace(string(said)))
	}
	return nil
}
