package privated

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// dropContainers kills and deletes every container of every namespace.
func (d *Daemon) dropContainers(ctx context.Context) error {
	listing, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	namespaces, err := d.ctr(listing, "namespaces", "list", "--quiet")
	if err != nil {
		return fmt.Errorf("cannot list namespaces: %w", err)
	}
	var failed []error
	for _, namespace := range strings.Fields(namespaces) {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		err := errors.Join(d.dropNamespace(ctx, namespace), ctx.Err())
		cancel()
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("cannot drop containers of %q: %w", namespace, err))
		if errors.Is(err, context.DeadlineExceeded) {
			break // a daemon that hangs is not waited for once in each
		}
	}
	return errors.Join(failed...)
}

func (d *Daemon) dropNamespace(ctx context.Context, namespace string) error {
	tasks, err := d.ctr(ctx, "--namespace", namespace, "tasks", "list", "--quiet")
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range strings.Fields(tasks) {
		if _, err := d.ctr(ctx, "--namespace", namespace, "tasks", "delete", "--force", id); err != nil {
			failed = append(failed, err)
		}
	}
	containers, err := d.ctr(ctx, "--namespace", namespace, "containers", "list", "--quiet")
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	for _, id := range strings.Fields(containers) {
		if _, err := d.ctr(ctx, "--namespace", namespace, "containers", "delete", id); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// ctr runs the daemon's own client and returns what it printed.
func (d *Daemon) ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", d.lay.socket}, args...)
	out, err := exec.CommandContext(ctx, d.Tool("ctr"), args...).Output()
	if err == nil {
		return string(out), nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("ctr %s: %s", strings.Join(args[2:], " "), strings.TrimSpace(string(exit.Stderr)))
	}
	return "", fmt.Errorf("ctr %s: %w", strings.Join(args[2:], " "), err)
}
