package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoPodman says that there is nothing to compare with.
var errNoPodman = errors.New("podman is not installed")

// pod is Debian's podman with containers and state of its own.
type pod struct {
	dir string
	ids []string
}

// podman keeps ten containers of the sample image by podman's own policy of restarts, and
// takes what that costs. It has no daemon: one conmon waits for each container, and starts
// podman when it has ended.
func (b *bench) podman(ctx context.Context) (u upkeep, err error) {
	if _, err := exec.LookPath("podman"); err != nil {
		return u, errNoPodman
	}
	dir, err := filepath.Abs(filepath.Join(b.stand.Folder(), "podman"))
	if err != nil {
		return u, err
	}
	p := &pod{dir: dir}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.start(ctx, b.options.image); err != nil {
		return u, err
	}
	models, err := p.models(ctx)
	if err != nil {
		return u, err
	}
	if _, u.others, err = idling(ctx, nil, p.monitors()); err != nil {
		return u, err
	}
	if u.model, err = proportional(models); err != nil {
		return u, err
	}
	monitors, err := proportional(p.monitors())
	if err != nil {
		return u, err
	}
	u.memory = (u.model + monitors) / uint64(len(models))
	u.model /= uint64(len(models))
	for i := range crashTimes {
		took, err := p.crash(ctx, i%len(p.ids))
		if err != nil {
			return u, err
		}
		u.crashes = append(u.crashes, took)
	}
	return u, nil
}

const podmanTimes = 10 // containers, as ten.yaml has instances

func (p *pod) start(ctx context.Context, image string) error {
	if _, err := p.do(ctx, "load", "--input", image); err != nil {
		return err
	}
	for i := range podmanTimes {
		folder := p.folder(i)
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return fmt.Errorf("cannot create folder: %w", err)
		}
		if err := os.Chmod(folder, 0o777); err != nil { // for the image's user
			return fmt.Errorf("cannot open folder to the container: %w", err)
		}
		id, err := p.do(ctx, "run", "--detach", "--restart", "always", "--network", "none", "--memory", "64m", "--pids-limit", "32",
			"--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--volume", folder+":/run/model", sampleImage)
		if err != nil {
			return err
		}
		p.ids = append(p.ids, id)
		if _, err := until(ctx, time.Now(), func() bool { return p.serves(ctx, i) }); err != nil {
			return err
		}
	}
	return pause(ctx, startOver)
}

func (p *pod) folder(i int) string { return filepath.Join(p.dir, "m"+strconv.Itoa(i)) }

// serves asks a model whether it is ready, over a connection of its own.
func (p *pod) serves(ctx context.Context, i int) bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.folder(i), "model.sock"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model/v2/health/ready", nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

func (p *pod) models(ctx context.Context) (pids []int, err error) {
	for i := range p.ids {
		pid, err := p.pid(ctx, i)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func (p *pod) pid(ctx context.Context, i int) (int, error) {
	text, err := p.do(ctx, "inspect", "--format", "{{.State.Pid}}", p.ids[i])
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// monitors are the processes that wait for the containers.
func (p *pod) monitors() []int {
	return processesWith(func(words []string) bool {
		return filepath.Base(words[0]) == "conmon" && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, p.dir+"/") })
	})
}

// crash kills a container's process and takes the time until another answers.
func (p *pod) crash(ctx context.Context, i int) (time.Duration, error) {
	if err := pause(ctx, crashEvery); err != nil {
		return 0, err
	}
	pid, err := p.pid(ctx, i)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("cannot kill container: %w", err)
	}
	if _, err := until(ctx, begun, func() bool { return syscall.Kill(pid, 0) != nil }); err != nil { // or the old one answers
		return 0, err
	}
	return until(ctx, begun, func() bool { return p.serves(ctx, i) })
}

// do runs podman with a state of its own.
func (p *pod) do(ctx context.Context, arguments ...string) (string, error) {
	arguments = append([]string{"--root", filepath.Join(p.dir, "root"), "--runroot", filepath.Join(p.dir, "run"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--log-level", "error"}, arguments...)
	cmd := exec.CommandContext(ctx, "podman", arguments...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run podman %s: %w: %s", strings.Join(arguments[9:], " "), err, stderr.String())
	}
	lines := strings.Fields(string(out))
	if len(lines) == 0 {
		return "", nil
	}
	return lines[len(lines)-1], nil
}

// closeWithin bounds taking ten containers down.
const closeWithin = time.Minute

// close removes the containers and everything podman kept.
func (p *pod) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	_, err := p.do(ctx, "rm", "--force", "--all", "--time", "0")
	mounts, readErr := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for _, line := range slices.Backward(lines) { // what was mounted last lies on top
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], p.dir+"/") {
			continue
		}
		if failed := syscall.Unmount(fields[4], syscall.MNT_DETACH); !errors.Is(failed, syscall.EINVAL) { // gone with another
			err = errors.Join(err, failed)
		}
	}
	return errors.Join(err, readErr, os.RemoveAll(p.dir))
}
